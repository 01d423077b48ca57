"""Whether a model can be used here, measured: how it reads and asks, how far updates move it, and with which settings.

Knows: the order of the measurements, trial updates in a folder of their own, and what a figure means in words. Refuses
to know: homes, displays. Nothing that it does leaves a trace.
"""

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from agent.memory import anchors_for, worker_name
from agent.reading_check import (
    GOOD_SHARE,
    WEAK_SHARE,
    facts_to_tell,
    latest_items,
    reading_items,
    recall_items,
    share_asked,
    share_right,
    unknown_items,
)
from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from memory_log.records import NewExperience
from updater.fold import load_weights
from updater.language_model import LanguageModel, weights_of
from updater.report import Progress, silent
from updater.settings import GateSettings, RetrySettings, UpdateSettings
from updater.update import Updater

Verdict = Literal["good", "weak", "cannot"]

NUM_ITEMS: Final = 24
NUM_TOLD: Final = 3
LEARNING_RATES: Final = (7.5e-4, 3e-3, 1.2e-2)
TRIAL_STEPS: Final = 20
GOOD_KL_RATIO: Final = 0.25
WEAK_KL_RATIO: Final = 0.7
# An update samples several questions about an experience and needs only some of them.
ASKS_NEEDED: Final = UpdateSettings().min_questions / UpdateSettings().questions_per_experience
FEW_QUESTIONS: Final = 2 * ASKS_NEEDED
# Every trial is recorded, whatever it did to the model.
RECORDING: Final = GateSettings(
    min_efficacy=0.0, max_false_recall=1.0, max_retention_loss=1.0, max_reading_loss=1.0, max_drift_nats=float("inf")
)


class TrialUpdate(BaseModel):
    """One real, short update at one learning rate, from the base model.

    Example: trial.kl_after_nats < 0.25 * trial.kl_before_nats
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float
    num_steps: int
    refused: str | None = None
    """Why nothing was learned; the figures below are then 0."""
    kl_before_nats: float = 0.0
    """Mean KL on held-out target sentences, nats a token."""
    kl_after_nats: float = 0.0
    efficacy: float = 0.0
    """Share of held-out target sentences answered as with notes."""
    drift_nats: float = 0.0
    """Mean KL on unrelated sentences against the base model, nats a token."""
    recalled: float = 0.0
    """Share of questions about what was told that are answered right without notes."""
    reads_after: float = 0.0
    """Share right with one note in the prompt, after the update."""
    seconds: float = 0.0


class ModelCheck(BaseModel):
    """What was measured of one model; shares are of questions, 0 to 1.

    Produced by `check_model`, shown by `selfparam check-model`.

    Example: check.is_usable and check.settings["learning_rate"] == 2e-3
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    architecture: str
    num_parameters: int
    has_chat_template: bool
    context_length: int | None
    num_items: int
    """Questions behind each share."""
    reads_one_note: float
    reads_four_notes: float
    latest_wins: float
    asks: float
    """Share of its own questions that name the subject and that it answers right from the note."""
    unknown_with_notes: float
    unknown_without_notes: float
    trials: tuple[TrialUpdate, ...]
    settings: dict[str, float | int]
    """Fields of `UpdateSettings` that suited it best; empty where no trial learned anything."""
    seconds: float

    @property
    def is_usable(self) -> bool:
        """Whether it reads notes and asks about them, which an update lives on, and no trial was refused."""
        return can_begin(self.reads_one_note, self.asks) and all(trial.refused is None for trial in self.trials)


class Line(NamedTuple):
    """One thing that was measured: the record's field, what it means, the figure, and what that is worth."""

    name: str
    words: str
    measured: str
    verdict: Verdict


def can_begin(reads: float, asks: float) -> bool:
    """Whether these shares are enough for an update to find something to learn."""
    return share_verdict(reads) != "cannot" and share_verdict(asks, needed=ASKS_NEEDED) != "cannot"


def share_verdict(share: float, *, needed: float = WEAK_SHARE) -> Verdict:
    """What a share of right answers means; below `needed` it is of no use."""
    return "good" if share >= GOOD_SHARE else "weak" if share >= needed else "cannot"


def lines_of(check: ModelCheck) -> list[Line]:
    """The check line by line, each with its verdict."""
    shares = (
        ("reads_one_note", "reads a note", check.reads_one_note, WEAK_SHARE),
        ("reads_four_notes", "reads one of four notes", check.reads_four_notes, WEAK_SHARE),
        ("latest_wins", "lets the latest note count", check.latest_wins, WEAK_SHARE),
        ("asks", "asks about a note, and answers", check.asks, ASKS_NEEDED),
        ("unknown_with_notes", "says unknown, with other notes", check.unknown_with_notes, WEAK_SHARE),
        ("unknown_without_notes", "says unknown, without notes", check.unknown_without_notes, WEAK_SHARE),
    )
    lines = [
        Line(name, words, f"{round(share * check.num_items)} of {check.num_items}", share_verdict(share, needed=needed))
        for name, words, share, needed in shares
    ]
    gate = GateSettings()
    best = best_trial(check.trials, check.reads_one_note, gate)
    if best is not None:
        moved = f"KL {best.kl_before_nats:.2f} -> {best.kl_after_nats:.2f} nats a token"
        lines.append(Line("trials", "updates move it", moved, trial_verdict(best, check.reads_one_note, gate)))
    elif check.trials:
        lines.append(Line("trials", "updates move it", "refused", "cannot"))
    return lines


def trial_verdict(trial: TrialUpdate, reads_before: float, gate: GateSettings) -> Verdict:
    """What a trial shows: how far the KL fell, and whether reading and unrelated sentences were spared."""
    if trial.refused is not None or trial.kl_after_nats > WEAK_KL_RATIO * trial.kl_before_nats:
        return "cannot"
    is_close = trial.kl_after_nats <= GOOD_KL_RATIO * trial.kl_before_nats
    return "good" if is_close and is_spared(trial, reads_before, gate) else "weak"


def is_spared(trial: TrialUpdate, reads_before: float, gate: GateSettings) -> bool:
    """Whether drift and loss of reading stay within what the gate lets through."""
    return trial.drift_nats <= gate.max_drift_nats and reads_before - trial.reads_after <= gate.max_reading_loss


def best_trial(trials: Sequence[TrialUpdate], reads_before: float, gate: GateSettings) -> TrialUpdate | None:
    """The trial with the lowest held-out KL of those that spared the rest; where none did, the one of least drift."""
    learned = [trial for trial in trials if trial.refused is None]
    spared = [trial for trial in learned if is_spared(trial, reads_before, gate)]
    if spared:
        return min(spared, key=lambda trial: trial.kl_after_nats)
    return min(learned, key=lambda trial: trial.drift_nats, default=None)


def check_model(
    base: LanguageModel, *, with_updates: bool = True, seed: int = 0, progress: Progress = silent
) -> ModelCheck:
    """Measure a model: its reading in batches of questions, then one short real update at each learning rate.

    Args:
        base: the model.
        with_updates: False leaves the trial updates out; they are also left out where the model cannot read or ask.
        seed: of questions and updates.
        progress: called with (stage, done, total).
    """
    started = time.monotonic()
    measures: dict[str, Callable[[], float]] = {
        "reads_one_note": lambda: share_right(base, reading_items(NUM_ITEMS, num_notes=1, seed=seed)),
        "reads_four_notes": lambda: share_right(base, reading_items(NUM_ITEMS, num_notes=4, seed=seed)),
        "latest_wins": lambda: share_right(base, latest_items(NUM_ITEMS, seed=seed)),
        "asks": lambda: share_asked(base, NUM_ITEMS, seed=seed),
        "unknown_with_notes": lambda: share_right(base, unknown_items(NUM_ITEMS, num_notes=4, seed=seed)),
        "unknown_without_notes": lambda: share_right(base, unknown_items(NUM_ITEMS, num_notes=0, seed=seed)),
    }
    shares: dict[str, float] = {}
    for done, (name, measure) in enumerate(measures.items()):
        progress("asking", done, len(measures))
        shares[name] = measure()
    progress("asking", len(measures), len(measures))
    trials: list[TrialUpdate] = []
    if with_updates and can_begin(shares["reads_one_note"], shares["asks"]):
        for rate in LEARNING_RATES:
            trials.append(_trial(base, rate, seed, progress))
            if trials[-1].refused is not None:
                break  # another learning rate reads no better
    best = best_trial(trials, shares["reads_one_note"], GateSettings())
    return ModelCheck(
        model=base.name,
        architecture=type(base.model).__name__,
        num_parameters=sum(weight.numel() for weight in weights_of(base.model).values()),
        has_chat_template=base.dialogue.tokenizer.chat_template is not None,
        context_length=base.context_length,
        num_items=NUM_ITEMS,
        **shares,
        trials=tuple(trials),
        settings={} if best is None else suggested_settings(best, shares["asks"]),
        seconds=time.monotonic() - started,
    )


def suggested_settings(best: TrialUpdate, asks: float) -> dict[str, float | int]:
    """Fields of `UpdateSettings` for a whole update, from a short one and the share of its questions that were good."""
    # The learning rate falls over all steps, so more of them go further at the same peak.
    steps = UpdateSettings().num_steps
    is_slow = best.kl_after_nats > GOOD_KL_RATIO * best.kl_before_nats
    found: dict[str, float | int] = {
        "learning_rate": best.learning_rate, "num_steps": 2 * steps if is_slow else steps
    }  # fmt: skip
    if asks < FEW_QUESTIONS:
        found["questions_per_experience"] = 2 * UpdateSettings().questions_per_experience
    return found


def _trial(base: LanguageModel, learning_rate: float, seed: int, progress: Progress) -> TrialUpdate:
    settings = UpdateSettings(
        learning_rate=learning_rate, num_steps=TRIAL_STEPS, least_passes=0, num_anchors=72, min_samples=NUM_TOLD * 10,
        questions_per_experience=10, near_misses_per_experience=4, seed=seed, retry=RetrySettings(num_retries=0),
    )  # fmt: skip

    def at_this_rate(stage: str, done: int, total: int) -> None:
        progress(f"update at {learning_rate:g}: {stage}", done, total)

    told = facts_to_tell(NUM_TOLD, seed=seed)
    with (
        tempfile.TemporaryDirectory(prefix="selfparam-check-") as folder,
        MemoryLog(f"sqlite:///{folder}/log.sqlite3") as log,
    ):
        log.append_many([NewExperience(text=text) for _, text in told])
        updater = Updater(
            base, log, BlobStore(Path(folder) / "blobs"), anchors=anchors_for(base), owner=worker_name(),
            settings=settings, gate=RECORDING,
        )  # fmt: skip
        report = updater.update("default", limit=NUM_TOLD, progress=at_this_rate)
        if report.version is None:
            reason, steps = report.reason or "the gate refused it", report.num_steps
            return TrialUpdate(learning_rate=learning_rate, num_steps=steps, refused=reason, seconds=report.seconds)
        model = copy.deepcopy(base.model)
        load_weights(model, updater.versions.weights("default", report.version))
    return TrialUpdate(
        learning_rate=learning_rate,
        num_steps=report.num_steps,
        kl_before_nats=report.kl_before_nats,
        kl_after_nats=report.kl_after_nats,
        efficacy=report.efficacy,
        drift_nats=report.metrics["drift_nats"],
        recalled=share_right(base, recall_items([fact for fact, _ in told], per_fact=4, seed=seed), model=model),
        reads_after=share_right(base, reading_items(NUM_ITEMS, num_notes=1, seed=seed), model=model),
        seconds=report.seconds,
    )
