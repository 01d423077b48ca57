"""Opening a database and its transactions: SQLite (WAL, FULL) or PostgreSQL, by URL. Knows no rows."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from memory_log.errors import BadInput, SchemaTooNew
from memory_log.tables import MADE_SINCE, SCHEMA_VERSION, metadata, schema_version

BUSY_SECONDS = 30
_SCHEMA_LOCK = 7_307_119_203  # an arbitrary number that all processes share


class Database:
    """A log's connection pool. Every `reading()` is one snapshot, every `writing()` one transaction, durable on return.

    Args:
        url: `sqlite:///path` (parent folders are made) or `postgresql://...`.

    Raises:
        BadInput: another kind of URL, SQLite in memory (which other processes could not see), a file that is no
            database, a folder without rights, a server that does not answer.
        SchemaTooNew: a newer release made the tables.
    """

    def __init__(self, url: str) -> None:
        parsed = _checked(url)
        try:
            self._engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
            with _disposed_on_error(self._engine):
                self._make_tables()
        except (DBAPIError, sqlite3.Error, OSError) as exc:
            reason = str(getattr(exc, "orig", None) or exc).strip().split("\n")[0]
            raise BadInput(
                f"cannot open the log at {parsed.render_as_string(hide_password=True)}: {reason}; "
                "check the path and its rights, or that the server runs"
            ) from exc

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot; nothing in it can block a writer."""
        with self._engine.connect() as bare:
            connection = bare
            if self._engine.dialect.name == "postgresql":
                connection = bare.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is on disk when this returns, or none of it ever happened."""
        with self._engine.connect() as bare:
            connection = bare.execution_options(is_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def bare(self) -> Iterator[Connection]:
        """A connection to SQLite outside any transaction, for the few statements that must be: VACUUM, checkpoints."""
        with self._engine.connect() as bare:
            yield bare.execution_options(is_bare=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether the log is a file, not a server's."""
        return self._engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close the pooled connections; the object may not be used afterwards."""
        self._engine.dispose()

    def _make_tables(self) -> None:
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                # CREATE TABLE IF NOT EXISTS still fails when two processes race for it.
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
            if not connection.dialect.has_table(connection, schema_version.name):
                metadata.create_all(connection)
                connection.execute(insert(schema_version).values(id=1, version=SCHEMA_VERSION))
            found: int = connection.execute(select(schema_version.c.version)).scalar_one()
            _bring_up_to_date(connection, found)
        if found > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"the log has schema version {found}, this release reads up to {SCHEMA_VERSION}; "
                "install the newer release that wrote it"
            )


def _bring_up_to_date(connection: Connection, found: int) -> None:
    """Make what releases since the log's own have added. Rows stay as they are, and the version says so at once."""
    for version in range(found, SCHEMA_VERSION):
        metadata.create_all(connection, tables=MADE_SINCE[version])
        connection.execute(update(schema_version).values(version=version + 1))


@contextmanager
def _disposed_on_error(engine: Engine) -> Iterator[None]:
    """Close the pooled connections when the body fails."""
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def _checked(url: str) -> URL:
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


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN comes too late (at the first write) and would be deferred; `_begin` says it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        _switch_to_wal(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
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


def _postgresql(url: URL) -> Engine:
    engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    event.listen(engine, "connect", _acknowledge_only_what_is_on_disk)
    return engine


def _acknowledge_only_what_is_on_disk(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION synchronous_commit TO on")
    cursor.close()
    connection.commit()
