"""Examining a log and mending what is certain, beside whoever uses it.

It stands beside `MemoryLog`, because nobody who learns or answers needs it. Knows the checks in order and which
transaction each one is. Refuses to know what a sound row looks like, and the home around the log.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from memory_log import check_database, mending, snapshots, versions
from memory_log.check_queue import check_forgotten, check_leases, check_queue
from memory_log.check_targets import check_replay, check_targets
from memory_log.check_versions import check_learned, check_versions
from memory_log.clock import Clock, utc_now
from memory_log.closing import Closing
from memory_log.database import Database
from memory_log.errors import LogDamaged, SelfParamError
from memory_log.findings import SAVE, Finding
from memory_log.records import Snapshot, Version
from memory_log.tables import lineages

Progress = Callable[[str, int, int], None]
"""(stage, done, total): how far it is."""

_Check = Callable[[Connection, datetime], Iterator[Finding]]

# In the order in which damage spreads: who reads the first finding reads the cause.
_CHECKS: Final[dict[str, _Check]] = {
    "versions": check_versions,
    "queue": check_queue,
    "learned": check_learned,
    "targets": check_targets,
    "replay": check_replay,
    "forgotten": check_forgotten,
    "leases": check_leases,
}
# Slots first, then what deletes targets from them.
_MENDS: Final = (
    mending.make_indexes, mending.rebuild_search, mending.end_leases, mending.put_back,
    mending.stop_putting_off, mending.reject_candidates, mending.derive_replay, mending.forget_rest,
    mending.drop_targets,
)  # fmt: skip


class LogDoctor(Closing):
    """Examines a log that may be in use, each check in a snapshot of its own.

    Args:
        url: as for `MemoryLog`.
        clock: gives the current time in UTC.
        is_readonly: a SQLite log in a place that cannot be written.

    Raises:
        BadInput, SchemaTooNew, DiskFull: as `Database`.

    Example:
        with LogDoctor("sqlite:///home/log.sqlite3") as doctor:
            for finding in doctor.findings():
                print(finding.what, finding.mend)
    """

    def __init__(self, url: str, *, clock: Clock = utc_now, is_readonly: bool = False) -> None:
        self._database = Database(url, is_readonly=is_readonly)
        self._clock, self._is_readonly = clock, is_readonly

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    @staticmethod
    def checks(*, is_quick: bool) -> tuple[str, ...]:
        """The names of the checks that `findings` makes, in order."""
        return ("database", "schema", "search", *_CHECKS) if is_quick else (
            "database", "schema", "search", *_CHECKS, "rows"
        )  # fmt: skip

    def findings(
        self, *, is_quick: bool = False, progress: Progress = lambda stage, done, total: None
    ) -> Iterator[Finding]:
        """What is wrong, check by check; nothing is changed. A check that cannot be made is a finding too.

        Args:
            is_quick: leave out what reads every page and every row.
            progress: called with (stage, done, total).
        """
        unmade: dict[str, list[str]] = defaultdict(list)
        for name in self.checks(is_quick=is_quick):
            progress(f"checking {name}", 0, 1)
            try:
                yield from self._made(name, is_quick, progress)
            except (DBAPIError, SelfParamError, ValueError) as exc:
                unmade[said(exc)].append(name)
        for reason, names in unmade.items():
            what = f"{', '.join(names)} cannot be checked: {reason}"
            yield Finding(check=names[0], severity="error", what=what, mend=SAVE)

    def _made(self, name: str, is_quick: bool, progress: Progress) -> list[Finding]:
        """One check, in a transaction that is over when its findings are handed out."""
        if name == "search":
            can_write = not (is_quick or self._is_readonly)
            with self._database.writing() if can_write else self._database.reading() as tx:
                return list(check_database.check_search(tx, not can_write))
        with self._database.reading() as tx:
            if name == "database":
                return list(check_database.check_whole(tx, is_quick))
            if name == "schema":
                return list(check_database.check_schema(tx))
            if name == "rows":
                return list(check_database.check_rows(tx, lambda done, of: progress("checking rows", done, of)))
            return list(_CHECKS[name](tx, self._clock()))

    def base_fingerprints(self) -> dict[str, str]:
        """The fingerprint of each lineage's base model."""
        with self._database.reading() as tx:
            rows = tx.execute(select(lineages).order_by(lineages.c.name))
            return {row.name: row.base_fingerprint for row in rows}

    def versions(self) -> list[Version]:
        """Every version of every lineage."""
        with self._database.reading() as tx:
            names = tx.execute(select(lineages.c.name).order_by(lineages.c.name)).scalars().all()
            return [version for name in names for version in versions.listed(tx, name)]

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot of every lineage."""
        with self._database.reading() as tx:
            return snapshots.listed(tx)

    def mend(self, *, is_quick: bool = False, progress: Progress = lambda stage, done, total: None) -> list[str]:
        """Put right what can be derived anew for certain, beside whoever uses the log. What was done, in sentences.

        Args:
            is_quick: do not compare SQLite's indexes with their tables first.
            progress: called with (stage, done, total).

        Raises:
            LogDamaged: SQLite finds the database damaged; on such ground nothing is certain.
        """
        with self._database.reading() as tx:
            damage = check_database.page_faults(tx, is_quick)
        if damage:
            raise LogDamaged(f"nothing was mended, because SQLite finds damage: {damage[0]}")
        done: list[str] = []
        for number, mend in enumerate(_MENDS):
            progress("mending", number, len(_MENDS))
            with self._database.writing() as tx:
                done += mend(tx, self._clock())
        progress("mending", len(_MENDS), len(_MENDS))
        return done


def said(error: Exception) -> str:
    """What an error says, in one line that is not too long."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]
