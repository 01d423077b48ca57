"""Connections to SQLite or PostgreSQL, by URL: how each is made, and how a transaction begins on it. Knows no rows."""

import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolProxiedConnection, QueuePool

from memory_log.errors import BadInput
from memory_log.files import aside_of, publish, sync
from memory_log.server import has_hung_up

BUSY_SECONDS = 30
CONNECT_SECONDS = 10
Durability = Literal["full", "fast"]
_SYNCHRONOUS: Final = {"full": "FULL", "fast": "NORMAL"}
_SYNCHRONOUS_COMMIT: Final = {"full": "on", "fast": "off"}
_CACHE_KIBIBYTES = 16_000


def checked(url: str) -> URL:
    """The URL of a log.

    Raises:
        BadInput: it is none, or of something else than a file or a PostgreSQL.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except ArgumentError as exc:
        raise BadInput(f"{url!r} is not a database URL; use sqlite:///path or postgresql://...") from exc
    if backend not in ("sqlite", "postgresql"):
        raise BadInput(f"got a {backend} URL; the log lives in sqlite:///path or postgresql://...")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise BadInput("got a SQLite URL without a file; the log has to survive its process: sqlite:///path")
    return parsed


def make_file(path: Path) -> None:
    """Give a new log its name when it has its first page, so that an empty file is always one that lost everything."""
    aside = aside_of(path)
    try:
        with closing(sqlite3.connect(aside)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        sync(aside)
        publish(aside, path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def sqlite_engine(url: URL, durability: Durability, pool: type[Pool] = QueuePool) -> Engine:
    """Connections to a file, which is there."""
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, poolclass=pool)
    event.listen(engine, "connect", partial(_set_pragmas, durability))
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(durability: Durability, connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN comes too late (at the first write) and would be deferred; `_begin` says it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        _switch_to_wal(cursor)
        for pragma in (f"synchronous={_SYNCHRONOUS[durability]}", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
    finally:
        cursor.close()


def _switch_to_wal(cursor: DBAPICursor) -> None:
    # While several processes open a new file at once, SQLite refuses this switch without waiting out its busy timeout.
    give_up_at = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once and waits for it; a deferred transaction that turns to writing later
    # fails when another process wrote in between.
    if connection.get_execution_options().get("is_bare", False):
        return
    is_write = connection.get_execution_options().get("is_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def postgresql_engine(url: URL, durability: Durability) -> Engine:
    """Connections to a server."""
    patience = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
    engine = create_engine(url.set(drivername="postgresql+psycopg"), connect_args=patience)
    event.listen(engine, "connect", partial(_set_commit, durability))
    event.listen(engine, "checkout", _refuse_what_hung_up)
    event.listen(engine, "begin", _begin_on_server)
    return engine


def _set_commit(durability: Durability, connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN would wait for the first statement of the body; `_begin_on_server` says it before.
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"SET SESSION synchronous_commit TO {_SYNCHRONOUS_COMMIT[durability]}")
    cursor.close()


def _refuse_what_hung_up(
    connection: DBAPIConnection, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    if has_hung_up(connection):
        raise InvalidatePoolError  # makes the pool anew: its connections died together


def _begin_on_server(connection: Connection) -> None:
    if connection.get_execution_options().get("is_bare", False):
        return
    is_write = connection.get_execution_options().get("is_write", False)
    kind = "READ COMMITTED READ WRITE" if is_write else "REPEATABLE READ READ ONLY"
    connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL {kind}")
