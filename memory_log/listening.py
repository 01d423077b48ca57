"""Bells of a log in PostgreSQL: NOTIFY after the commit, and one connection of each process's log that LISTENs.

Knows psycopg's connections and channels. Refuses to know the log's rows. A bell that is hung, and a connection that is
made again, ring once by themselves: something may have changed before the server knew that somebody listens.
"""

import logging
import select
import threading
from collections.abc import Collection
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from memory_log.bells import CHANNEL, CHANNEL_LOCK, MARK_LENGTH, Bell, mark_of, piped_bell

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
LINGER_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0

_OURS: Final = {"connect_timeout": 10, "keepalives_idle": 30, "application_name": "selfparam bells"}

# A transaction that notifies holds a lock of the whole server until it is on disk, and with it every other that does.
# This one comes after the change is on disk, holds nothing, and need not be on disk itself.
_RING: Final = (
    f"SELECT set_config('synchronous_commit', 'off', true), pg_notify({CHANNEL}, '') "
    "FROM unnest(%s::text[]) AS mark"
)

_MARK: Final = "(SELECT %s::text AS mark) AS one"

_LOGGER = logging.getLogger(__name__)


class ListeningBells:
    """The bells of a PostgreSQL log in this process. While there are any, one thread and one connection serve them all.

    Args:
        engine: of the log; the thread makes its connection as this one does.
    """

    def __init__(self, engine: Engine) -> None:
        self._settings: dict[str, Any] = {**_OURS, **engine.dialect.create_connect_args(engine.url)[1]}
        self._lock = threading.Lock()  # guards the four below
        self._hung: dict[str, set[Bell]] = {}
        self._thread: threading.Thread | None = None
        self._news = piped_bell(lambda bell: None)  # rings when what the thread should do has changed
        self._is_closed = False

    def bell(self, lineage: str) -> Bell:
        """A new bell for the lineage. It is there at once, also while the server is away."""
        mark = mark_of(lineage)
        bell = piped_bell(lambda closed: self._take_down(mark, closed))
        with self._lock:
            self._hung.setdefault(mark, set()).add(bell)
            if self._thread is None or not self._thread.is_alive():  # a forked process has no thread yet
                self._thread = threading.Thread(target=self._listen, name="selfparam-bells", daemon=True)
                self._thread.start()
            self._news.ring()
        return bell

    def ring(self, lineages: Collection[str], driver: psycopg.Connection[Any]) -> None:
        """Ring every bell of these lineages, in whichever process; never fails.

        Args:
            lineages: whose queue has changed, on disk.
            driver: a connection in autocommit, between transactions.
        """
        try:
            driver.execute(_RING, ([mark_of(lineage) for lineage in lineages],))
        except psycopg.Error as exc:  # the change is on disk all the same
            _LOGGER.warning("could not ring for %s, whose waiters see the change late: %s", sorted(lineages), exc)

    def close(self) -> None:
        """Give the connection back. Bells that are still open are rung by their own process only."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        self._news.ring()
        if thread is not None:
            thread.join(CLOSE_SECONDS)  # no longer: it may be waiting for a server that does not answer

    def _take_down(self, mark: str, bell: Bell) -> None:
        with self._lock:
            self._hung[mark].discard(bell)
            if not self._hung[mark]:
                del self._hung[mark]
        self._news.ring()

    def _listen(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._is_over():
            try:
                with psycopg.connect(autocommit=True, **self._settings) as connection:
                    pause = FIRST_PAUSE_SECONDS
                    self._pass_rings_on(connection)
            except psycopg.Error as exc:
                _LOGGER.warning("lost the connection that rings; trying again in %.1f s: %s", pause, exc)
                self._news.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _is_over(self) -> bool:
        with self._lock:
            is_over = self._is_closed or not self._hung
            if is_over:
                self._thread = None
            return is_over

    def _pass_rings_on(self, connection: psycopg.Connection[Any]) -> None:
        """Ring this process's bells until the log is closed, or has had no bells for a while."""
        connection.add_notify_handler(lambda notify: self._ring_here(notify.channel[-MARK_LENGTH:]))
        connection.execute("SET lock_timeout = '2s'")  # else somebody who hangs while he appends would hold us up
        poll = select.poll()
        poll.register(self._news, select.POLLIN)
        poll.register(connection, select.POLLIN)
        heard: set[str] = set()
        while not self._is_closed:
            heard = self._hear(connection, heard)
            if not poll.poll(None if heard else LINGER_SECONDS * 1000):
                return
            self._news.wait(0)
            connection.pgconn.consume_input()
            while (notify := connection.pgconn.notifies()) is not None:
                self._ring_here(notify.relname.decode()[-MARK_LENGTH:])

    def _hear(self, connection: psycopg.Connection[Any], heard: set[str]) -> set[str]:
        with self._lock:
            wanted = set(self._hung)
        for mark in wanted - heard:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(_channel(connection, mark))))
            # An append that finds nobody here holds this lock until it is on disk: then we have waited for it.
            connection.execute(f"SELECT pg_advisory_lock_shared({CHANNEL_LOCK}) FROM {_MARK}", (mark,))
            self._ring_here(mark)  # for what happened before
        for mark in heard - wanted:
            connection.execute(f"SELECT pg_advisory_unlock_shared({CHANNEL_LOCK}) FROM {_MARK}", (mark,))
            connection.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(_channel(connection, mark))))
        return wanted

    def _ring_here(self, mark: str) -> None:
        with self._lock:
            bells = list(self._hung.get(mark, ()))
        for bell in bells:
            bell.ring()


def _channel(connection: psycopg.Connection[Any], mark: str) -> str:
    found: str = connection.execute(f"SELECT {CHANNEL} FROM {_MARK}", (mark,)).fetchall()[0][0]
    return found
