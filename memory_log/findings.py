"""What an examination of a log or a home says, and how rows that no sound log has become one sentence.

Knows how to count rows and to name the first of them. Refuses to know which rows those are.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, Select, func, select

from memory_log.fields import Record

Severity = Literal["error", "warning", "note"]

MEND: Final = "selfparam doctor --mend"
"""The command for what can be mended for certain."""

RESTORE: Final = "restore the last good back-up into a new home: selfparam --home NEW restore FILE"

SAVE: Final = (
    "copy the home folder first; then restore the last good back-up into a new home (selfparam --home NEW restore "
    "FILE), or write out what can still be read: selfparam doctor --salvage FILE"
)

_NUM_NAMED = 5


class Finding(Record):
    """One thing that a check found. An error is damage, a warning may become one, a note is as somebody wanted it.

    Example: Finding(check="queue", severity="error", what="experiences leased to a batch that has ended: 4",
        mend="selfparam doctor --mend")
    """

    check: str
    severity: Severity
    what: str
    mend: str
    """The exact command or step that helps."""


class Rule(NamedTuple):
    """Rows that no sound log has. The first column names one, a second says whose it is: `3 (default)`."""

    what: str
    rows: Select[Any]
    mend: str
    severity: Severity = "error"


def broken(connection: Connection, check: str, rules: Sequence[Rule]) -> Iterator[Finding]:
    """A finding for every rule that some rows break, with their number and the first of them."""
    for rule in rules:
        examples = named(connection, rule.rows)
        if examples is not None:
            yield Finding(check=check, severity=rule.severity, what=f"{rule.what}: {examples}", mend=rule.mend)


def named(connection: Connection, rows: Select[Any]) -> str | None:
    """The first few rows in words, such as `4, 7 and 12 more`; None without any."""
    first = connection.execute(rows.limit(_NUM_NAMED)).all()
    if not first:
        return None
    words = ", ".join(f"{row[0]} ({row[1]})" if len(row) > 1 else str(row[0]) for row in first)
    # Counting is a second pass over what is damaged, which a sound log never pays for.
    total: int = connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one()
    return f"{words} and {total - len(first)} more" if total > len(first) else words


def counted(number: int, noun: str) -> str:
    """The number with its noun: `1 target`, `2 targets`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
