"""What one update does and did, for people and for records."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

Progress = Callable[[str, int, int], None]
"""(stage, done, total): what an update is doing."""

NOT_FINITE = "training ended in values that are not finite; lower the learning rate"
TOO_LONG = (
    "too long: two experiences of {length} tokens do not fit into the {context} that the model reads; tell less at once"
)
NO_CONTEXT_GAIN = (
    "no context gain: with the experience in its prompt the model answers too few questions that it could not without"
)
NOTHING_WRITTEN = (
    "nothing written: the writers gave no question about it; templates need facts, such as --fact gives, and the model "
    "can write beside them (--writer model --writer templates)"
)

DROPPED = "num_dropped_"
"""How the names of a version's figures begin that count what was written and not used, each by its reason."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""


class UpdateReport(BaseModel):
    """The outcome of one update.

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
    num_experiences: int
    num_refused: int = 0
    """Experiences that were refused, each with its reason in the log."""
    num_sentences: int = 0
    num_near_misses: int = 0
    dropped: dict[str, int] = {}
    """How many of the written sentences were not used, by reason; see `updater.candidates.DropReason`."""
    distinct_share: float = 1.0
    """Distinct-2 of what was written about an experience: the share of word pairs that are different ones."""
    num_steps: int = 0
    efficacy: float = 0.0
    """Share of held-out target sentences that the folded weights answer as the teacher would."""
    kl_before_nats: float = 0.0
    """Mean KL on held-out target sentences before the update, nats a token."""
    kl_after_nats: float = 0.0
    """The same with the folded, rounded weights."""
    seconds: float = 0.0
    """From batch stored to version admitted."""
    metrics: dict[str, float] = {}
