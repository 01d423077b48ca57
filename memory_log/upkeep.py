"""Keeping a log small: what it takes, and what may go.

It stands beside `MemoryLog`, because nobody who learns or answers needs it. Knows which transaction does what.
Refuses to know the policy: how many, how old.
"""

from collections.abc import Callable

from sqlalchemy import select

from memory_log import disk_use, snapshots, trimming
from memory_log.closing import Closing
from memory_log.database import Database
from memory_log.disk_use import DeltaUse, LogUse
from memory_log.errors import BadInput
from memory_log.records import Snapshot
from memory_log.tables import lineages

# So many experiences lose targets in one transaction: short enough for an append to wait.
_AT_ONCE = 50


class LogUpkeep(Closing):
    """Weighs and trims a log that may be in use.

    Args:
        url: as for `MemoryLog`.

    Example:
        with LogUpkeep("sqlite:///home/log.sqlite3") as upkeep:
            print(upkeep.use().num_bytes)
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def use(self) -> LogUse:
        """What the log takes, table by table."""
        with self._database.reading() as tx:
            return disk_use.log_use(tx)

    def deltas(self) -> list[DeltaUse]:
        """Every delta file that a version of any lineage names."""
        with self._database.reading() as tx:
            return disk_use.delta_uses(tx)

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot of any lineage."""
        with self._database.reading() as tx:
            return snapshots.listed(tx)

    def drop_snapshots(self, keep: int, *, dry_run: bool = False) -> list[Snapshot]:
        """Strike off all snapshots but the newest `keep` on the line of each head. Those that were, or would be."""
        with self._database.reading() if dry_run else self._database.writing() as tx:
            found = snapshots.surplus(tx, keep)
            for lineage in {one.lineage for one in found} if not dry_run else ():
                snapshots.drop(tx, lineage, [one.version for one in found if one.lineage == lineage])
            return found

    def trim_targets(
        self, limit: int, *, dry_run: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[int, int]:
        """Drop target sentences beyond `limit` of every learned experience, in every lineage.

        The shares of questions, near misses and held-out ones stay. An experience that was learned, rolled back and
        learned again has one set for each version.

        Args:
            limit: at least 4.
            dry_run: count only.
            progress: called with (experiences done, all that have too many).

        Returns:
            How many were dropped, and the bytes of their payloads.

        Raises:
            BadInput: the limit leaves no room for one of each kind.
        """
        if limit < trimming.LEAST_TARGETS:
            raise BadInput(
                f"got {limit} target sentences an experience; replay and gate need at least {trimming.LEAST_TARGETS}: "
                "a question and a near miss, and one of each held out"
            )
        num_dropped, num_bytes = 0, 0
        work = [(lineage, pairs) for lineage, pairs in self._overfull(limit).items() if pairs]
        total, done = sum(len(pairs) for _, pairs in work), 0
        for lineage, pairs in work:
            for start in range(0, len(pairs), _AT_ONCE):
                part = pairs[start : start + _AT_ONCE]
                with self._database.reading() if dry_run else self._database.writing() as tx:
                    ids = trimming.surplus(tx, lineage, part, limit)
                    num_bytes += trimming.payload_bytes(tx, ids) if dry_run else trimming.drop(tx, lineage, ids)
                num_dropped, done = num_dropped + len(ids), done + len(part)
                progress(done, total)
        return num_dropped, num_bytes

    def _overfull(self, limit: int) -> dict[str, list[tuple[int, int]]]:
        with self._database.reading() as tx:
            names = tx.execute(select(lineages.c.name).order_by(lineages.c.name)).scalars().all()
            return {name: trimming.overfull(tx, name, limit) for name in names}

    def take_up_wal(self) -> bool:
        """Write what waits in SQLite's WAL into the log's file and empty the WAL. False while a reader needs it."""
        if not self._database.is_sqlite:
            return True
        with self._database.bare() as connection:
            was_busy: int = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
            return not was_busy

    def vacuum(self) -> None:
        """Give the room of deleted rows back to the disk; others wait meanwhile, and it needs the log's size again.

        Raises:
            BadInput: the log is in PostgreSQL, which does this by itself.
        """
        if not self._database.is_sqlite:
            raise BadInput("the log is in PostgreSQL, which gives room back by itself; leave --vacuum out")
        with self._database.bare() as connection:
            connection.exec_driver_sql("VACUUM")
