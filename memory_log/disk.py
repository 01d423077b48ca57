"""How a full disk is known, and what is said about it. Knows errors of system and databases, and no files of ours."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from memory_log.errors import DiskFull

# No room on the device, none in the user's quota, or the largest file that the process may write.
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# What SQLite says of a write that the system cut short: room, quota and a broken disk look alike to it. `SHMSIZE` is
# the index of the WAL, which needs 32 KiB before anything can be read.
_SQLITE_NO_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
_POSTGRESQL_NO_ROOM: Final = "53100"


def says_full(error: BaseException) -> bool:
    """Whether an error of the system, of SQLite or of PostgreSQL says that a write found no room."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        return cause.errno in NO_ROOM
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) in _SQLITE_NO_ROOM
    return getattr(cause, "sqlstate", None) == _POSTGRESQL_NO_ROOM


@contextmanager
def naming_a_full_disk(where: Path) -> Iterator[None]:
    """An error that means "no room" leaves the body as `DiskFull`, which names the place and the way out."""
    try:
        yield
    except DiskFull:
        raise
    except OSError as exc:
        if not says_full(exc):
            raise
        raise disk_full(where) from exc


def disk_full(where: object) -> DiskFull:
    """The error for a disk without room."""
    return DiskFull(
        f"the disk of {where} is full, or takes no more of this user: nothing of this was stored, and nothing that was "
        "acknowledged is lost; free some room and do it again"
    )
