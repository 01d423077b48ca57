"""A migrated log and a new one have the same schema, down to defaults, checks, and what an index leaves out."""

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from memory_log import migrations
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState
from memory_log.tables import SCHEMA_VERSION, metadata
from tests import schema_dumps
from tests.log_fixtures import HandClock, fresh_postgresql_schema
from tests.schema_dumps import connected, engine_of

# One line each, with the name of what it describes first.
_POSTGRESQL = """
    SELECT table_name || '.' || column_name, data_type, is_nullable, column_default, is_identity
        FROM information_schema.columns WHERE table_schema = current_schema()
    UNION ALL
    SELECT relname || '.' || conname, pg_get_constraintdef(c.oid), condeferrable::text, convalidated::text, NULL
        FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
        WHERE c.connamespace = current_schema()::regnamespace AND contype <> 'n'
    UNION ALL
    SELECT indexname, replace(indexdef, current_schema() || '.', ''), NULL, NULL, NULL
        FROM pg_indexes WHERE schemaname = current_schema()
    UNION ALL
    SELECT relname, relkind::text, NULL, NULL, NULL FROM pg_class WHERE relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT sequencename, data_type::text, increment_by::text, cycle::text, cache_size::text
        FROM pg_sequences WHERE schemaname = current_schema()
    UNION ALL
    SELECT t.relname || '.' || tgname, pg_get_triggerdef(g.oid), NULL, NULL, NULL
        FROM pg_trigger g JOIN pg_class t ON t.oid = tgrelid
        WHERE NOT tgisinternal AND t.relnamespace = current_schema()::regnamespace
"""

_PLACES = ("cid", "id", "seq")


def described(connection: Connection) -> dict[str, Any]:
    """Everything in the schema by name; columns in any order, which a table takes as they come."""
    if connection.dialect.name == "postgresql":
        found: dict[str, Any] = {}
        for name, *rest in connection.exec_driver_sql(_POSTGRESQL):
            found.setdefault(name, []).append(rest)
        return {name: sorted(lines, key=str) for name, lines in found.items()}
    found = {}
    for kind, name, table, sql in connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        found[name] = [kind, table, _parts(sql) if kind == "table" else _plain(sql)]
        for pragma in ("table_xinfo", "foreign_key_list", "index_list", "index_xinfo") if kind != "trigger" else ():
            rows = connection.exec_driver_sql(f'PRAGMA {pragma}("{name}")').mappings()
            found[name] += sorted(str([item for item in row.items() if item[0] not in _PLACES]) for row in rows)
    return found


def _plain(sql: str | None) -> str:
    # A table that was made under another name stands in quotes.
    return re.sub(r"\s+", " ", re.sub(r'^(CREATE TABLE) "(\w+)"', r"\1 \2", sql or ""))


def _parts(sql: str) -> list[str]:
    """A CREATE TABLE's columns and constraints."""
    head, _, body = _plain(sql).partition("(")
    parts, depth = [""], 0
    for sign in body.strip().removesuffix(")"):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [head.strip(), *sorted(part.strip() for part in parts)]


@pytest.fixture
def new_place(log_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Another empty place of the same kind."""
    if engine_of(log_url) == "sqlite":
        return f"sqlite:///{tmp_path}/new.db"
    return fresh_postgresql_schema(request.getfixturevalue("postgresql_server"), f"new_{uuid.uuid4().hex}")


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_migrated_log_has_the_schema_of_a_new_one(log_url: str, new_place: str, version: int) -> None:
    schema_dumps.load(log_url, version)
    MemoryLog(new_place).close()
    with connected(log_url) as old, connected(new_place) as new:
        assert described(old) != described(new)
    MemoryLog(log_url).close()
    with connected(log_url) as migrated, connected(new_place) as new:
        expected = described(new)
        assert "experiences_by_state" in expected and "experience_words" in expected
        assert described(migrated) == expected


@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index:UserWarning")
@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_alembic_finds_nothing_to_do_in_a_log_that_is_up_to_date(log_url: str, version: int) -> None:
    if version < SCHEMA_VERSION:
        schema_dumps.load(log_url, version)
    MemoryLog(log_url).close()
    with connected(log_url) as connection:
        assert compare_metadata(_comparing(connection), metadata) == []
        connection.exec_driver_sql("ALTER TABLE targets ADD COLUMN strange TEXT")
        assert [found[0] for found in compare_metadata(_comparing(connection), metadata)] == ["remove_column"]


def _comparing(connection: Connection) -> MigrationContext:
    # The metadata do not know the index of words, and alembic cannot compare indexes of SQLite with a direction.
    def is_known(name: str | None, _kind: str, _parents: object) -> bool:
        left_out = ("experience_words", "pending_by_") if connection.dialect.name == "sqlite" else "experience_words"
        return name is None or not name.startswith(left_out)

    options: dict[str, Any] = {"include_name": is_known}
    return MigrationContext.configure(connection, opts=options)


def test_the_last_migration_makes_this_releases_schema() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    revisions = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions == [f"{number:04d}" for number in range(SCHEMA_VERSION, 0, -1)]


def test_a_log_from_its_dump_says_the_same(log_url: str, new_place: str, clock: HandClock) -> None:
    with MemoryLog(log_url, clock=clock) as log:
        schema_dumps.fill(log, clock)
        told = schema_dumps.account(log)
    assert all(any(counts[state] for counts in told["counts"].values()) for state in ExperienceState)
    schema_dumps.load_text(new_place, schema_dumps.dump(log_url))
    with MemoryLog(new_place, clock=clock) as again, connected(log_url) as old, connected(new_place) as new:
        assert schema_dumps.account(again) == told
        assert described(new) == described(old)
        for name in metadata.tables:
            assert new.exec_driver_sql(f"SELECT 1 FROM {name} LIMIT 1").all(), f"{name} has rows"
        assert again.append(schema_dumps.KEYED).id in [one["id"] for one in told["experiences"]["default"]]
