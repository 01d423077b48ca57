"""The bare SQL beside the log: the same rows in the same tables and transactions, by hand, with the driver alone.

It checks nothing, reads nothing back but ids, and takes rows whose every value was made beforehand. The fastest plain
way of each driver that we know stands here: what is slower would flatter us.
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Empty, LifoQueue
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.log_throughput_contestants import LINEAGE, Learned, key_of
from memory_log.words import searchable

_COLUMNS = ("lineage", "agent", "session", "time", "appended_at", "text", "words", "key", "content_hash", "state")
_TYPES = ("text", "text", "text", "timestamptz", "timestamptz", "text", "text", "text", "text", "text")


def _rows(texts: Sequence[str], now: object) -> list[tuple[Any, ...]]:
    return [
        (LINEAGE, "agent", "default", now, now, text, searchable(text), key_of(text),
         hashlib.sha256(text.encode()).hexdigest(), "pending")
        for text in texts
    ]  # fmt: skip


class RawSqlite:
    """The driver of Python's standard library: one connection and a lock, which beats waiting for a busy file."""

    _INSERT = f"INSERT INTO experiences ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"

    def __init__(self, url: str) -> None:
        path = str(make_url(url).database)
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._lock = threading.Lock()

    def prepared(self, texts: Sequence[str]) -> list[Any]:
        return _rows(texts, datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"))

    def append(self, items: Sequence[Any]) -> None:
        with self._transaction() as connection:
            if len(items) == 1:
                connection.execute(self._INSERT, items[0])
            else:
                connection.executemany(self._INSERT, items)

    def learn(self, num_batches: int, limit: int) -> Learned:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        num_experiences, claims, began = 0, [], time.perf_counter()
        for _ in range(num_batches):
            before = time.perf_counter()
            with self._transaction() as connection:
                head, batch, ids = self._claim(connection, limit, now)
            claims.append(time.perf_counter() - before)
            with self._transaction() as connection:
                number = connection.execute("SELECT max(number) + 1 FROM versions WHERE lineage = ?", (LINEAGE,))
                version = (LINEAGE, number.fetchone()[0], head, batch, now)
                connection.execute(
                    "INSERT INTO versions (lineage, number, parent, batch_id, created_at, state, delta_path,"
                    " delta_sha256, delta_kind, delta_bytes, weights_hash, metrics)"
                    " VALUES (?, ?, ?, ?, ?, 'candidate', 'default/1.safetensors', 'sha', 'lowrank', 1, 'hash', '{}')",
                    version,
                )
            with self._transaction() as connection:
                self._admit(connection, version[1], batch, now)
            num_experiences += len(ids)
        return Learned(num_experiences, time.perf_counter() - began, tuple(claims))

    def _claim(self, connection: sqlite3.Connection, limit: int, now: str) -> tuple[int, int, list[int]]:
        head, fence = connection.execute("SELECT head, fence FROM lineages WHERE name = ?", (LINEAGE,)).fetchone()
        pending = "SELECT id FROM experiences WHERE lineage = ? AND state = 'pending' ORDER BY id LIMIT ?"
        ids = [row[0] for row in connection.execute(pending, (LINEAGE, limit))]
        insert = "INSERT INTO batches (lineage, parent_version, state, fence, opened_at) VALUES (?, ?, 'open', ?, ?)"
        batch = connection.execute(insert, (LINEAGE, head, fence, now)).lastrowid
        assert batch is not None
        pairs = [(batch, number) for number in ids]
        connection.executemany("INSERT INTO batch_members (batch_id, experience_id) VALUES (?, ?)", pairs)
        connection.executemany("UPDATE experiences SET state = 'leased', batch_id = ? WHERE id = ?", pairs)
        return head, batch, ids

    def _admit(self, connection: sqlite3.Connection, number: int, batch: int, now: str) -> None:
        connection.execute(
            "UPDATE versions SET state = 'admitted' WHERE lineage = ? AND number = ?", (LINEAGE, number)
        )
        connection.execute(
            "UPDATE experiences SET state = 'learned', learned_in = ?, batch_id = NULL WHERE batch_id = ?",
            (number, batch),
        )
        connection.execute("UPDATE batches SET state = 'committed', ended_at = ? WHERE id = ?", (now, batch))
        connection.execute("UPDATE lineages SET head = ? WHERE name = ?", (number, LINEAGE))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class RawPostgresql:
    """psycopg: a connection for each writer; an append is one statement, and so its own transaction in one trip."""

    _INSERT = (
        f"INSERT INTO experiences ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))}) RETURNING id"
    )
    _INSERT_MANY = (
        f"INSERT INTO experiences ({', '.join(_COLUMNS)})"
        f" SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in _TYPES)}) RETURNING id"
    )

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: LifoQueue[psycopg.Connection[Any]] = LifoQueue()
        self._all: list[psycopg.Connection[Any]] = []

    def prepared(self, texts: Sequence[str]) -> list[Any]:
        return _rows(texts, datetime.now(UTC))

    def append(self, items: Sequence[Any]) -> None:
        with self._connection() as connection:
            if len(items) == 1:
                connection.execute(self._INSERT, items[0]).fetchone()
            else:
                connection.execute(self._INSERT_MANY, [list(column) for column in zip(*items, strict=True)]).fetchall()

    def learn(self, num_batches: int, limit: int) -> Learned:
        now = datetime.now(UTC)
        num_experiences, claims, began = 0, [], time.perf_counter()
        with self._connection() as connection:
            for _ in range(num_batches):
                before = time.perf_counter()
                with connection.transaction():
                    head, batch, num_claimed = self._claim(connection, limit, now)
                claims.append(time.perf_counter() - before)
                row = connection.execute(
                    "INSERT INTO versions (lineage, number, parent, batch_id, created_at, state, delta_path,"
                    " delta_sha256, delta_kind, delta_bytes, weights_hash, metrics) SELECT %s, max(number) + 1, %s,"
                    " %s, %s, 'candidate', 'default/1.safetensors', 'sha', 'lowrank', 1, 'hash', '{}' FROM versions"
                    " WHERE lineage = %s RETURNING number",
                    (LINEAGE, head, batch, now, LINEAGE),
                ).fetchone()
                assert row is not None
                with connection.transaction():
                    self._admit(connection, row[0], batch, now)
                num_experiences += num_claimed
        return Learned(num_experiences, time.perf_counter() - began, tuple(claims))

    def _claim(self, connection: psycopg.Connection[Any], limit: int, now: datetime) -> tuple[int, int, int]:
        row = connection.execute("SELECT head, fence FROM lineages WHERE name = %s FOR UPDATE", (LINEAGE,)).fetchone()
        assert row is not None
        head, fence = row
        insert = (
            "INSERT INTO batches (lineage, parent_version, state, fence, opened_at) VALUES (%s, %s, 'open', %s, %s)"
            " RETURNING id"
        )
        found = connection.execute(insert, (LINEAGE, head, fence, now)).fetchone()
        assert found is not None
        claimed = connection.execute(
            "WITH claimed AS (UPDATE experiences SET state = 'leased', batch_id = %s WHERE id IN (SELECT id FROM"
            " experiences WHERE lineage = %s AND state = 'pending' ORDER BY id LIMIT %s) RETURNING id)"
            " INSERT INTO batch_members (batch_id, experience_id) SELECT %s, id FROM claimed RETURNING experience_id",
            (found[0], LINEAGE, limit, found[0]),
        ).fetchall()
        return head, found[0], len(claimed)

    def _admit(self, connection: psycopg.Connection[Any], number: int, batch: int, now: datetime) -> None:
        with connection.pipeline():
            connection.execute(
                "UPDATE versions SET state = 'admitted' WHERE lineage = %s AND number = %s", (LINEAGE, number)
            )
            connection.execute(
                "UPDATE experiences SET state = 'learned', learned_in = %s, batch_id = NULL WHERE batch_id = %s",
                (number, batch),
            )
            connection.execute("UPDATE batches SET state = 'committed', ended_at = %s WHERE id = %s", (now, batch))
            connection.execute("UPDATE lineages SET head = %s WHERE name = %s", (number, LINEAGE))

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._opened()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def _opened(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._url, autocommit=True)
        connection.execute("SET synchronous_commit TO on")
        self._all.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._all:
            connection.close()


class BareSqlite(RawSqlite):
    """One table with a text and a state, and nothing else, for information. It appends only."""

    _INSERT = "INSERT INTO bare (text, state) VALUES (?, ?)"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._connection.execute("CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, text TEXT, state TEXT)")

    def prepared(self, texts: Sequence[str]) -> list[Any]:
        return [(text, "pending") for text in texts]


class BarePostgresql(RawPostgresql):
    """The same on PostgreSQL."""

    _INSERT = "INSERT INTO bare (text, state) VALUES (%s, %s) RETURNING id"
    _INSERT_MANY = "INSERT INTO bare (text, state) SELECT * FROM unnest(%s::text[], %s::text[]) RETURNING id"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        with self._connection() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, text TEXT, state TEXT)")

    def prepared(self, texts: Sequence[str]) -> list[Any]:
        return [(text, "pending") for text in texts]
