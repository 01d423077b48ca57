"""The gate: whether folded, rounded weights may serve.

Knows: measuring a candidate on held-out target sentences, replayed sentences and anchors. Refuses to know: probes,
training.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from transformers import PreTrainedModel

from updater.memory import in_pieces
from updater.objective import sentence_means
from updater.sequences import exact_completions
from updater.settings import GateSettings
from updater.targets import TeacherTargets, kl_per_position

GATE_BATCH: Final = 64


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


def verdict(metrics: dict[str, float], settings: GateSettings) -> str | None:
    """None when a candidate may serve, else the reasons why not.

    Args:
        metrics: `efficacy`, `false_recall`, `num_held_out_near_misses`, `drift_nats`, `retention`, `reading_kept`
            (both also as `..._before`); all finite numbers for a sound candidate.
        settings: the bounds.
    """
    reasons = []
    if not all(torch.isfinite(torch.tensor(value)) for value in metrics.values()):
        return "the updated model's outputs are not finite"
    if metrics["efficacy"] < settings.min_efficacy:
        reasons.append(
            f"efficacy {metrics['efficacy']:.2f} on held-out target sentences is below {settings.min_efficacy}"
        )
    # One error is forgiven: a small batch holds out few near misses, and a single one of them says little.
    forgiven = 1.0 / max(1.0, metrics["num_held_out_near_misses"])
    if metrics["false_recall"] - forgiven > settings.max_false_recall:
        reasons.append(
            f"false recall {metrics['false_recall']:.2f} on held-out near misses is above {settings.max_false_recall}"
        )
    if metrics["retention_before"] - metrics["retention"] > settings.max_retention_loss:
        reasons.append(
            f"retention of replayed sentences fell from {metrics['retention_before']:.2f} to {metrics['retention']:.2f}"
        )
    if metrics["reading_kept_before"] - metrics["reading_kept"] > settings.max_reading_loss:
        reasons.append(
            f"reading from the prompt fell from {metrics['reading_kept_before']:.2f} to {metrics['reading_kept']:.2f}"
        )
    if metrics["drift_nats"] > settings.max_drift_nats:
        reasons.append(f"drift on anchors {metrics['drift_nats']:.3f} nats is above {settings.max_drift_nats}")
    return "; ".join(reasons) or None
