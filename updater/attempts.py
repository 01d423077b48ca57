"""Attempts at a batch: what is tried after a refusal, how a batch is split, and the report of it all.

Knows: where attempts start from, which settings answer which reason, suspects and halves, what is kept of an attempt.
Refuses to know: models, the log, how an attempt is made.

A refused attempt is followed by one retry with safer settings, then by the parts of the batch, each with the settings
of the retry and without one of its own, until the experience that spoils it stands alone and is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from torch import Tensor

from memory_log.records import Batch, UpdaterLease, Version
from updater.material import Material
from updater.report import DROPPED, Attempt, Progress, Refusal, RefusalKind, UpdateReport, in_words
from updater.settings import UpdateSettings
from updater.training import TrainingResult

Changes = dict[str, float]


@dataclass(frozen=True)
class Start:
    """What the attempts at one batch have in common: where they start from, and what they learn."""

    lease: UpdaterLease
    batch: Batch
    parent: Version
    sums: dict[str, Tensor]
    """The parent's weights before they are rounded, float64."""
    material: Material
    dropped: dict[str, int]
    """What was written and not used, by reason."""
    before: dict[str, float]
    """What the gate measures of the parent's weights."""
    gate_seconds: float
    """What that took: the gate of an attempt takes about as long."""
    seed: int
    """Of all chance at this batch."""
    progress: Progress


class Tried(NamedTuple):
    """What came of one batch."""

    attempts: tuple[Attempt, ...]
    settings: UpdateSettings
    """Those of the last attempt, which the parts of the batch begin with."""
    suspects: frozenset[int] = frozenset()
    """Experiences that are known to spoil it; none where it is not known which do."""

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Why nothing was learned; empty when it was."""
        return self.attempts[-1].refusals

    @property
    def reason(self) -> str:
        """Every attempt with its reasons, as the log keeps it."""
        if len(self.attempts) == 1:
            return in_words(self.refusals)
        return " | ".join(f"attempt {number}{_with(one)}: {in_words(one.refusals) or 'admitted'}"
                          for number, one in enumerate(self.attempts, start=1))  # fmt: skip

    @property
    def is_the_teachers_fault(self) -> bool:
        """Whether splitting or refusing the batch would be unjust: no experience could have been learned."""
        return any(refusal.kind is RefusalKind.COLLAPSE for refusal in self.refusals)


def _with(attempt: Attempt) -> str:
    changes = ", ".join(f"{name} {value:g}" for name, value in attempt.changed.items())
    return f" ({changes})" if changes else ""


def _much_slower(settings: UpdateSettings) -> Changes:
    return {"learning_rate": settings.learning_rate * settings.retry.much_slower}


def _longer(settings: UpdateSettings) -> Changes:
    longer = settings.retry.longer
    return {"num_steps": round(settings.num_steps * longer), "least_passes": settings.least_passes * longer}


def _slower(settings: UpdateSettings) -> Changes:
    return {"learning_rate": settings.learning_rate * settings.retry.slower, **_longer(settings)}


def _more_near_misses(settings: UpdateSettings) -> Changes:
    return {
        "near_miss_share": (1.0 + settings.near_miss_share) / 2,
        "replay_near_miss_share": (1.0 + settings.replay_near_miss_share) / 2,
        **_longer(settings),
    }


def _more_replay(settings: UpdateSettings) -> Changes:
    more = settings.retry.more_kept
    return {
        "replay_weight": settings.replay_weight * more or 1.0,
        "batch_replay": round(settings.batch_replay * more) or settings.batch_about,
        **_slower(settings),
    }


def _more_anchors(settings: UpdateSettings) -> Changes:
    more = settings.retry.more_kept
    return {
        "anchor_weight": settings.anchor_weight * more or 1.0,
        "batch_anchors": round(settings.batch_anchors * more),
        "layer_weight": settings.layer_weight * more or 1.0,
        **_slower(settings),
    }


# Steps that made the sentences worse, or the numbers infinite, were too large: all else follows from that, and is not
# answered beside it. Sentences not yet learned were on their way: more steps help, and the held-out KL ends them early.
# What moved and should not have is held by more of it in each step, and by smaller steps; as they are more, the batch
# is learned all the same.
_ANSWERS: Final[Mapping[RefusalKind, Callable[[UpdateSettings], Changes]]] = {
    RefusalKind.NOT_FINITE: _much_slower,
    RefusalKind.DIVERGED: _much_slower,
    RefusalKind.EFFICACY: _longer,
    RefusalKind.FALSE_RECALL: _more_near_misses,
    RefusalKind.RETENTION: _more_replay,
    RefusalKind.READING: _more_anchors,
    RefusalKind.DRIFT: _more_anchors,
}


_FAR_TOO_FAST: Final = frozenset((RefusalKind.NOT_FINITE, RefusalKind.DIVERGED))


def safer_settings(settings: UpdateSettings, refusals: Sequence[Refusal]) -> UpdateSettings | None:
    """Settings that answer every reason of a refusal, without a further retry.

    Of two answers to different reasons the safer one counts: the lower learning rate, the higher of anything else.

    Returns:
        None where there is no refusal, no retry left, or a reason that no setting answers.
    """
    kinds = {refusal.kind for refusal in refusals}
    if not kinds or not settings.retry.num_retries or not kinds <= _ANSWERS.keys():
        return None
    changes: Changes = {}
    for kind in kinds & _FAR_TOO_FAST or kinds:
        for name, value in _ANSWERS[kind](settings).items():
            safest = min if name == "learning_rate" else max
            changes[name] = safest(value, changes.get(name, value))
    no_further = settings.retry.model_copy(update={"num_retries": 0})
    return settings.model_copy(update={**changes, "retry": no_further})


def attempt_of(
    batch: Batch, material: Material, trained: TrainingResult, settings: UpdateSettings, *, asked: UpdateSettings,
    is_retry: bool, dropped: Mapping[str, int],
) -> Attempt:  # fmt: skip
    """An attempt that has been trained and not measured yet; what of its settings is not as asked for is named."""
    names = [name for name in UpdateSettings.model_fields if name != "retry"]
    return Attempt(
        batch_id=batch.id,
        experience_ids=batch.experience_ids,
        is_retry=is_retry,
        changed={name: getattr(settings, name) for name in names if getattr(settings, name) != getattr(asked, name)},
        num_sentences=len(material.about) - material.count("near_miss"),
        num_near_misses=material.count("near_miss"),
        num_steps=trained.num_steps,
        ended_by=trained.ended_by,
        num_windows=material.num_windows,
        num_unread_windows=material.num_unread_windows,
        notes=material.notes,
        dropped=dict(dropped),
        distinct_share=material.distinct_share,
    )


def recorded(measures: Mapping[str, float], attempt: Attempt, *, num_superseded: int) -> dict[str, float]:
    """What the log keeps with a version: what the gate measured, and how it came about."""
    return {
        **measures,
        "num_steps": float(attempt.num_steps),
        "num_superseded": float(num_superseded),
        "is_retry": float(attempt.is_retry),
        "distinct_share": attempt.distinct_share,
        **{f"{DROPPED}{why.replace(' ', '_')}": float(number) for why, number in attempt.dropped.items()},
    }


def parts(ids: tuple[int, ...], suspects: frozenset[int]) -> list[tuple[int, ...]]:
    """How to try a refused batch again: known suspects each alone and the rest together, else two halves."""
    rest = tuple(experience_id for experience_id in ids if experience_id not in suspects)
    if suspects and (rest or len(suspects) > 1):
        return [*([rest] if rest else []), *((suspect,) for suspect in sorted(suspects))]
    return [ids[: len(ids) // 2], ids[len(ids) // 2 :]]


@dataclass
class Tally:
    """The attempts of an update as they come, and what they leave unlearned."""

    parent: int
    num_experiences: int
    attempts: list[Attempt] = field(default_factory=list)
    num_refused: int = 0
    reasons: list[str] = field(default_factory=list)

    def give_up(self, reason: str, *, num_refused: int) -> None:
        """Take note of a batch that is not tried again in this update."""
        self.reasons.append(reason)
        self.num_refused += num_refused

    def report(self) -> UpdateReport:
        """What the update did: the figures of the last attempt that was admitted, else of the first."""
        admitted = [attempt for attempt in self.attempts if attempt.admitted]
        shown = admitted[-1] if admitted else self.attempts[0]
        return UpdateReport(
            version=shown.candidate if admitted else None,
            parent=self.parent,
            admitted=bool(admitted),
            reason="; ".join(dict.fromkeys(self.reasons)) or None,
            notes=shown.notes if admitted else (),
            num_experiences=self.num_experiences,
            num_refused=self.num_refused,
            num_windows=sum(attempt.num_windows for attempt in admitted),
            num_unread_windows=sum(attempt.num_unread_windows for attempt in admitted),
            num_sentences=shown.num_sentences,
            num_near_misses=shown.num_near_misses,
            dropped=shown.dropped,
            distinct_share=shown.distinct_share,
            num_steps=shown.num_steps,
            ended_by=shown.ended_by,
            efficacy=shown.metrics.get("efficacy", 0.0),
            kl_before_nats=shown.metrics.get("kl_before_nats", 0.0),
            kl_after_nats=shown.metrics.get("kl_nats", 0.0),
            seconds=sum(attempt.seconds for attempt in self.attempts),
            metrics=shown.metrics,
            attempts=tuple(self.attempts),
        )
