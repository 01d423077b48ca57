"""The gate: whether folded, rounded weights may serve.

Knows: measuring a candidate on held-out target sentences, replayed sentences and anchors, and the verdict. Refuses to
know: probes, training, what is tried after a refusal.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from transformers import PreTrainedModel

from updater.memory import in_pieces
from updater.objective import sentence_means
from updater.report import Refusal, RefusalKind
from updater.sequences import exact_completions
from updater.settings import GateSettings
from updater.targets import TeacherTargets, kl_per_position

GATE_BATCH: Final = 64
LITTLE_LEARNED: Final = 0.5
"""Share of the KL before an update: what has more of it left, and has done harm, went astray."""


class GateSentences(NamedTuple):
    """What a candidate is measured on; no step of training sees any of it."""

    questions: Sequence[TeacherTargets]
    """Held-out questions about the batch."""
    near_misses: Sequence[TeacherTargets]
    """Held-out near misses of the batch."""
    replay: Sequence[TeacherTargets]
    """A sample of held-out sentences of earlier batches that are still true."""
    anchors: Sequence[TeacherTargets]
    read: Sequence[TeacherTargets]
    """Questions with four notes that theta_0 answers."""


class SentenceFit(NamedTuple):
    """How well a model knows one target sentence."""

    kl_nats: float
    """Mean KL from the teacher's expectations, in nats a token."""
    is_exact: bool
    """Whether greedy decoding gives the teacher's whole completion.

    It may end as the teacher would end it: chat models with their end of turn, base models with a new line.
    """


@torch.inference_mode()
def sentence_fits(model: PreTrainedModel, targets: Sequence[TeacherTargets], pad_token_id: int) -> list[SentenceFit]:
    """How well the model knows every sentence, in order."""
    fits = [SentenceFit(0.0, False)] * len(targets)
    order = sorted(range(len(targets)), key=lambda index: len(targets[index].sentence.prompt_ids))

    def measured(rows: Sequence[int]) -> list[SentenceFit]:
        kl_BT, batch, logits_BTV = kl_per_position(model, [targets[row] for row in rows], pad_token_id)
        end_ids_B = torch.stack([targets[row].top_ids_TK[-1, 0] for row in rows])
        exact = exact_completions(logits_BTV, batch, end_ids_B).tolist()
        means = sentence_means(kl_BT, batch.mask_BT).tolist()
        return [SentenceFit(kl_nats, is_exact) for kl_nats, is_exact in zip(means, exact, strict=True)]

    for rows, found in in_pieces(order, measured, most=GATE_BATCH, model=model, work="the gate"):
        for row, fit in zip(rows, found, strict=True):
            fits[row] = fit
    return fits


def exactness(model: PreTrainedModel, targets: Sequence[TeacherTargets], pad_token_id: int) -> tuple[float, float]:
    """Share of sentences whose whole completion greedy decoding would give, and their mean KL in nats a token.

    Without sentences (1, 0): nothing was got wrong.

    Raises:
        OutOfMemory: not even one sentence fits into memory.
    """
    if not targets:
        return 1.0, 0.0
    fits = sentence_fits(model, targets, pad_token_id)
    return sum(fit.is_exact for fit in fits) / len(fits), sum(fit.kl_nats for fit in fits) / len(fits)


def measure(model: PreTrainedModel, sentences: GateSentences, pad_token_id: int) -> dict[str, float]:
    """What the gate looks at, for the weights that the model holds now.

    Raises:
        OutOfMemory: not even one sentence fits into memory.
    """
    efficacy, kl_nats = exactness(model, sentences.questions, pad_token_id)
    unfooled, _ = exactness(model, sentences.near_misses, pad_token_id)
    retention, _ = exactness(model, sentences.replay, pad_token_id)
    _, drift_nats = exactness(model, sentences.anchors, pad_token_id)
    return {
        "efficacy": efficacy,
        "kl_nats": kl_nats,
        "num_held_out_questions": float(len(sentences.questions)),
        "false_recall": 1.0 - unfooled,
        "num_held_out_near_misses": float(len(sentences.near_misses)),
        "retention": retention,
        "drift_nats": drift_nats,
        "reading_kept": exactness(model, sentences.read, pad_token_id)[0],
        "num_read": float(len(sentences.read)),
    }


def compared(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The candidate's figures, beside those of the weights that it was trained from where the verdict needs both."""
    earlier = {f"{name}_before": before[name] for name in ("retention", "reading_kept")}
    return {**after, **earlier, "kl_before_nats": before["kl_nats"]}


def verdict(metrics: dict[str, float], settings: GateSettings) -> tuple[Refusal, ...]:
    """Every reason why a candidate may not serve; empty when it may.

    Args:
        metrics: what `compared` gives; all finite numbers for a sound candidate.
        settings: the bounds.
    """
    if not all(math.isfinite(value) for value in metrics.values()):
        return (Refusal(RefusalKind.NOT_FINITE, "the updated model's outputs are not finite"),)
    kept = _kept(metrics, settings)
    return (*_learned(metrics, settings, has_harmed=bool(kept)), *kept)


def _learned(metrics: dict[str, float], settings: GateSettings, *, has_harmed: bool) -> list[Refusal]:
    """Reasons that lie in what the batch was to teach."""
    found, efficacy = [], metrics["efficacy"]
    if settings.min_efficacy > 0 and not metrics["num_held_out_questions"]:
        found.append(Refusal(RefusalKind.UNMEASURED, "no held-out question is there to measure efficacy on"))
    if efficacy < settings.min_efficacy:
        words = f"efficacy {efficacy:.2f} on held-out target sentences is below {settings.min_efficacy}"
        before, after = metrics["kl_before_nats"], metrics["kl_nats"]
        # An update that is on its way comes closer to the teacher, and one that has torn all apart closer to nothing.
        is_astray = after > (LITTLE_LEARNED * before if has_harmed else before)
        if is_astray:
            words += f", and their KL went from {before:.2f} to {after:.2f} nats"
        found.append(Refusal(RefusalKind.DIVERGED if is_astray else RefusalKind.EFFICACY, words))
    # One error is forgiven: a small batch holds out few near misses, and a single one of them says little.
    forgiven = 1.0 / max(1.0, metrics["num_held_out_near_misses"])
    if metrics["false_recall"] - forgiven > settings.max_false_recall:
        words = (
            f"false recall {metrics['false_recall']:.2f} on held-out near misses is above {settings.max_false_recall}"
        )
        found.append(Refusal(RefusalKind.FALSE_RECALL, words))
    return found


def _kept(metrics: dict[str, float], settings: GateSettings) -> list[Refusal]:
    """Reasons that lie in what the model knew and could do before."""
    found = []
    before, after = metrics["retention_before"], metrics["retention"]
    if before - after > settings.max_retention_loss:
        words = f"retention of replayed sentences fell from {before:.2f} to {after:.2f}"
        found.append(Refusal(RefusalKind.RETENTION, words))
    before, after = metrics["reading_kept_before"], metrics["reading_kept"]
    if before - after > settings.max_reading_loss:
        words = f"reading from the prompt fell from {before:.2f} to {after:.2f}"
        found.append(Refusal(RefusalKind.READING, words))
    if metrics["drift_nats"] > settings.max_drift_nats:
        words = f"drift on anchors {metrics['drift_nats']:.3f} nats is above {settings.max_drift_nats}"
        found.append(Refusal(RefusalKind.DRIFT, words))
    return found
