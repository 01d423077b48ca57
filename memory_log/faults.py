"""What the errors of a database mean: away, damaged, in the way, full. Knows codes of SQLite and PostgreSQL, no rows.

Whether something may be done again is said by type: `LogUnavailable` and `LogBusy` promise that nothing was written,
`OutcomeUnknown` promises nothing, and the others do not go away by themselves.
"""

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError

from memory_log.disk import disk_full, says_full
from memory_log.errors import LogBusy, LogDamaged, LogUnavailable, OutcomeUnknown, SelfParamError

# Primary codes; the extended ones have them in their lowest byte.
_SQLITE_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SQLITE_CANNOT_READ: Final = (
    sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_DATA,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)  # fmt: skip
_SQLITE_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PRIMARY: Final = 0xFF

# Classes and codes of PostgreSQL, appendix A of its manual.
_POSTGRESQL_DAMAGED: Final = ("XX001", "XX002")
_POSTGRESQL_BUSY: Final = ("40001", "40P01", "55P03")
_POSTGRESQL_GOING_AWAY: Final = ("57P01", "57P02", "57P03")
_POSTGRESQL_NO_CONNECTION: Final = "08"


def is_damaged(error: BaseException) -> bool:
    """Whether the database says that what is stored cannot be read, or cannot be what was written."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        if code is None:  # the driver's own complaint: a text that is none, where only texts are ever written
            return isinstance(cause, sqlite3.OperationalError) and str(cause).startswith("Could not decode")
        return code & _PRIMARY in _SQLITE_DAMAGED or code in _SQLITE_CANNOT_READ
    return getattr(cause, "sqlstate", None) in _POSTGRESQL_DAMAGED


def is_busy(error: BaseException) -> bool:
    """Whether another transaction stood in the way: a deadlock, a conflict, a lock that was never let go."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & _PRIMARY in _SQLITE_BUSY
    return getattr(cause, "sqlstate", None) in _POSTGRESQL_BUSY


def is_unavailable(error: BaseException) -> bool:
    """Whether the server went away, or could not be reached at all."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error) or not hasattr(cause, "sqlstate"):
        return False
    is_broken = isinstance(error, DBAPIError) and error.connection_invalidated
    if cause.sqlstate is None:  # the driver's own: no connection, or one that broke
        return is_broken or type(cause).__name__ == "OperationalError"
    return (
        is_broken or cause.sqlstate in _POSTGRESQL_GOING_AWAY or cause.sqlstate.startswith(_POSTGRESQL_NO_CONNECTION)
    )


def named(error: BaseException, place: str, *, is_committing: bool = False) -> SelfParamError | None:
    """The error of ours that says what the database's means; None for one that only a fault of ours can cause.

    Args:
        error: from the database or its driver.
        place: the log's path, or its URL without a password.
        is_committing: whether COMMIT was under way, so that its answer may have been lost.
    """
    if says_full(error):
        return disk_full(place)
    if is_damaged(error):
        return damaged(place, reason(error))
    if is_busy(error):
        return LogBusy(
            f"another transaction on the log at {place} stood in the way ({reason(error)}): nothing was written; do it "
            "again"
        )
    if not is_unavailable(error):
        return None
    if is_committing:
        return OutcomeUnknown(
            f"the log's server at {place} went away while it committed ({reason(error)}): whether this was stored is "
            "not known; repeat it with the same key, which stores it at most once, or look before you repeat it"
        )
    return LogUnavailable(
        f"the log's server at {place} is not there ({reason(error)}): nothing was written; check the address and that "
        "the server runs, and do it again"
    )


def damaged(place: object, why: str) -> LogDamaged:
    """The error for a file that is no log, or no longer one."""
    return LogDamaged(
        f"the log at {place} is damaged, or was never a log: {why}; examine it with `selfparam doctor`, which also "
        "gets out what can still be read, or restore a back-up; nothing in it was changed"
    )


def reason(error: BaseException) -> str:
    """The first line of what the database said."""
    return str(_cause(error)).strip().split("\n")[0]


def _cause(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
