"""What the next update would do, as far as that can be known before it trains. Records only: no models, no log."""

from memory_log.fields import Record
from memory_log.records import TargetKind
from updater.candidates import DropReason


class PlannedExperience(Record):
    """An experience of the next update: what the filter leaves of it, or why it would be refused.

    Example: PlannedExperience(experience_id=7, text="Call [phone].", changed_by_filter=True, refused=None, part=1)
    """

    experience_id: int
    text: str
    """As it would be learned; of one that the filter refuses, empty."""
    changed_by_filter: bool
    refused: str | None
    part: int | None
    """Which of the update's batches would learn it, from 1: each makes a version of its own. None when refused."""
    num_windows: int = 1
    """Contexts that it would be read in: more than one where it is longer than the model reads at once."""
    num_unread_windows: int = 0
    """Those of them about which too few questions were found; of what only they say, nothing would be learned."""


class PlannedSentence(Record):
    """A target sentence that the update would learn or be measured with.

    Example: PlannedSentence(experience_id=7, kind="question", prompt="Where is the red mug?", completion="the red mug
        is in the kitchen drawer", held_out=False, gain_nats=2.3, diversity=0.6)
    """

    experience_id: int
    kind: TargetKind
    prompt: str
    completion: str
    held_out: bool
    gain_nats: float
    diversity: float
    """Share of its word pairs that no other sentence of its kind about the experience has."""


class PlannedDrop(Record):
    """Something that was written and would not be used, with the reason.

    Example: PlannedDrop(experience_id=7, kind="question", reason="duplicate", text="Where is the red mug?")
    """

    experience_id: int
    kind: TargetKind
    reason: DropReason
    text: str


class PlannedSupersession(Record):
    """An older target sentence that the update would hold for true no longer, with the experience that does it."""

    target_id: int
    experience_id: int
    by_experience: int
    prompt: str
    completion: str


class UpdatePlan(Record):
    """What the next update would do. Produced by `updater.update.Updater.plan`; the gate's verdict is not in it.

    Example: [one.experience_id for one in plan.experiences if one.refused is None]
    """

    lineage: str
    parent: int
    """The version that it would go on from."""
    num_versions: int
    """How many versions it would make: one for each batch, if the gate admits them."""
    experiences: tuple[PlannedExperience, ...]
    sentences: tuple[PlannedSentence, ...]
    dropped: tuple[PlannedDrop, ...]
    left_out: tuple[str, ...]
    """What nobody writes because the model has no instruction for it."""
    superseded: tuple[PlannedSupersession, ...]
    num_anchors: int
    num_replayed: int
    seconds: float
    """What making the plan took; training comes on top."""
