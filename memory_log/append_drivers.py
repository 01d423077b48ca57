"""The two ways to append: what is said to sqlite3 and to psycopg. Knows their SQL. Refuses to know what is appended.

Every statement is a constant, so that it is parsed once; lists travel as one value.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from memory_log.appending import (
    COLUMNS,
    FACT_COLUMNS,
    PENDING,
    SPILLED,
    Fresh,
    Key,
    KeyTaken,
    Standing,
    Stored,
    fact_rows,
    row_of,
    utc_text,
)
from memory_log.bells import CHANNEL_LOCK, mark_of
from memory_log.database import DriverTransaction

if TYPE_CHECKING:
    from psycopg import Connection as PostgresqlConnection

_POSTGRESQL_TYPES: Mapping[str, str] = {
    "step": "bigint", "time": "timestamptz", "appended_at": "timestamptz", "reward": "float8", "priority": "int",
    "surprise": "float8",
}  # fmt: skip
_VALUES = ", ".join(f"%s::{_POSTGRESQL_TYPES.get(name, 'text')}" for name in COLUMNS)
_ARRAYS = ", ".join(f"%s::{_POSTGRESQL_TYPES.get(name, 'text')}[]" for name in COLUMNS)
_NEW = f"unnest({_ARRAYS}) WITH ORDINALITY AS new ({', '.join(COLUMNS)}, place)"
_NEW_COLUMNS = ", ".join(f"new.{name}" for name in COLUMNS)


_UNIQUE_VIOLATION = "23505"


def _marks(count: int) -> str:
    return ", ".join(["?"] * count)


class SqliteAppend:
    """Appends through sqlite3.

    Args:
        transaction: outside any transaction, in sqlite3's autocommit mode; nobody else uses it meanwhile.
    """

    _INSERT = f"INSERT INTO experiences (id, {', '.join(COLUMNS)}) VALUES ({_marks(len(COLUMNS) + 1)})"
    _FACTS = f"INSERT INTO facts ({', '.join(FACT_COLUMNS)}) VALUES ({_marks(len(FACT_COLUMNS))})"
    _KEYS = (
        "SELECT key, id, content_hash FROM experiences WHERE lineage = ? AND key IN (SELECT value FROM json_each(?))"
    )
    _COUNT = "SELECT count(*) FROM (SELECT 1 FROM experiences WHERE lineage = ? AND state = ? LIMIT ?)"

    def __init__(self, transaction: DriverTransaction) -> None:
        self._connection: sqlite3.Connection = transaction.connection

    def begin(self, lineages: Sequence[str], keys: Sequence[Key], most_pending: Mapping[str, int]) -> Standing:
        """Take the turn, which in SQLite is everybody's, and look."""
        self._connection.execute("BEGIN IMMEDIATE")
        return _standing(keys, most_pending, self._stored, self._count)

    def _stored(self, lineage: str, names: list[str]) -> Iterable[tuple[str, int, str | None]]:
        return self._connection.execute(self._KEYS, (lineage, json.dumps(names)))

    def _count(self, lineage: str, state: str, most: int) -> int:
        count: int = self._connection.execute(self._COUNT, (lineage, state, most)).fetchone()[0]
        return count

    def insert(self, fresh: Sequence[Fresh], now: datetime) -> list[int]:
        """Store the rows under the next ids, and commit."""
        has_looked = self._connection.in_transaction
        if not has_looked:
            self._connection.execute("BEGIN IMMEDIATE")
        # Nobody else can insert now, so that the next ids are known.
        last = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'experiences'").fetchone()
        first = 1 if last is None else last[0] + 1
        ids = list(range(first, first + len(fresh)))
        at = utc_text(now)
        rows = [(number, *row_of(one, at, utc_text)) for number, one in zip(ids, fresh, strict=True)]
        try:
            self._connection.executemany(self._INSERT, rows)
        except sqlite3.IntegrityError as exc:
            if has_looked or exc.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            self._connection.execute("ROLLBACK")
            raise KeyTaken from exc
        facts = fact_rows(fresh, ids)
        if facts:
            self._connection.executemany(self._FACTS, facts)
        self.end()
        return ids

    def end(self) -> None:
        """Commit."""
        self._connection.execute("COMMIT")


class PostgresqlAppend:
    """Appends through psycopg.

    Ids come from a sequence before the commit. Without turns a smaller id could appear after a larger one had been
    claimed or listed, and a reader that goes on from the last id would miss it.

    Args:
        transaction: of psycopg, in autocommit mode and outside any transaction; nobody else uses it meanwhile.
    """

    _TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(%s::text[]) AS turn (name)"
    # Ringing is a trip of its own, which is spared where nobody waits. Whoever begins to wait while this lock is held
    # looks at the log when it is free, after the commit.
    _IS_HEARD = f"SELECT bool_or(NOT pg_try_advisory_xact_lock({CHANNEL_LOCK})) FROM unnest(%s::text[]) AS mark"
    # One statement is one transaction and one trip. Its own snapshot is older than the turn, which matters to nothing
    # that it reads, and ids are drawn after the turn.
    _INSERT = (
        f"WITH turn AS MATERIALIZED ({_TURNS}), first AS MATERIALIZED (SELECT count(*) FROM turn) "
        f"INSERT INTO experiences ({', '.join(COLUMNS)}) "
        f"SELECT {_NEW_COLUMNS} FROM first, {_NEW} ORDER BY place RETURNING id, ({_IS_HEARD})"
    )
    # The same for one row alone, which arrays would make dearer by half.
    _INSERT_ONE = (
        "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))) "
        f"INSERT INTO experiences ({', '.join(COLUMNS)}) SELECT {_VALUES} FROM turn "
        "ON CONFLICT (lineage, key) WHERE key IS NOT NULL DO NOTHING "
        f"RETURNING id, (SELECT NOT pg_try_advisory_xact_lock({CHANNEL_LOCK}) FROM (SELECT %s::text AS mark) AS one)"
    )
    _IDS = "SELECT nextval(pg_get_serial_sequence('experiences', 'id')) FROM generate_series(1, %s)"
    _INSERT_WITH_IDS = (
        f"INSERT INTO experiences (id, {', '.join(COLUMNS)}) "
        f"SELECT given.id, {_NEW_COLUMNS} "
        f"FROM unnest(%s::bigint[]) WITH ORDINALITY AS given (id, place) JOIN {_NEW} USING (place)"
    )
    _FACTS = (
        f"INSERT INTO facts ({', '.join(FACT_COLUMNS)}) SELECT * FROM "
        "unnest(%s::bigint[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
    )
    _KEYS = "SELECT key, id, content_hash FROM experiences WHERE lineage = %s AND key = ANY(%s::text[])"
    _COUNT = "SELECT count(*) FROM (SELECT 1 FROM experiences WHERE lineage = %s AND state = %s LIMIT %s) AS found"

    def __init__(self, transaction: DriverTransaction) -> None:
        self._transaction = transaction
        self._connection: PostgresqlConnection[tuple[Any, ...]] = transaction.connection

    def begin(self, lineages: Sequence[str], keys: Sequence[Key], most_pending: Mapping[str, int]) -> Standing:
        """Begin, take the lineages' turns, and look."""
        with self._connection.pipeline():
            self._connection.execute("BEGIN")
            self._connection.execute(self._TURNS, (list(lineages),))
        return _standing(keys, most_pending, self._stored, self._count)

    def _stored(self, lineage: str, names: list[str]) -> Iterable[tuple[str, int, str | None]]:
        yield from self._connection.execute(self._KEYS, (lineage, names))

    def _count(self, lineage: str, state: str, most: int) -> int:
        return sum(row[0] for row in self._connection.execute(self._COUNT, (lineage, state, most)))

    def insert(self, fresh: Sequence[Fresh], now: datetime) -> list[int]:
        """Store the rows, and commit."""
        has_looked = bool(self._connection.pgconn.transaction_status)
        if not has_looked and not any(one.new.facts for one in fresh):
            return self._insert_in_one_trip(fresh, now)
        ids = self._next_ids(fresh, has_looked)
        try:
            self._connection.execute(self._INSERT_WITH_IDS, (_array(ids), *_columns(fresh, now)))
        except Exception as exc:
            if has_looked or not _says_unique(exc):
                raise
            self._connection.execute("ROLLBACK")
            raise KeyTaken from exc
        facts = fact_rows(fresh, ids)
        self._transaction.is_committing = True
        with self._connection.pipeline():
            if facts:
                self._connection.execute(self._FACTS, list(map(_array, zip(*facts, strict=True))))
            self._connection.execute("COMMIT")
        return ids

    def _next_ids(self, fresh: Sequence[Fresh], has_looked: bool) -> list[int]:
        with self._connection.pipeline():
            if not has_looked:
                self._connection.execute("BEGIN")
                self._connection.execute(self._TURNS, (sorted({one.new.lineage for one in fresh}),))
            found = self._connection.execute(self._IDS, (len(fresh),))
        return sorted(row[0] for row in found)

    def _insert_in_one_trip(self, fresh: Sequence[Fresh], now: datetime) -> list[int]:
        self._transaction.is_committing = True
        try:
            if len(fresh) == 1:
                lineage, row = fresh[0].new.lineage, row_of(fresh[0], now, _as_it_is)
                found = self._connection.execute(self._INSERT_ONE, (lineage, *row, mark_of(lineage))).fetchall()
            else:
                lineages = sorted({one.new.lineage for one in fresh})
                marks = [mark_of(lineage) for lineage in lineages]
                found = self._connection.execute(self._INSERT, (lineages, *_columns(fresh, now), marks)).fetchall()
        except Exception as exc:
            if not _says_unique(exc):
                raise
            found = []
        if not found:
            self._transaction.is_committing = False
            raise KeyTaken
        self._transaction.is_heard = any(row[1] for row in found)
        return sorted(row[0] for row in found)

    def end(self) -> None:
        """Commit."""
        self._connection.execute("COMMIT")


def _standing(
    keys: Sequence[Key],
    most_pending: Mapping[str, int],
    stored_in: Callable[[str, list[str]], Iterable[tuple[str, int, str | None]]],
    count: Callable[[str, str, int], int],
) -> Standing:
    """What a driver finds by its two questions: which keys a lineage has, and how many of it are in a state."""
    return Standing(
        {
            (lineage, key): Stored(number, content_hash)
            for lineage, names in _by_lineage(keys).items()
            for key, number, content_hash in stored_in(lineage, names)
        },
        {lineage: count(lineage, PENDING, most) for lineage, most in most_pending.items()},
        frozenset(lineage for lineage in most_pending if count(lineage, SPILLED, 1)),
    )


def _as_it_is(time: datetime) -> datetime:
    return time


def _says_unique(error: Exception) -> bool:
    return getattr(error, "sqlstate", None) == _UNIQUE_VIOLATION


def _columns(fresh: Sequence[Fresh], now: datetime) -> list[str]:
    rows = [row_of(one, now.isoformat(), datetime.isoformat) for one in fresh]
    return [_array(values) for values in zip(*rows, strict=True)]


def _array(values: Sequence[str | float | None]) -> str:
    """An array as PostgreSQL reads it. The driver asks of each element what type it has, which takes twice as long."""
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: str | float | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


def _by_lineage(keys: Sequence[Key]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for lineage, key in keys:
        found[lineage].append(key)
    return found
