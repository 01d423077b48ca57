"""The two ways to append: what is said to sqlite3 and to psycopg. Knows their SQL. Refuses to know what is appended.

Every statement is a constant, so that it is parsed once; lists travel as one value.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Any

from memory_log.appending import (
    COLUMNS,
    FACT_COLUMNS,
    PENDING,
    SPILLED,
    Fresh,
    Key,
    Standing,
    Stored,
    fact_rows,
    row_of,
    utc_text,
)

if TYPE_CHECKING:
    from psycopg import Connection as PostgresqlConnection

_POSTGRESQL_TYPES: Mapping[str, str] = {
    "step": "bigint", "time": "timestamptz", "appended_at": "timestamptz", "reward": "float8", "priority": "int",
    "surprise": "float8",
}  # fmt: skip
_ARRAYS = ", ".join(f"%s::{_POSTGRESQL_TYPES.get(name, 'text')}[]" for name in COLUMNS)
_NEW = f"unnest({_ARRAYS}) WITH ORDINALITY AS new ({', '.join(COLUMNS)}, place)"
_NEW_COLUMNS = ", ".join(f"new.{name}" for name in COLUMNS)


def _marks(count: int) -> str:
    return ", ".join(["?"] * count)


class SqliteAppend:
    """Appends through sqlite3.

    Args:
        connection: outside any transaction, in sqlite3's autocommit mode; nobody else uses it meanwhile.
    """

    _INSERT = f"INSERT INTO experiences (id, {', '.join(COLUMNS)}) VALUES ({_marks(len(COLUMNS) + 1)})"
    _FACTS = f"INSERT INTO facts ({', '.join(FACT_COLUMNS)}) VALUES ({_marks(len(FACT_COLUMNS))})"
    _KEYS = (
        "SELECT key, id, content_hash FROM experiences WHERE lineage = ? AND key IN (SELECT value FROM json_each(?))"
    )
    _COUNT = "SELECT count(*) FROM (SELECT 1 FROM experiences WHERE lineage = ? AND state = ? LIMIT ?)"

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    def begin(self, lineages: Sequence[str], keys: Sequence[Key], most_pending: Mapping[str, int]) -> Standing:
        """Take the turn, which in SQLite is everybody's, and look."""
        self._connection.execute("BEGIN IMMEDIATE")
        stored: dict[Key, Stored] = {}
        for lineage, names in _by_lineage(keys).items():
            for key, number, content_hash in self._connection.execute(self._KEYS, (lineage, json.dumps(names))):
                stored[lineage, key] = Stored(number, content_hash)
        return Standing(
            stored,
            {lineage: self._count(lineage, PENDING, most) for lineage, most in most_pending.items()},
            frozenset(lineage for lineage in most_pending if self._count(lineage, SPILLED, 1)),
        )

    def _count(self, lineage: str, state: str, most: int) -> int:
        count: int = self._connection.execute(self._COUNT, (lineage, state, most)).fetchone()[0]
        return count

    def insert(self, fresh: Sequence[Fresh], now: datetime) -> list[int]:
        """Store the rows under the next ids, and commit."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        # Nobody else can insert now, so that the next ids are known.
        last = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'experiences'").fetchone()
        first = 1 if last is None else last[0] + 1
        ids = list(range(first, first + len(fresh)))
        at = utc_text(now)
        rows = [(number, *row_of(one, at, utc_text)) for number, one in zip(ids, fresh, strict=True)]
        self._connection.executemany(self._INSERT, rows)
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
        connection: of psycopg, in autocommit mode and outside any transaction; nobody else uses it meanwhile.
    """

    _TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(%s::text[]) AS turn (name)"
    # One statement is one transaction and one trip. Its own snapshot is older than the turn, which matters to nothing
    # that it reads, and ids are drawn after the turn.
    _INSERT = (
        f"WITH turn AS MATERIALIZED ({_TURNS}), first AS MATERIALIZED (SELECT count(*) FROM turn) "
        f"INSERT INTO experiences ({', '.join(COLUMNS)}) "
        f"SELECT {_NEW_COLUMNS} FROM first, {_NEW} ORDER BY place RETURNING id"
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
    _COUNT = "SELECT count(*) FROM (SELECT 1 FROM experiences WHERE lineage = %s AND state = %s LIMIT %s) AS some"

    def __init__(self, connection: "PostgresqlConnection[tuple[Any, ...]]") -> None:
        self._connection = connection

    def begin(self, lineages: Sequence[str], keys: Sequence[Key], most_pending: Mapping[str, int]) -> Standing:
        """Begin, take the lineages' turns, and look."""
        with self._connection.pipeline():
            self._connection.execute("BEGIN")
            self._connection.execute(self._TURNS, (list(lineages),))
        stored: dict[Key, Stored] = {}
        for lineage, names in _by_lineage(keys).items():
            for key, number, content_hash in self._connection.execute(self._KEYS, (lineage, names)):
                stored[lineage, key] = Stored(number, content_hash)
        return Standing(
            stored,
            {lineage: self._count(lineage, PENDING, most) for lineage, most in most_pending.items()},
            frozenset(lineage for lineage in most_pending if self._count(lineage, SPILLED, 1)),
        )

    def _count(self, lineage: str, state: str, most: int) -> int:
        count: int = self._connection.execute(self._COUNT, (lineage, state, most)).fetchone()[0]
        return count

    def insert(self, fresh: Sequence[Fresh], now: datetime) -> list[int]:
        """Store the rows, and commit."""
        rows = [row_of(one, now, _as_it_is) for one in fresh]
        columns = [list(values) for values in zip(*rows, strict=True)]
        if not self._is_in_transaction():
            lineages = sorted({one.new.lineage for one in fresh})
            found = self._connection.execute(self._INSERT, (lineages, *columns)).fetchall()
            return sorted(row[0] for row in found)
        ids = sorted(row[0] for row in self._connection.execute(self._IDS, (len(fresh),)))
        with self._connection.pipeline():
            self._connection.execute(self._INSERT_WITH_IDS, (ids, *columns))
            facts = fact_rows(fresh, ids)
            if facts:
                self._connection.execute(self._FACTS, [list(values) for values in zip(*facts, strict=True)])
            self._connection.execute("COMMIT")
        return ids

    def _is_in_transaction(self) -> bool:
        return bool(self._connection.pgconn.transaction_status)

    def end(self) -> None:
        """Commit."""
        self._connection.execute("COMMIT")


def _as_it_is(time: datetime) -> datetime:
    return time


def _by_lineage(keys: Sequence[Key]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for lineage, key in keys:
        found[lineage].append(key)
    return found
