"""What the log stores and hands out: frozen records, checked when made. Knows no tables, no tensors, no models.

Inputs (`NewExperience`, `Fact`, `NewTarget`, `NewProbe`) raise `BadInput` with a sentence that says what to change.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from memory_log.errors import BadInput

MAX_TEXT_BYTES = 16384
MAX_NAME_BYTES = 256
MAX_INTEGER = 2**63 - 1


def _storable(text: str, limit_bytes: int) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which text columns cannot store; remove it")
    try:
        num_bytes = len(text.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise ValueError("is not UTF-8 text (it holds undecodable bytes); convert it to UTF-8") from exc
    if num_bytes > limit_bytes:
        raise ValueError(f"has {num_bytes} bytes of UTF-8, the limit is {limit_bytes}; split it into several")
    return text


def _long(text: str) -> str:
    return _storable(text, MAX_TEXT_BYTES)


def _short(text: str) -> str:
    return _storable(text, MAX_NAME_BYTES)


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; give it at least one word")
    return text


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


OptionalText = Annotated[str, AfterValidator(_long)]
Text = Annotated[OptionalText, AfterValidator(_filled)]
Name = Annotated[str, AfterValidator(_short), AfterValidator(_filled)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_utc)]
Integer = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class Record(BaseModel):
    """Frozen, and without room for a misspelt field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputRecord(Record):
    """A record that users and workers make themselves: what does not fit raises `BadInput`, in one readable line."""

    if not TYPE_CHECKING:  # a signature here would hide the fields from the type checker

        def __init__(self, **fields: object) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as exc:
                raise BadInput(_readable(type(self).__name__, exc)) from None


def _readable(record: str, exc: ValidationError) -> str:
    lines = []
    for error in exc.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in error["loc"]) or record
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "string_unicode":
            message = "is not UTF-8 text (it holds undecodable bytes); convert it to UTF-8"
        lines.append(f"{name} {message[0].lower()}{message[1:]}")
    return f"{record} not accepted: " + "; ".join(lines)


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
    facts: tuple[Fact, ...] = ()
    key: Name | None = None


class NewExperience(_ExperienceFields):
    """One small interaction on its way into the log; `key` makes a repeated append harmless.

    Example: NewExperience(text="I put the red mug in the kitchen drawer.", session="monday", step=3)
    """

    text: Text
    time: UtcTime | None = None


class ExperienceState(StrEnum):
    """Where an experience stands: waiting, in an update, in the weights, or out of the way and why."""

    PENDING = "pending"
    LEASED = "leased"
    LEARNED = "learned"
    REFUSED = "refused"
    DEAD = "dead"
    FORGOTTEN = "forgotten"


class Experience(_ExperienceFields):
    """An experience as it stands in the log. `text` is empty once forgotten.

    `learned_in` is the version that took it up, `attempts` counts the updates that died while holding it.

    Example: log.get(7).state is ExperienceState.PENDING
    """

    id: int
    text: str
    time: UtcTime
    state: ExperienceState
    learned_in: int | None
    reason: str | None
    attempts: int


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
