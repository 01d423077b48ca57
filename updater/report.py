"""What one update does and did, for people and for records."""

from collections.abc import Callable
from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

Progress = Callable[[str, int, int], None]
"""(stage, done, total): what an update is doing."""

EndedBy = Literal["steps", "kl", "budget", "not finite"]
"""What ended training: its last step, sentences that were close enough, the time that it was given, a NaN."""

NOT_FINITE = "training ended in values that are not finite; lower the learning rate"
TOO_LONG = (
    "too long: a word of it alone is longer than the {most} tokens of an experience that the model reads at once, and "
    "words are not cut; tell it without that word, or choose a model that reads more"
)
NO_CONTEXT_GAIN = (
    "no context gain: with the experience in its prompt the model answers too few questions that it could not without"
)
COLLAPSE = (
    "the teacher has collapsed: notes in its prompt change its answers by only {gain:.3f} nats a token, although "
    "without them it knows {floor:.0%}; no experience is to blame, so they wait"
)
NO_NEAR_MISSES = (
    "no near misses: the model says of no question that it does not know, so false recall was neither trained against "
    "nor measured"
)
NOTHING_READ = "no reading: the base model answers no question from four notes, so reading kept is not measured"
NOTHING_WRITTEN = (
    "nothing written: the writers gave no question about it; templates need facts, such as --fact gives, and the model "
    "can write beside them (--writer model --writer templates)"
)

DROPPED = "num_dropped_"
"""How the names of a version's figures begin that count what was written and not used, each by its reason."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""


class RefusalKind(StrEnum):
    """Why a batch was not learned, as far as it matters to what is tried next."""

    MATERIAL = "material"
    """There is nothing to train on: filtered, too long, or without context gain."""
    COLLAPSE = "collapse"
    NOT_FINITE = "not finite"
    DIVERGED = "diverged"
    EFFICACY = "efficacy"
    UNMEASURED = "unmeasured"
    FALSE_RECALL = "false recall"
    RETENTION = "retention"
    READING = "reading"
    DRIFT = "drift"


class Refusal(NamedTuple):
    """One reason against a candidate, or against training at all.

    Example: Refusal(RefusalKind.DRIFT, "drift on anchors 0.310 nats is above 0.25")
    """

    kind: RefusalKind
    words: str


def in_words(refusals: tuple[Refusal, ...]) -> str:
    """Every reason once."""
    return "; ".join(dict.fromkeys(refusal.words for refusal in refusals))


class Attempt(BaseModel):
    """One try at learning a batch, with what was measured and why it was refused.

    Produced by `updater.update.Updater`, read through `UpdateReport.attempts`.

    Example: [in_words(attempt.refusals) for attempt in report.attempts if not attempt.admitted]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_id: int
    experience_ids: tuple[int, ...]
    is_retry: bool = False
    changed: dict[str, float] = {}
    """Settings that differ from those of the update, because an earlier attempt was refused."""
    num_windows: int = 0
    num_unread_windows: int = 0
    candidate: int | None = None
    """The version that it made; None where it ended before there was one to write."""
    refusals: tuple[Refusal, ...] = ()
    """Why its version may not serve; empty when it serves."""
    num_sentences: int = 0
    num_near_misses: int = 0
    num_steps: int = 0
    ended_by: EndedBy | None = None
    """What ended training; None without any."""
    notes: tuple[str, ...] = ()
    """What its version could not be measured by."""
    dropped: dict[str, int] = {}
    """How many of the written sentences were not used, by reason; see `updater.candidates.DropReason`."""
    distinct_share: float = 1.0
    """Distinct-2 of what was written about an experience: the share of word pairs that are different ones."""
    metrics: dict[str, float] = {}
    seconds: float = 0.0

    @property
    def admitted(self) -> bool:
        """Whether the gate let its version serve."""
        return not self.refusals


class UpdateReport(BaseModel):
    """The outcome of one update. Its figures are those of the last attempt that was admitted, else of the first.

    Produced by `updater.update.Updater`, read by the command line, the demo and the benchmarks.

    Example: report.admitted and report.version == 3
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int | None
    """The new version's number; None when nothing was admitted."""
    parent: int
    admitted: bool
    reason: str | None = None
    """Why nothing, or not everything, was admitted."""
    notes: tuple[str, ...] = ()
    """What to know of an admitted version: what it could not be measured by."""
    num_experiences: int
    num_refused: int = 0
    """Experiences that were refused, each with its reason in the log."""
    num_windows: int = 0
    """Contexts that the learned experiences were read in: one each, more of one that is longer than the model reads."""
    num_unread_windows: int = 0
    """Those of them about which too few questions were found; of what only they say, nothing was learned."""
    num_sentences: int = 0
    num_near_misses: int = 0
    dropped: dict[str, int] = {}
    """How many of the written sentences were not used, by reason; see `updater.candidates.DropReason`."""
    distinct_share: float = 1.0
    """Distinct-2 of what was written about an experience: the share of word pairs that are different ones."""
    num_steps: int = 0
    ended_by: EndedBy | None = None
    efficacy: float = 0.0
    """Share of held-out target sentences that the folded weights answer as the teacher would."""
    kl_before_nats: float = 0.0
    """Mean KL on held-out target sentences before the update, nats a token."""
    kl_after_nats: float = 0.0
    """The same with the folded, rounded weights."""
    seconds: float = 0.0
    """From batch stored to version admitted."""
    metrics: dict[str, float] = {}
    attempts: tuple[Attempt, ...] = ()
    """Everything that was tried, in order: retries and the parts of a batch that was split."""

    @property
    def leaves_all_waiting(self) -> bool:
        """Whether the very same update would come next: nothing was learned and nothing set aside."""
        return not self.admitted and self.num_refused == 0
