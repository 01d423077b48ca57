"""What the log stores and hands out: frozen records, checked when made. Knows no tables, no tensors, no models.

Inputs (`NewExperience`, `Fact`, `NewTarget`, `NewProbe`) raise `BadInput` with a sentence that says what to change.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from memory_log.fields import (
    MAX_FACTS,
    MAX_INTEGER,
    MAX_PRIORITY,
    InputRecord,
    Integer,
    Metadata,
    Name,
    OptionalText,
    Record,
    Text,
    UtcTime,
)


class Fact(InputRecord):
    """One statement that an experience makes, when the environment knows it.

    Example: Fact(subject="red mug", relation="location", value="kitchen drawer")
    """

    subject: Name
    relation: Name
    value: Name


class _ExperienceFields(InputRecord):
    lineage: Name = "default"
    agent: Name = "agent"
    session: Name = "default"
    step: Integer | None = None
    observation: OptionalText | None = None
    action: OptionalText | None = None
    reward: FiniteFloat | None = None
    facts: Annotated[tuple[Fact, ...], Field(max_length=MAX_FACTS)] = ()
    key: Name | None = None
    priority: Annotated[int, Field(ge=0, le=MAX_PRIORITY)] = 0
    surprise: FiniteFloat | None = None
    metadata: Metadata = Field(default_factory=dict)


class NewExperience(_ExperienceFields):
    """One small interaction on its way into the log; `key` makes a repeated append harmless.

    `priority` (higher first) and `surprise` (larger first; in nats, or whatever the caller measures) matter to updates
    that claim in that order. `metadata` is for the caller's own use: names with strings, numbers or booleans.

    Example: NewExperience(text="I put the red mug in the kitchen drawer.", session="monday", step=3)
    """

    text: Text
    time: UtcTime | None = None


class ExperienceState(StrEnum):
    """Where an experience stands: waiting, in an update, in the weights, or out of the way and why.

    A spilled one came when as many were pending as its caller allows; it is pending as soon as there is room.
    """

    SPILLED = "spilled"
    PENDING = "pending"
    LEASED = "leased"
    LEARNED = "learned"
    REFUSED = "refused"
    DEAD = "dead"
    FORGOTTEN = "forgotten"


class Experience(_ExperienceFields):
    """An experience as it stands in the log. `text` is empty once forgotten.

    `time` is when it was lived, `appended_at` when the log was told. `learned_in` is the version that took it up,
    `attempts` counts the updates that died while holding it, and none claims it before `not_before`.

    Example: log.get(7).state is ExperienceState.PENDING
    """

    id: int
    text: str
    time: UtcTime
    appended_at: UtcTime
    state: ExperienceState
    learned_in: int | None
    reason: str | None
    attempts: int
    not_before: UtcTime | None


class Bound(InputRecord):
    """How many experiences of a lineage may be pending, and what becomes of an append that would make it more.

    `refuse` raises `QueueFull`; `block` waits for room, and raises `QueueFull` when there was none in time; `spill`
    stores them as `spilled`, to be pending as soon as there is room. One call is taken whole or not at all, but for a
    spill.

    Example: log.append(new, bound=Bound(most_pending=1000, when_full="block", timeout_seconds=30))
    """

    most_pending: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    when_full: Literal["block", "refuse", "spill"] = "block"
    timeout_seconds: Annotated[FiniteFloat, Field(ge=0)] = 60.0


ClaimOrder = Literal["oldest", "priority", "surprise"]
"""Which pending experiences an update takes first: by id; by priority, then id; the most surprising, then by id."""


class HappeningKind(StrEnum):
    """What can happen to an experience."""

    APPENDED = "appended"
    CLAIMED = "claimed"
    LEARNED = "learned"
    RETURNED = "returned"
    REFUSED = "refused"
    DIED = "died"
    REQUEUED = "requeued"
    UNLEARNED = "unlearned"
    FORGOTTEN = "forgotten"


class Happening(Record):
    """One step in the story of an experience.

    Example: [one.kind.value for one in log.history(7)] == ["appended", "claimed", "learned"]
    """

    time: UtcTime
    kind: HappeningKind
    batch_id: int | None = None
    version: int | None = None
    detail: str | None = None


class UpdaterLease(Record):
    """The right to update one lineage until `expires_at`; `fence` grows with every acquisition.

    Example: lease = log.acquire_updater_lease("default", owner="worker-1", lease_seconds=60)
    """

    lineage: str
    owner: str
    fence: int
    expires_at: UtcTime


class Pause(InputRecord):
    """Who keeps new updates of a lineage from beginning, since when and why.

    Example: log.pause("default", by="mira@desk", reason="exam week")
    """

    lineage: Name
    since: UtcTime
    by: Name
    reason: OptionalText = ""

    @property
    def described(self) -> str:
        """In words: `updates of lineage 'default' are paused since 2026-01-01 00:00:00 UTC by mira@desk: exam week`."""
        why = f": {self.reason}" if self.reason else ""
        since = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"updates of lineage {self.lineage!r} are paused since {since} by {self.by}{why}"


class Batch(Record):
    """The exact set of one update, stored before the update starts; ids are in the order in which they were lived.

    Example: Batch(id=1, lineage="default", parent_version=0, experience_ids=(1, 2), state="open", fence=1)
    """

    id: int
    lineage: str
    parent_version: int
    experience_ids: tuple[int, ...]
    state: Literal["open", "committed", "rejected", "abandoned"]
    fence: int


class Membership(Record):
    """One batch that an experience was in, and what became of it; `version` is the last that was made of the batch.

    Example: [(one.batch_id, one.state) for one in log.memberships(7)] == [(3, "rejected"), (4, "committed")]
    """

    batch_id: int
    opened_at: UtcTime
    ended_at: UtcTime | None
    """None while it is open, and for batches of before this was recorded."""
    num_experiences: int
    state: Literal["open", "committed", "rejected", "abandoned"]
    reason: str | None
    version: int | None


class VersionState(StrEnum):
    """A version is a candidate until the gate decides."""

    CANDIDATE = "candidate"
    ADMITTED = "admitted"
    REJECTED = "rejected"


class DeltaRef(Record):
    """Where a delta file lies (relative to the blob root) and how to know that it is the right one.

    Example: DeltaRef(path="default/3.safetensors", sha256="9f86...", kind="lowrank", num_bytes=81920)
    """

    path: str
    sha256: str
    kind: Literal["lowrank", "dense"]
    num_bytes: int


class Snapshot(Record):
    """The stored sums of a version: where the file lies, relative to the blob root, and how to know it.

    Example: [one.version for one in log.snapshots("default")]
    """

    lineage: str
    version: int
    path: str
    sha256: str
    num_bytes: int
    created_at: UtcTime


class Version(Record):
    """One state of the weights. Number 0 is the base model itself and has no parent, batch or delta.

    Example: log.head("default").number == 3
    """

    lineage: str
    number: int
    parent: int | None
    batch_id: int | None
    state: VersionState
    delta: DeltaRef | None
    weights_hash: str | None
    metrics: dict[str, float]
    reason: str | None
    created_at: UtcTime


TargetKind = Literal["question", "restatement", "near_miss"]


class _TargetFields(InputRecord):
    experience_id: int
    kind: TargetKind
    prompt: Text
    completion: Text
    subject: Name | None = None
    relation: Name | None = None
    held_out: bool = False
    context_gain_nats: float | None = None
    payload: bytes


class NewTarget(_TargetFields):
    """A target sentence and its teacher targets, which are bytes to the log.

    Example: NewTarget(experience_id=7, kind="question", prompt="Where is the red mug?", completion="in the kitchen
        drawer", subject="red mug", relation="location", payload=teacher_bytes)
    """


class StoredTarget(_TargetFields):
    """A target sentence in the log. `version` is None until the version of its batch is admitted;
    `superseded_by` is the experience that made it untrue, as far as the head knows.

    Example: [target.prompt for target in log.replay_targets("default", limit=32, seed=0)]
    """

    id: int
    version: int | None
    superseded_by: int | None


class NewProbe(InputRecord):
    """A question with a known answer about one experience, for studies only: no update ever reads it.

    Example: NewProbe(experience_id=7, kind="question", question="Where would I find the red mug?", answer="drawer")
    """

    experience_id: int
    kind: Name
    question: Text
    answer: Text
    subject: Name | None = None
    relation: Name | None = None


class Probe(NewProbe):
    """A probe in the log.

    Example: log.probes("default", experience_ids=[7])[0].question
    """

    id: int


class ProbeResult(Record):
    """What one version answered to one probe.

    Example: ProbeResult(probe_id=1, version=3, answer="in the kitchen drawer", correct=True)
    """

    probe_id: int
    version: int
    answer: str
    correct: bool
