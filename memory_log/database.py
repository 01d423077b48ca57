"""Opening a database and its transactions: SQLite (WAL, FULL) or PostgreSQL, by URL. Knows no rows."""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from memory_log.disk import disk_full, says_full
from memory_log.errors import BadInput, DiskFull, SchemaTooNew
from memory_log.readonly import ReadonlyFile
from memory_log.tables import SCHEMA_VERSION, metadata, schema_version

BUSY_SECONDS = 30
Durability = Literal["full", "fast"]
_SYNCHRONOUS: Final = {"full": "FULL", "fast": "NORMAL"}
_SYNCHRONOUS_COMMIT: Final = {"full": "on", "fast": "off"}
_SCHEMA_LOCK = 7_307_119_203  # an arbitrary number that all processes share


class Database:
    """A log's connection pool. Every `reading()` is one snapshot, every `writing()` one transaction, durable on return.

    Args:
        url: `sqlite:///path` (parent folders are made) or `postgresql://...`.
        is_readonly: a SQLite file that is only read, from a place that cannot be written.
        durability: `full`: what returned survives a power loss. `fast`: it survives the death of every process of ours,
            but a power loss, or a crash of PostgreSQL's server, may take the last moments; nothing is ever half there.

    Raises:
        DiskFull: there is no room for the file, or for the index of its WAL, which reading needs too.
        BadInput: another kind of URL, SQLite in memory (which other processes could not see), a file that is no
            database, a folder without rights, a server that does not answer.
        SchemaTooNew: a newer release made the tables.
    """

    def __init__(self, url: str, *, is_readonly: bool = False, durability: Durability = "full") -> None:
        if durability not in get_args(Durability):
            raise BadInput(f"got the durability {durability!r}; choose full (the default) or fast")
        parsed = _checked(url)
        is_file = parsed.get_backend_name() == "sqlite"
        self._place = str(parsed.database) if is_file else parsed.render_as_string(hide_password=True)
        self._reader: ReadonlyFile | None = None
        self._driver: PoolProxiedConnection | None = None
        try:
            if is_readonly:
                self._reader = ReadonlyFile(Path(str(parsed.database)))
                self._engine = self._reader.engine()
            else:
                self._engine = (_sqlite if is_file else _postgresql)(parsed, durability)
            with _disposed_on_error(self._engine):
                if self._reader is None:
                    self._make_tables()
                else:
                    self._check_tables()
        except DiskFull:
            raise
        except (DBAPIError, sqlite3.Error, OSError) as exc:
            if says_full(exc):
                raise disk_full(self._place) from exc
            reason = str(getattr(exc, "orig", None) or exc).strip().split("\n")[0]
            raise BadInput(
                f"cannot open the log at {parsed.render_as_string(hide_password=True)}: {reason}; "
                "check the path and its rights, or that the server runs"
            ) from exc

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot; nothing in it can block a writer."""
        with self._naming_a_full_disk(), self._engine.connect() as bare:
            connection = bare
            if self._engine.dialect.name == "postgresql":
                connection = bare.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection
        if self._reader is not None:
            self._reader.check_unchanged()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is on disk when this returns, or none of it ever happened.

        Raises:
            DiskFull: there is no room for it.
            BadInput: the log is only read.
        """
        if self._reader is not None:
            raise BadInput(f"the log at {self._place} cannot be written; give yourself the right to, or use another")
        with self._naming_a_full_disk(), self._engine.connect() as bare:
            connection = bare.execution_options(is_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def bare(self) -> Iterator[Connection]:
        """A connection to SQLite outside any transaction, for the few statements that must be: VACUUM, checkpoints."""
        with self._engine.connect() as bare:
            yield bare.execution_options(is_bare=True)

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """The driver's own connection outside any transaction, for appends; one thread at a time.

        The body begins and commits. After an error the next call gets a new connection, so that nothing is left open.

        Raises:
            DiskFull: there is no room.
            BadInput: the log is only read.
        """
        if self._reader is not None:
            raise BadInput(f"the log at {self._place} cannot be written; give yourself the right to, or use another")
        if self._driver is None:
            self._driver = self._engine.raw_connection()
            if not self.is_sqlite:
                self._driver.dbapi_connection.autocommit = True  # type: ignore[union-attr]
        try:
            yield self._driver.driver_connection
        except BaseException as exc:
            self._driver.invalidate()
            self._driver = None
            if says_full(exc):
                raise disk_full(self._place) from exc
            raise

    @property
    def is_sqlite(self) -> bool:
        """Whether the log is a file, not a server's."""
        return self._engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close the connections; the object may not be used afterwards."""
        if self._driver is not None:
            self._driver.invalidate()
            self._driver = None
        self._engine.dispose()

    @contextmanager
    def _naming_a_full_disk(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as exc:
            if says_full(exc):
                raise disk_full(self._place) from exc
            raise

    def _check_tables(self) -> None:
        with self.reading() as connection:
            found = connection.execute(select(schema_version.c.version)).scalar_one()
        if found < SCHEMA_VERSION:
            raise BadInput(
                f"the log at {self._place} has schema version {found}, this release reads {SCHEMA_VERSION}: open it "
                "once where it can be written, which brings it up to date"
            )
        _check_not_newer(found)

    def _make_tables(self) -> None:
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                # CREATE TABLE IF NOT EXISTS still fails when two processes race for it.
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
            if not connection.dialect.has_table(connection, schema_version.name):
                metadata.create_all(connection)
                row = {"id": 1, "version": SCHEMA_VERSION, "identity": uuid.uuid4().hex}
                connection.execute(insert(schema_version).values(row))
            found: int = connection.execute(select(schema_version.c.version)).scalar_one()
            if found < SCHEMA_VERSION and not self.is_sqlite:
                _bring_up_to_date(connection, found)
        _check_not_newer(found)
        if found < SCHEMA_VERSION and self.is_sqlite:
            self._remake_tables()

    def _remake_tables(self) -> None:
        with self.bare() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # of no effect inside a transaction
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            found: int = connection.execute(select(schema_version.c.version)).scalar_one()
            if found < SCHEMA_VERSION:  # else another process was quicker
                _bring_up_to_date(connection, found)
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise BadInput(
                        f"the log at {self._place} cannot be brought up to date: a row of {broken[0]} names one of "
                        f"{broken[2]} that is not there; restore a back-up"
                    )
            connection.commit()
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
            connection.commit()


def _check_not_newer(found: int) -> None:
    if found > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the log has schema version {found}, this release reads up to {SCHEMA_VERSION}; "
            "install the newer release that wrote it"
        )


def _bring_up_to_date(connection: Connection, found: int) -> None:
    from memory_log import migrations  # alembic is slow to import, and needed once in a log's life

    migrations.upgrade(connection, found)


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


def _sqlite(url: URL, durability: Durability) -> Engine:
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
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


def _postgresql(url: URL, durability: Durability) -> Engine:
    engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    event.listen(engine, "connect", partial(_set_commit, durability))
    return engine


def _set_commit(durability: Durability, connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET SESSION synchronous_commit TO {_SYNCHRONOUS_COMMIT[durability]}")
    cursor.close()
    connection.commit()
