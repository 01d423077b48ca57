"""Bells: who waits for changes of a lineage's queue learns of them at once, without asking the log again and again.

Knows pipes and, for SQLite, named pipes (FIFOs) beside the file, which ring from process to process. Refuses to know
what changed: a bell only says that looking is worth it. Bells of PostgreSQL are rung by `listening`.
"""

import errno
import hashlib
import logging
import math
import os
import secrets
import select
import stat
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from memory_log.closing import Closing
from memory_log.errors import BadInput

MARK_LENGTH: Final = 32
# In PostgreSQL: the channel of a lineage's `mark`, and the number of the lock that everybody who listens there shares.
# Several logs may share a database, one a schema: the number of one of its tables tells them apart.
CHANNEL: Final = "'selfparam_bell_' || to_regclass('lineages')::oid || '_' || mark"
CHANNEL_LOCK: Final = f"hashtextextended({CHANNEL}, 1)"
# poll() takes milliseconds as a C int.
_MOST_MILLISECONDS: Final = 2**31 - 1
_READ_BYTES: Final = 65536
# A FIFO gets its name once it has a reader. One without a name for so long belongs to somebody who was killed between.
_UNNAMED_SECONDS: Final = 60

_LOGGER = logging.getLogger(__name__)


class Bell(Closing):
    """Wakes the thread that waits at it when something about a lineage's queue may have changed.

    What happens between making the bell and waiting is not missed: make it, look at the log, wait, look again. Waiting
    takes no CPU. A bell can fail to ring, when the one who changed something is killed at the wrong moment or the
    server is away: wait for a second or two at a time and look all the same. It belongs to the process that made it.

    Example:
        with log.bell("default") as bell:
            while not log.count_by_state("default")[ExperienceState.PENDING]:
                bell.wait(2.0)
    """

    def __init__(self, reading: int, writing: int, on_close: Callable[["Bell"], None]) -> None:
        self._reading, self._writing, self._on_close = reading, writing, on_close
        self._pid = os.getpid()
        self._is_closed = False
        self._use = threading.Lock()  # nobody writes to a number that, after closing, may be another file's
        self._waiting = threading.Lock()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until the bell rings or the time is over, whichever comes first.

        Args:
            timeout_seconds: 0 or more; 0 only asks whether it has rung.

        Returns:
            True if something may have changed since the last wait, False if the time is over.

        Raises:
            BadInput: the bell is closed, another thread waits at it, or it came along with a fork.
        """
        if not timeout_seconds >= 0:
            raise BadInput(f"got timeout_seconds={timeout_seconds}; it has to be 0 or more")
        if os.getpid() != self._pid:  # both processes would take each other's rings
            raise BadInput(f"this bell belongs to process {self._pid}, which forked this one; make another")
        if not self._waiting.acquire(blocking=False):
            raise BadInput("another thread waits at this bell; make one for each")
        try:
            if self._is_closed:
                raise BadInput("this bell is closed; make another")
            poll = select.poll()
            poll.register(self._reading, select.POLLIN)
            has_rung = bool(poll.poll(min(math.ceil(min(timeout_seconds, 1e9) * 1000), _MOST_MILLISECONDS)))
            if has_rung:
                self._take_rings()
            return has_rung
        finally:
            self._waiting.release()

    def _take_rings(self) -> None:
        with suppress(BlockingIOError):
            while len(os.read(self._reading, _READ_BYTES)) == _READ_BYTES:
                pass

    def ring(self) -> None:
        """Wake the waiter, or let its next wait return at once. From any thread; harmless once the bell is closed."""
        with self._use:
            if not self._is_closed:
                ring_once(self._writing)

    def fileno(self) -> int:
        """What `select` and event loops can wait for: readable when the bell has rung. Call `wait(0)` then."""
        return self._reading

    def close(self) -> None:
        """Let go of the bell; a thread that waits at it returns. Harmless when repeated."""
        with self._use:
            if self._is_closed:
                return
            self._is_closed = True
            ring_once(self._writing)
        if os.getpid() == self._pid:  # a forked process closes its copies; the bell is still its parent's
            self._on_close(self)
        with self._waiting:
            os.close(self._reading)
            os.close(self._writing)


def wait_for_any(bells: Collection[Bell], timeout_seconds: float) -> list[Bell]:
    """Wait until one of the bells rings or the time is over; those that have rung, and whose rings are taken now."""
    poll = select.poll()
    for bell in bells:
        poll.register(bell.fileno(), select.POLLIN)
    poll.poll(min(math.ceil(min(timeout_seconds, 1e9) * 1000), _MOST_MILLISECONDS))
    return [bell for bell in bells if bell.wait(0)]


def piped_bell(on_close: Callable[[Bell], None]) -> Bell:
    """A bell that only its own process can ring."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    return Bell(reading, writing, on_close)


def ring_once(writing: int) -> None:
    """Put one ring into a pipe that does not block. A pipe that is full, or whose reader has died, takes none."""
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(writing, b"\0")


def ring_after(connection: Connection, *lineages: str) -> None:
    """Wake whoever waits for the queues of these lineages, once the connection's writing transaction is on disk."""
    connection.get_execution_options()["rings"].update(lineages)


def mark_of(lineage: str) -> str:
    """What stands for a lineage where its name cannot: in file names, and in names of channels."""
    return hashlib.sha256(lineage.encode()).hexdigest()[:MARK_LENGTH]


class FifoBells:
    """The bells of a SQLite log: named pipes in the folder `<file>-bells`, which the first who waits makes.

    Whoever changes a queue opens each pipe of the lineage without blocking and writes a byte. A pipe without a reader
    was left by a process that was killed, and goes. Where nobody may write beside the log, only the process itself can
    ring its bells.

    Args:
        log_file: the SQLite file.
    """

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file.resolve()
        self._folder = Path(f"{self._log_file}-bells")
        self._folder_name = str(self._folder)  # ringing is part of every append: a string is faster

    def bell(self, lineage: str) -> Bell:
        """A new bell for the lineage."""
        try:
            return self._named_bell(f"{mark_of(lineage)}.{secrets.token_hex(8)}.fifo")
        except OSError as exc:
            _LOGGER.info("no bell can be hung at %s (%s): changes by other processes are seen late", self._folder, exc)
            return piped_bell(lambda bell: None)

    def ring(self, lineages: Collection[str], _driver: object) -> None:
        """Ring every bell of these lineages, in whichever process; never fails."""
        try:
            names = os.listdir(self._folder_name)
        except OSError:  # nobody has ever waited, or we may not look
            return
        marks = {mark_of(lineage) for lineage in lineages} if names else set()
        for name in names:
            if name.partition(".")[0] in marks:
                _ring_fifo(f"{self._folder_name}/{name}")

    def close(self) -> None:
        """Nothing is held between calls."""

    def _named_bell(self, name: str) -> Bell:
        path, unnamed = self._folder / name, self._folder / f".{name}"
        if not self._folder.is_dir():
            self._folder.mkdir(exist_ok=True)
            self._share(self._folder)
        # Before it has a reader a FIFO looks like one whose reader has died, which ringing removes: it is named later.
        os.mkfifo(unnamed)
        ends: list[int] = []
        try:
            self._share(unnamed)
            ends = [os.open(unnamed, flag | os.O_NONBLOCK) for flag in (os.O_RDONLY, os.O_WRONLY)]
            self._remove_forgotten(os.fstat(ends[0]).st_mtime - _UNNAMED_SECONDS)
            unnamed.rename(path)
        except BaseException:
            for end in ends:
                os.close(end)
            unnamed.unlink(missing_ok=True)
            raise

        def take_down(_: Bell) -> None:
            with suppress(OSError):
                path.unlink()

        return Bell(ends[0], ends[1], take_down)

    def _share(self, path: Path) -> None:
        """Let ring, and wait, whoever may write the log, as SQLite does with its own files beside it."""
        log = self._log_file.stat()
        mode = stat.S_IMODE(log.st_mode) & 0o666
        path.chmod(mode | (mode & 0o444) >> 2 if path.is_dir() else mode)
        if os.geteuid() == 0:
            os.chown(path, log.st_uid, log.st_gid)

    def _remove_forgotten(self, made_before: float) -> None:
        for path in self._folder.glob(".*.fifo"):
            with suppress(OSError):
                if path.lstat().st_mtime < made_before:
                    path.unlink()


def _ring_fifo(path: str) -> None:
    try:
        writing = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as exc:
        if exc.errno == errno.ENXIO:  # nobody reads
            with suppress(OSError):
                os.unlink(path)
        return
    try:
        if stat.S_ISFIFO(os.fstat(writing).st_mode):
            ring_once(writing)
    finally:
        os.close(writing)
