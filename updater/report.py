"""What one update does and did, for people and for records."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

Progress = Callable[[str, int, int], None]
"""(stage, done, total): what an update is doing."""

NOT_FINITE = "training ended in values that are not finite; lower the learning rate"
TOO_LONG = (
    "too long: a word of it alone is longer than the {most} tokens of an experience that the model reads at once, and "
    "words are not cut; tell it without that word, or choose a model that reads more"
)
NO_CONTEXT_GAIN = (
    "no context gain: with the experience in its prompt the model answers too few questions that it could not without"
)
TEACHER_COLLAPSED = (
    "no context gain, though the base model has it and this version does not know it: the teacher has collapsed, it "
    "answers with the experience in its prompt as without; let the base model teach"
)


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
    num_windows: int = 0
    """Contexts that the experiences were read in: one each, more of those that are longer than the model reads."""
    num_unread_windows: int = 0
    """Those of them about which too few questions were found; of what only they say, nothing was learned."""
    num_sentences: int = 0
    num_near_misses: int = 0
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
