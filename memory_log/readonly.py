"""A SQLite log in a place that cannot be written: opened as it lies there. Knows SQLite's files, and no tables.

SQLite's WAL has an index beside it (`-shm`) that even a reader has to make, unless a writer has left it. Where no WAL
is left, all is in the file itself, and it can be read as immutable. Nobody else may write then, which is checked.
"""

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, QueuePool, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from memory_log.errors import BadInput, LogChanged

BUSY_SECONDS = 30


class ReadonlyFile:
    """One SQLite file, and how it was found.

    Args:
        path: the file; its folder cannot be written.

    Raises:
        BadInput: there is no such file, or a part of it that only a writer could merge.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            raise BadInput(f"there is no log at {path}, and none can be made there; give yourself the right to write")
        wal, index = Path(f"{path}-wal"), Path(f"{path}-shm")
        self._has_wal = wal.exists() and wal.stat().st_size > 0
        if self._has_wal and not index.exists():
            raise BadInput(
                f"{wal} holds writes that are not merged into the log yet, and cannot be read without {index.name}: "
                "open the log once where it can be written, or copy that file too"
            )
        self._found = self._state()

    def engine(self) -> Engine:
        """Connections that read the file."""
        uri = f"{self._path.absolute().as_uri()}?{'mode=ro' if self._has_wal else 'immutable=1'}"
        engine = create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False),
            poolclass=QueuePool,
        )
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        return engine

    def check_unchanged(self) -> None:
        """Refuse what was just read if somebody else has begun to write meanwhile.

        Raises:
            LogChanged: they have.
        """
        if not self._has_wal and self._state() != self._found:
            raise LogChanged(f"somebody began to write {self._path} while it was read; do it again")

    def _state(self) -> tuple[int, int, bool]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, Path(f"{self._path}-wal").exists()


def _leave_transactions_to_us(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
