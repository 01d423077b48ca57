"""The tables, and the invariants that the database itself keeps. Knows SQLAlchemy Core and no queries.

A lineage's row is the lock: whoever moves its queue, its head or its targets takes that row first.
"""

from enum import StrEnum

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TextClause,
    event,
    text,
)

from memory_log.columns import BigInteger, JsonObject, Metrics, UtcDateTime
from memory_log.records import ExperienceState, VersionState
from memory_log.search_index import SEARCH_POSTGRESQL, SEARCH_SQLITE

SCHEMA_VERSION = 4

def _one_of(column: str, values: type[StrEnum] | tuple[str, ...], name: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=name)


def _index_where(name: str, *columns: str | TextClause, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_schema_version"), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("identity", Text, nullable=False),  # what tells this log from all others, wherever it is copied
)

# The head is also the serving pointer: what is admitted is what new requests are bound to.
lineages = Table(
    "lineages",
    metadata,
    Column("name", Text, primary_key=True),
    Column("base_fingerprint", Text, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("lease_owner", Text),
    Column("lease_expires_at", UtcDateTime),
    CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="a_lease_has_owner_and_end"),
)

# While a lineage has a row here, no new update of it begins. It may have one before it has any version.
pauses = Table(
    "pauses",
    metadata,
    Column("lineage", Text, primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("lineage", Text, ForeignKey("lineages.name"), nullable=False),
    Column("parent_version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("reason", Text),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    _one_of("state", ("open", "committed", "rejected", "abandoned"), "batch_state"),
    _index_where("one_open_batch_per_lineage", "lineage", where="state = 'open'", unique=True),
    sqlite_autoincrement=True,
)

experiences = Table(
    "experiences",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("lineage", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("step", BigInteger),
    Column("time", UtcDateTime, nullable=False),
    Column("appended_at", UtcDateTime, nullable=False),
    Column("text", Text, nullable=False),
    Column("words", Text, nullable=False),  # the text as ` lower case words `, for matching
    Column("observation", Text),
    Column("action", Text),
    Column("reward", Float(53)),
    Column("metadata", JsonObject),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("surprise", Float(53)),
    Column("key", Text),
    Column("content_hash", Text),
    Column("state", Text, nullable=False),
    Column("batch_id", BigInteger, ForeignKey("batches.id")),
    Column("learned_in", BigInteger),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", UtcDateTime),
    _one_of("state", ExperienceState, "experience_state"),
    CheckConstraint("(state = 'leased') = (batch_id IS NOT NULL)", name="leased_means_in_one_batch"),
    CheckConstraint("state != 'learned' OR learned_in IS NOT NULL", name="learned_names_its_version"),
    CheckConstraint("learned_in IS NULL OR state IN ('learned', 'forgotten')", name="only_learned_has_a_version"),
    CheckConstraint("(state IN ('refused', 'dead')) = (reason IS NOT NULL)", name="set_aside_says_why"),
    CheckConstraint("state != 'forgotten' OR (text = '' AND words = '')", name="forgotten_has_no_text"),
    CheckConstraint("not_before IS NULL OR state = 'pending'", name="only_pending_is_put_off"),
    ForeignKeyConstraint(["lineage", "learned_in"], ["versions.lineage", "versions.number"]),
    Index("experiences_by_state", "lineage", "state", "id"),
    Index("experiences_by_lineage", "lineage", "id"),
    _index_where("one_experience_per_key", "lineage", "key", where="key IS NOT NULL", unique=True),
    _index_where("experiences_by_batch", "batch_id", where="batch_id IS NOT NULL"),
    # Most experiences have neither priority nor surprise: these two cost them nothing.
    _index_where("pending_by_priority", "lineage", text("priority DESC"), "id",
                 where="state = 'pending' AND priority > 0"),
    _index_where("pending_by_surprise", "lineage", text("surprise DESC"), "id",
                 where="state = 'pending' AND surprise IS NOT NULL"),
    sqlite_autoincrement=True,
)  # fmt: skip

facts = Table(
    "facts",
    metadata,
    Column("experience_id", BigInteger, ForeignKey("experiences.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("lineage", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("relation", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("subject_words", Text, nullable=False),
    PrimaryKeyConstraint("experience_id", "position"),
    Index("facts_by_subject", "lineage", "subject_words"),
)

batch_members = Table(
    "batch_members",
    metadata,
    Column("batch_id", BigInteger, ForeignKey("batches.id"), nullable=False),
    Column("experience_id", BigInteger, ForeignKey("experiences.id"), nullable=False),
    PrimaryKeyConstraint("batch_id", "experience_id"),
    Index("batches_by_member", "experience_id"),
)

# The rare things that batches and their ends do not tell: of one experience, or, for a rollback, of the lineage.
happenings = Table(
    "happenings",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("lineage", Text, nullable=False),
    Column("experience_id", BigInteger, ForeignKey("experiences.id")),
    Column("time", UtcDateTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", BigInteger),
    Column("detail", Text),
    _one_of("kind", ("refused", "died", "requeued", "forgotten", "rolled_back"), "happening_kind"),
    CheckConstraint("(kind = 'rolled_back') = (experience_id IS NULL)", name="a_rollback_is_of_the_lineage"),
    Index("happenings_by_experience", "experience_id"),
    _index_where("rollbacks_by_lineage", "lineage", "id", where="kind = 'rolled_back'"),
    sqlite_autoincrement=True,
)

versions = Table(
    "versions",
    metadata,
    Column("lineage", Text, ForeignKey("lineages.name"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("parent", BigInteger),
    Column("batch_id", BigInteger, ForeignKey("batches.id")),
    Column("state", Text, nullable=False),
    Column("delta_path", Text),
    Column("delta_sha256", Text),
    Column("delta_kind", Text),
    Column("delta_bytes", BigInteger),
    Column("weights_hash", Text),
    Column("metrics", Metrics, nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("lineage", "number"),
    ForeignKeyConstraint(["lineage", "parent"], ["versions.lineage", "versions.number"]),
    _one_of("state", VersionState, "version_state"),
    CheckConstraint("number >= 0 AND (parent IS NULL OR parent < number)", name="parents_come_first"),
    CheckConstraint(
        "CASE WHEN number = 0 THEN parent IS NULL AND batch_id IS NULL AND delta_path IS NULL AND state = 'admitted'"
        " ELSE parent IS NOT NULL AND batch_id IS NOT NULL AND delta_path IS NOT NULL END",
        name="all_but_the_base_have_parent_batch_and_delta",
    ),
    CheckConstraint(
        "(delta_path IS NULL) = (delta_sha256 IS NULL) AND (delta_path IS NULL) = (delta_kind IS NULL)"
        " AND (delta_path IS NULL) = (delta_bytes IS NULL)",
        name="a_delta_is_whole_or_absent",
    ),
    CheckConstraint("(state = 'rejected') = (reason IS NOT NULL)", name="a_rejection_says_why"),
    _index_where("one_admitted_version_per_batch", "batch_id", where="state = 'admitted'", unique=True),
    Index("versions_by_batch", "batch_id"),
)

# What a snapshot holds follows from the deltas: it may go at any time.
snapshots = Table(
    "snapshots",
    metadata,
    Column("lineage", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("lineage", "version"),
    ForeignKeyConstraint(["lineage", "version"], ["versions.lineage", "versions.number"]),
)

targets = Table(
    "targets",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("lineage", Text, nullable=False),
    Column("experience_id", BigInteger, ForeignKey("experiences.id"), nullable=False),
    Column("batch_id", BigInteger, ForeignKey("batches.id"), nullable=False),
    Column("version", BigInteger),
    Column("superseded_by", BigInteger, ForeignKey("experiences.id")),
    Column("kind", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("completion", Text, nullable=False),
    Column("subject", Text),
    Column("relation", Text),
    Column("subject_words", Text),
    Column("relation_words", Text),
    Column("held_out", Boolean, nullable=False),
    Column("context_gain_nats", Float(53)),
    Column("payload", LargeBinary, nullable=False),
    _one_of("kind", ("question", "restatement", "near_miss"), "target_kind"),
    Index("targets_by_experience", "experience_id"),
    Index("targets_by_batch", "batch_id"),
    Index("targets_by_version", "lineage", "version"),
    Index("targets_by_subject", "lineage", "subject_words", "relation_words"),
    sqlite_autoincrement=True,
)

# The targets that replay may draw: of the head's ancestry, not superseded, not forgotten. Slots run without holes
# from 0, so that a uniform sample is a few index look-ups however long the log is.
live_targets = Table(
    "live_targets",
    metadata,
    Column("lineage", Text, nullable=False),
    Column("held_out", Boolean, nullable=False),
    Column("slot", BigInteger, nullable=False),
    Column("target_id", BigInteger, ForeignKey("targets.id"), nullable=False, unique=True),
    PrimaryKeyConstraint("lineage", "held_out", "slot"),
)

# Which version knows that which target is no longer true: a rollback takes it back.
supersessions = Table(
    "supersessions",
    metadata,
    Column("target_id", BigInteger, ForeignKey("targets.id"), nullable=False),
    Column("lineage", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("by_experience", BigInteger, ForeignKey("experiences.id"), nullable=False),
    PrimaryKeyConstraint("target_id", "version"),
    Index("supersessions_by_version", "lineage", "version"),
)

probes = Table(
    "probes",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("lineage", Text, nullable=False),
    Column("experience_id", BigInteger, ForeignKey("experiences.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("subject", Text),
    Column("relation", Text),
    Index("probes_by_lineage", "lineage", "id"),
    Index("probes_by_experience", "experience_id"),
    sqlite_autoincrement=True,
)

probe_results = Table(
    "probe_results",
    metadata,
    Column("probe_id", BigInteger, ForeignKey("probes.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    Column("correct", Boolean, nullable=False),
    PrimaryKeyConstraint("probe_id", "version"),
)


@event.listens_for(experiences, "after_create")
def _index_words(_table: Table, connection: Connection, **_: object) -> None:
    for statement in SEARCH_SQLITE if connection.dialect.name == "sqlite" else SEARCH_POSTGRESQL:
        connection.exec_driver_sql(statement)
