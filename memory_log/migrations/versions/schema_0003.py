"""Schema 3: spilled experiences, priority, surprise, metadata, back-off, history, and an index of words.

The statements stand here as they were when the schema was made: later changes of `tables` and `search_index` must not
change what this one does.
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_STATES = "'spilled', 'pending', 'leased', 'learned', 'refused', 'dead', 'forgotten'"
_COLUMNS = (
    "id, lineage, agent, session, step, time, text, words, observation, action, reward, key, content_hash, state, "
    "batch_id, learned_in, reason, attempts"
)

# Whoever updates a lineage takes its row first. Once this lock is ours, nobody is in the midst of that, holding one of
# the other tables and waiting for the next.
_LOCK = "LOCK TABLE lineages, experiences, batches, schema_version IN ACCESS EXCLUSIVE MODE"

# SQLite cannot change a CHECK: the table is made anew, filled, and takes the old one's name, as sqlite.org says under
# ALTER TABLE. What is not known of old rows is when they were appended; when they were lived comes closest.
_SQLITE = (
    f"""CREATE TABLE experiences_3 (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        lineage TEXT NOT NULL,
        agent TEXT NOT NULL,
        session TEXT NOT NULL,
        step INTEGER,
        time DATETIME NOT NULL,
        appended_at DATETIME NOT NULL,
        text TEXT NOT NULL,
        words TEXT NOT NULL,
        observation TEXT,
        action TEXT,
        reward FLOAT,
        metadata TEXT,
        priority INTEGER DEFAULT '0' NOT NULL,
        surprise FLOAT,
        "key" TEXT,
        content_hash TEXT,
        state TEXT NOT NULL,
        batch_id INTEGER,
        learned_in INTEGER,
        reason TEXT,
        attempts INTEGER DEFAULT '0' NOT NULL,
        not_before DATETIME,
        CONSTRAINT experience_state CHECK (state IN ({_STATES})),
        CONSTRAINT leased_means_in_one_batch CHECK ((state = 'leased') = (batch_id IS NOT NULL)),
        CONSTRAINT learned_names_its_version CHECK (state != 'learned' OR learned_in IS NOT NULL),
        CONSTRAINT only_learned_has_a_version CHECK (learned_in IS NULL OR state IN ('learned', 'forgotten')),
        CONSTRAINT set_aside_says_why CHECK ((state IN ('refused', 'dead')) = (reason IS NOT NULL)),
        CONSTRAINT forgotten_has_no_text CHECK (state != 'forgotten' OR (text = '' AND words = '')),
        CONSTRAINT only_pending_is_put_off CHECK (not_before IS NULL OR state = 'pending'),
        FOREIGN KEY(lineage, learned_in) REFERENCES versions (lineage, number),
        FOREIGN KEY(batch_id) REFERENCES batches (id)
    )""",
    f"INSERT INTO experiences_3 ({_COLUMNS}, appended_at) SELECT {_COLUMNS}, time FROM experiences ORDER BY id",
    "DROP TABLE experiences",
    "ALTER TABLE experiences_3 RENAME TO experiences",
    "CREATE INDEX experiences_by_state ON experiences (lineage, state, id)",
    "CREATE INDEX experiences_by_lineage ON experiences (lineage, id)",
    """CREATE VIRTUAL TABLE experience_words USING fts5(
        words, content='experiences', content_rowid='id', tokenize="ascii tokenchars '_'", detail=none, columnsize=0
    )""",
    "INSERT INTO experience_words(experience_words) VALUES ('rebuild')",
    """CREATE TRIGGER experience_words_insert AFTER INSERT ON experiences BEGIN
        INSERT INTO experience_words(rowid, words) VALUES (new.id, new.words);
    END""",
    """CREATE TRIGGER experience_words_update AFTER UPDATE OF words ON experiences BEGIN
        INSERT INTO experience_words(experience_words, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO experience_words(rowid, words) VALUES (new.id, new.words);
    END""",
    """CREATE TRIGGER experience_words_delete AFTER DELETE ON experiences BEGIN
        INSERT INTO experience_words(experience_words, rowid, words) VALUES ('delete', old.id, old.words);
    END""",
    """CREATE TABLE schema_version_3 (
        id INTEGER NOT NULL CONSTRAINT one_schema_version CHECK (id = 1),
        version INTEGER NOT NULL,
        identity TEXT NOT NULL,
        PRIMARY KEY (id)
    )""",
    "INSERT INTO schema_version_3 (id, version, identity) SELECT id, version, '' FROM schema_version",
    "DROP TABLE schema_version",
    "ALTER TABLE schema_version_3 RENAME TO schema_version",
    "ALTER TABLE batches ADD COLUMN ended_at DATETIME",
)
_POSTGRESQL = (
    "ALTER TABLE experiences DROP CONSTRAINT experience_state",
    f"ALTER TABLE experiences ADD CONSTRAINT experience_state CHECK (state IN ({_STATES}))",
    """ALTER TABLE experiences
        ADD COLUMN appended_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN metadata TEXT,
        ADD COLUMN priority INTEGER DEFAULT '0' NOT NULL,
        ADD COLUMN surprise DOUBLE PRECISION,
        ADD COLUMN not_before TIMESTAMP WITH TIME ZONE""",
    # An UPDATE would leave every row behind once more, and take twice as long.
    """ALTER TABLE experiences
        ALTER COLUMN appended_at TYPE TIMESTAMP WITH TIME ZONE USING time, ALTER COLUMN appended_at SET NOT NULL""",
    "ALTER TABLE experiences ADD CONSTRAINT only_pending_is_put_off CHECK (not_before IS NULL OR state = 'pending')",
    "ALTER TABLE experiences DROP CONSTRAINT one_experience_per_key",
    "DROP INDEX experiences_by_batch",
    """CREATE INDEX experience_words ON experiences
        USING gin (array_to_tsvector(string_to_array(btrim(words), ' ')))""",
    "ALTER TABLE schema_version ADD COLUMN identity TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE schema_version ALTER COLUMN identity DROP DEFAULT",
    "ALTER TABLE batches ADD COLUMN ended_at TIMESTAMP WITH TIME ZONE",
)
_BOTH = (
    'CREATE UNIQUE INDEX one_experience_per_key ON experiences (lineage, "key") WHERE key IS NOT NULL',
    "CREATE INDEX experiences_by_batch ON experiences (batch_id) WHERE batch_id IS NOT NULL",
    "CREATE INDEX pending_by_priority ON experiences (lineage, priority DESC, id)"
    " WHERE state = 'pending' AND priority > 0",
    "CREATE INDEX pending_by_surprise ON experiences (lineage, surprise DESC, id)"
    " WHERE state = 'pending' AND surprise IS NOT NULL",
    "CREATE INDEX batches_by_member ON batch_members (experience_id)",
)

_WORD_CHARACTERS = 500
_AT_ONCE = 200


def _cut_long_words(connection: sa.Connection) -> None:
    # Earlier releases stored words of any length. PostgreSQL cannot index the longest, and a search cuts what it
    # looks for.
    last = 0
    page = sa.text(
        f"SELECT id, words FROM experiences WHERE id > :last AND length(words) > {_WORD_CHARACTERS} "
        f"ORDER BY id LIMIT {_AT_ONCE}"
    )
    while rows := connection.execute(page, {"last": last}).all():
        last = rows[-1].id
        cut = [(row, " ".join(word[:_WORD_CHARACTERS] for word in row.words.split(" "))) for row in rows]
        if changed := [{"id": row.id, "words": words} for row, words in cut if words != row.words]:
            connection.execute(sa.text("UPDATE experiences SET words = :words WHERE id = :id"), changed)


def upgrade() -> None:
    """Change the tables, make the index of words, and give the log an identity."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        op.get_bind().exec_driver_sql(_LOCK)
    _cut_long_words(op.get_bind())
    for statement in (*(_SQLITE if is_sqlite else _POSTGRESQL), *_BOTH):
        op.get_bind().exec_driver_sql(statement)
    op.create_table(
        "happenings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column(
            "experience_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("experiences.id"),
        ),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("detail", sa.Text),
        sa.CheckConstraint(
            "kind IN ('refused', 'died', 'requeued', 'forgotten', 'rolled_back')", name="happening_kind"
        ),
        sa.CheckConstraint("(kind = 'rolled_back') = (experience_id IS NULL)", name="a_rollback_is_of_the_lineage"),
        sqlite_autoincrement=True,
    )
    op.create_index("happenings_by_experience", "happenings", ["experience_id"])
    op.get_bind().exec_driver_sql(
        "CREATE INDEX rollbacks_by_lineage ON happenings (lineage, id) WHERE kind = 'rolled_back'"
    )
    op.get_bind().execute(
        sa.text("UPDATE schema_version SET version = 3, identity = :identity"), {"identity": uuid.uuid4().hex}
    )
