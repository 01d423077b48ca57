"""Checks of the database itself: whether it is whole, safe against power loss, of this schema, and readable row by row.

Knows what SQLite and PostgreSQL tell about themselves. Refuses to know what rows mean.
"""

from collections.abc import Callable, Iterator

from pydantic import ValidationError
from sqlalchemy import Connection, Table, func, inspect, select
from sqlalchemy.exc import DBAPIError

from memory_log import experiences as reading
from memory_log.backup import PROGRAMS, own_programs
from memory_log.findings import MEND, RESTORE, SAVE, Finding
from memory_log.search_index import SEARCH_SQLITE
from memory_log.tables import SCHEMA_VERSION, experiences, metadata, schema_version

_PAGE = 500
_NUM_FAULTS = 5


def check_whole(connection: Connection, is_quick: bool) -> Iterator[Finding]:
    """SQLite finds its pages, indexes and constraints in order. A server answers, and acknowledges what is on disk."""
    if connection.dialect.name != "sqlite":
        yield from _check_server(connection)
        return
    faults = page_faults(connection, is_quick)
    if faults:
        yield Finding(check="database", severity="error", what=f"SQLite finds damage: {'; '.join(faults)}", mend=SAVE)
    if is_quick:
        return
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(_NUM_FAULTS):
        yield Finding(
            check="database", severity="error", what=f"row {row} of {table} names a row of {parent} that is gone",
            mend=f"{MEND}, which mends what the other checks name; if this stays, {RESTORE}",
        )  # fmt: skip


def page_faults(connection: Connection, is_quick: bool) -> list[str]:
    """What SQLite finds wrong with pages, indexes and constraints; nothing is said of a server."""
    if connection.dialect.name != "sqlite":
        return []
    pragma = "quick_check" if is_quick else "integrity_check"
    lines = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA {pragma}({_NUM_FAULTS})")]
    # Later releases of SQLite look into the index of words here too, which has a check of its own and can be made anew.
    return [line for line in lines if line != "ok" and "experience_words" not in line]


def _check_server(connection: Connection) -> Iterator[Finding]:
    for setting in ("fsync", "full_page_writes"):
        value = connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
        if value != "on":
            yield Finding(
                check="database", severity="warning",
                what=f"the server runs with {setting} = {value}: a power loss can damage what was acknowledged",
                mend=f"have it set: ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()",
            )  # fmt: skip


def check_schema(connection: Connection) -> Iterator[Finding]:
    """Tables, columns and indexes are those of this release, and nothing runs by itself that we did not put there."""
    found = connection.execute(select(schema_version.c.version)).scalar_one_or_none()
    if found != SCHEMA_VERSION:
        yield _schema(f"the log says schema version {found}, this release writes {SCHEMA_VERSION}", SAVE)
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in there:
            yield _schema(f"the table {table.name} is missing", SAVE)
            continue
        lacking = {column.name for column in table.columns} - {one["name"] for one in inspector.get_columns(table.name)}
        if lacking:
            yield _schema(f"the table {table.name} lacks {', '.join(sorted(lacking))}", SAVE)
        yield from _lacking_indexes(table, {str(one["name"]) for one in inspector.get_indexes(table.name)})
    if connection.dialect.name == "sqlite":
        strangers = {str(row[0]) for row in connection.exec_driver_sql(PROGRAMS)} - own_programs()
        for program in sorted(strangers)[:_NUM_FAULTS]:
            yield _schema(
                f"the log holds a program that no release put there: {' '.join(program.split())[:80]}",
                "if you do not know it, do not write to this log; restore a back-up into a new home",
            )


def _lacking_indexes(table: Table, there: set[str]) -> Iterator[Finding]:
    lacking = {str(index.name) for index in table.indexes} - there
    if lacking:
        yield Finding(
            check="schema", severity="warning", what=f"the table {table.name} lacks the indexes {sorted(lacking)}",
            mend=MEND,
        )  # fmt: skip


def check_search(connection: Connection, is_quick: bool) -> Iterator[Finding]:
    """The index of words is there, is kept by itself, and names the words that the experiences hold.

    SQLite compares the two only in a transaction that could write; the quick form leaves it out.
    """
    fault = search_fault(connection, is_quick)
    if fault is not None:
        yield Finding(check="search", severity="error", what=f"the index of words {fault}", mend=MEND)


def search_fault(connection: Connection, is_quick: bool) -> str | None:
    """What is wrong with the index of words."""
    if connection.dialect.name != "sqlite":
        statement = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('experience_words')"
        is_valid = connection.exec_driver_sql(statement).scalar()
        return None if is_valid else "is not there" if is_valid is None else "was never finished"
    if not inspect(connection).has_table("experience_words"):
        return "is not there"
    triggers = set(connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'trigger'").scalars())
    if not {statement for statement in SEARCH_SQLITE if "TRIGGER" in statement} <= triggers:
        return "is not kept by itself: a trigger is missing"
    try:
        with connection.begin_nested():
            if not is_quick:
                connection.exec_driver_sql(
                    "INSERT INTO experience_words(experience_words, rank) VALUES ('integrity-check', 1)"
                )
    except DBAPIError as exc:
        return f"does not agree with the experiences ({exc.orig})"
    return None


def _schema(what: str, mend: str) -> Finding:
    return Finding(check="schema", severity="error", what=what, mend=mend)


def check_rows(connection: Connection, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    """Every experience can be read, with its facts, a page at a time."""
    last: int = connection.execute(select(func.max(experiences.c.id))).scalar() or 0
    after, unreadable, reason = 0, list[int](), ""
    while after < last and len(unreadable) < _NUM_FAULTS:
        progress(after, last)
        page = select(experiences.c.id).where(experiences.c.id > after).order_by(experiences.c.id).limit(_PAGE)
        ids = list(connection.execute(page).scalars())
        if not ids:
            break
        for number, fault in _unreadable(connection, ids):
            unreadable, reason = [*unreadable, number], fault
        after = ids[-1]
    progress(last, last)
    if unreadable:
        yield Finding(
            check="rows", severity="error",
            what=f"experiences that cannot be read ({reason}): {', '.join(map(str, unreadable[:_NUM_FAULTS]))}",
            mend=SAVE,
        )  # fmt: skip


def _unreadable(connection: Connection, ids: list[int]) -> Iterator[tuple[int, str]]:
    # A page is read at once; only one that fails is halved, down to the rows at fault.
    try:
        reading.by_ids(connection, ids)
    except (ValueError, ValidationError, LookupError, TypeError, DBAPIError) as exc:
        if len(ids) == 1:
            yield ids[0], " ".join(str(getattr(exc, "orig", None) or exc).split())[:160]
            return
        middle = len(ids) // 2
        yield from _unreadable(connection, ids[:middle])
        yield from _unreadable(connection, ids[middle:])
