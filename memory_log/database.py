"""Opening a database and its transactions: SQLite (WAL, FULL) or PostgreSQL, by URL. Knows no rows."""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection, StaticPool

from memory_log import faults, schema
from memory_log.bells import Bell, FifoBells
from memory_log.engines import Durability, checked, make_file, postgresql_engine, sqlite_engine
from memory_log.errors import BadInput, LogUnavailable, SelfParamError
from memory_log.readonly import ReadonlyFile
from memory_log.server import RETRY_PAUSE_SECONDS, Answer, answer_of, has_hung_up
from memory_log.wal import looked_at

if TYPE_CHECKING:
    from memory_log.listening import ListeningBells

RETRY_SECONDS = 10
Reached = TypeVar("Reached")


class Database:
    """A log's connection pool. Every `reading()` is one snapshot, every `writing()` one transaction, durable on return.

    While a server restarts, a transaction that has not begun waits for it. One that had begun is never repeated here.

    Args:
        url: `sqlite:///path` (parent folders are made) or `postgresql://...`.
        is_readonly: a SQLite file that is only read, from a place that cannot be written.
        durability: `full`: what returned survives a power loss. `fast`: it survives the death of every process of ours,
            but a power loss, or a crash of PostgreSQL's server, may take the last moments; nothing is ever half there.
        retry_seconds: how long a server that has gone away is asked again before a transaction begins.

    Raises:
        DiskFull: there is no room for the file, or for the index of its WAL, which reading needs too.
        LogDamaged: the file is no database, or no longer one.
        LogUnavailable: the server does not answer.
        BadInput: another kind of URL, SQLite in memory (which other processes could not see), a folder without rights,
            a server that lets us not in, an earlier log that cannot be brought up to date.
        SchemaTooNew: a newer release made the tables.
    """

    def __init__(
        self,
        url: str,
        *,
        is_readonly: bool = False,
        durability: Durability = "full",
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        if durability not in get_args(Durability):
            raise BadInput(f"got the durability {durability!r}; choose full (the default) or fast")
        parsed = checked(url)
        is_file = parsed.get_backend_name() == "sqlite"
        self._place = str(parsed.database) if is_file else parsed.render_as_string(hide_password=True)
        self._retry_seconds = retry_seconds
        self._was_opened, self._was_refused = False, False
        self._driver: PoolProxiedConnection | None = None
        try:
            with ExitStack() as held:
                self._reader = ReadonlyFile(Path(str(parsed.database))) if is_readonly else None
                self._engine = self._opened(parsed, durability, held)
                held.callback(self._engine.dispose)
                # One thread at a time can write a file. With one connection for all of them its cache stays true:
                # SQLite drops a connection's whole cache when another one has written.
                has_one_writer = is_file and self._reader is None
                self._writer = sqlite_engine(parsed, durability, StaticPool) if has_one_writer else self._engine
                self._turn: AbstractContextManager[object] = threading.Lock() if has_one_writer else nullcontext()
                held.callback(self._writer.dispose)
                self._bells = FifoBells(Path(self._place)) if is_file else _listening(self._engine)
                held.callback(self._bells.close)
                if self._reader is None:
                    self._make_tables()
                else:
                    self._check_tables()
                self._held = held.pop_all()
        except SelfParamError:
            raise
        except (DBAPIError, sqlite3.Error, OSError) as exc:
            known = faults.named(exc, self._place)
            if known is not None and not (isinstance(known, LogUnavailable) and self._is_ready()):
                raise known from exc
            raise BadInput(
                f"cannot open the log at {parsed.render_as_string(hide_password=True)}: {faults.reason(exc)}; "
                "check the path and its rights, or the server's name, user and password"
            ) from exc
        self._was_opened = True

    def _opened(self, url: URL, durability: Durability, held: ExitStack) -> Engine:
        if self._reader is not None:
            return self._reader.engine()
        if url.get_backend_name() != "sqlite":
            return postgresql_engine(url, durability)
        path = Path(str(url.database))
        path.parent.mkdir(parents=True, exist_ok=True)
        held.enter_context(looked_at(path, is_every_commit_synced=durability == "full"))
        if not path.exists():
            make_file(path)
        return sqlite_engine(url, durability)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot; nothing in it can block a writer.

        Raises:
            LogUnavailable: the server is away; ask again.
            LogDamaged: what is stored cannot be read.
        """
        with self._transaction(is_write=False) as connection:
            yield connection
        if self._reader is not None:
            self._reader.check_unchanged()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is on disk when this returns, or none of it ever happened.

        Raises:
            DiskFull: there is no room for it.
            LogUnavailable, LogBusy: nothing was written, and it may be done again.
            OutcomeUnknown: the server went away while it committed: all of it is stored, or nothing.
            LogDamaged: what is stored cannot be read.
            BadInput: the log is only read.
        """
        if self._reader is not None:
            raise BadInput(f"the log at {self._place} cannot be written; give yourself the right to, or use another")
        with self._turn, self._transaction(is_write=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, is_write: bool) -> Iterator[Connection]:
        is_committing = False
        try:
            rings: set[str] = set()
            connection, transaction = self._reached(partial(self._begun, is_write, rings))
            with connection:
                with transaction:
                    yield connection
                    is_committing = is_write
                self.ring(rings, connection.connection.driver_connection)
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as exc:
            known = faults.named(exc, self._place, is_committing=is_committing)
            # Before the log was opened once, `__init__` tells a wrong address from a server that went away.
            if known is None or not self._was_opened:
                raise
            raise known from exc

    def _begun(self, is_write: bool, rings: set[str]) -> tuple[Connection, Transaction]:
        """A connection on which BEGIN has succeeded, so that it lives."""
        engine = self._writer if is_write else self._engine
        connection = engine.connect().execution_options(is_write=is_write, rings=rings)
        try:
            return connection, connection.begin()
        except BaseException:
            connection.close()
            raise

    def _reached(self, reach: Callable[[], Reached]) -> Reached:
        """What `reach` gets from the server; one that restarts is asked again until it answers."""
        give_up_at = time.monotonic() + self._retry_seconds
        while True:
            try:
                return reach()
            except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as exc:
                if not faults.is_unavailable(exc) or time.monotonic() > give_up_at or not self._may_come_back():
                    raise
                time.sleep(RETRY_PAUSE_SECONDS)

    def _may_come_back(self) -> bool:
        if self._was_opened:
            return True
        # At the first opening an address where nobody answers is more often wrong than early: that is said at once.
        # A server that is ready just after it refused us may have become so meanwhile: once more shows it.
        first_refusal, self._was_refused = not self._was_refused, True
        answer = answer_of(self._engine)
        return answer is Answer.STARTING or (answer is Answer.READY and first_refusal)

    def _is_ready(self) -> bool:
        return answer_of(self._engine) is Answer.READY

    def bell(self, lineage: str) -> Bell:
        """A bell that any process can ring, through its own `Database`."""
        return self._bells.bell(lineage)

    def ring(self, lineages: Collection[str], driver: Any) -> None:  # noqa: ANN401 - of one driver or the other
        """Wake whoever waits for the queues of these lineages, whose change is on disk; never fails.

        Args:
            lineages: maybe none.
            driver: a driver's connection between transactions, such as that of `driver()`.
        """
        if lineages:
            self._bells.ring(lineages, driver)

    @contextmanager
    def bare(self) -> Iterator[Connection]:
        """A connection to SQLite outside any transaction, for the few statements that must be: VACUUM, checkpoints."""
        with self._engine.connect() as bare:
            yield bare.execution_options(is_bare=True)

    @contextmanager
    def driver(self) -> Iterator["DriverTransaction"]:
        """The driver's own connection outside any transaction, for appends; one thread at a time.

        The body begins and commits. After an error the next call gets a new connection, so that nothing is left open.

        Raises:
            DiskFull: there is no room.
            LogUnavailable, LogBusy: nothing was written, and it may be done again.
            OutcomeUnknown: the server went away after the body had set `is_committing`.
            LogDamaged: what is stored cannot be read.
            BadInput: the log is only read.
        """
        if self._reader is not None:
            raise BadInput(f"the log at {self._place} cannot be written; give yourself the right to, or use another")
        transaction = DriverTransaction()
        with self._turn:
            try:
                transaction.connection = self._living_driver()
                yield transaction
            except BaseException as exc:
                self._drop_driver()
                known = faults.named(exc, self._place, is_committing=transaction.is_committing)
                if known is None:
                    raise
                raise known from exc

    def _living_driver(self) -> Any:  # noqa: ANN401 - each driver has a type of its own
        if self._driver is not None and not self.is_sqlite and has_hung_up(self._driver.driver_connection):
            self._drop_driver()
        if self._driver is None:
            self._driver = self._reached(self._writer.raw_connection)
        return self._driver.driver_connection

    def _drop_driver(self) -> None:
        if self._driver is not None:
            self._driver.invalidate()
            self._driver = None

    @property
    def is_sqlite(self) -> bool:
        """Whether the log is a file, not a server's."""
        return self._engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close the connections; the object may not be used afterwards."""
        self._drop_driver()
        self._held.close()

    def _check_tables(self) -> None:
        with self.reading() as connection:
            schema.check(connection, self._place)

    def _make_tables(self) -> None:
        with self.writing() as connection:
            is_up_to_date = schema.make(connection, self._place)
        if not is_up_to_date:
            with self.bare() as connection:
                schema.remake(connection, self._place)


class DriverTransaction:
    """A driver's connection, and how far its transaction is.

    The body sets `is_committing` before COMMIT, or before a statement that commits by itself: from there on the answer
    may be lost with everything stored. It clears `is_heard` if it has learned that nobody waits for what it changes.
    """

    connection: Any
    is_committing = False
    is_heard = True


def _listening(engine: Engine) -> "ListeningBells":
    from memory_log.listening import ListeningBells  # needs a driver that a log in SQLite does not

    return ListeningBells(engine)
