"""What becomes of versions after their admission: snapshots, and relearning without what was forgotten.

Knows which module does what and when a transaction begins. Refuses to know how versions come about, which is the rest
of `MemoryLog`.
"""

from collections.abc import Collection

from memory_log import disk_use, relearning, snapshots
from memory_log.bells import ring_after
from memory_log.experience_log import ExperienceLog
from memory_log.records import Snapshot, UpdaterLease, Version
from memory_log.relearning import RelearnPlan


class VersionLog(ExperienceLog):
    """The part of the log that keeps versions; see `MemoryLog`.

    Args: as for `ExperienceLog`.

    Example: log.relearn_plan("default", [3]).goal
    """

    def add_snapshot(self, new: Snapshot) -> Snapshot:
        """Record the stored sums of an admitted version; a version that has some keeps them. What stands then.

        Raises:
            UnknownVersion: there is no such admitted version.
        """
        with self._database.writing() as tx:
            return snapshots.add(tx, new)

    def snapshots(self, lineage: str) -> list[Snapshot]:
        """The lineage's snapshots by version."""
        with self._database.reading() as tx:
            return snapshots.listed(tx, lineage)

    def drop_snapshots(self, lineage: str, numbers: Collection[int]) -> None:
        """Strike off the snapshots of these versions; `selfparam clean` then removes their files."""
        with self._database.writing() as tx:
            snapshots.drop(tx, lineage, numbers)

    def target_bytes(self, lineage: str) -> int:
        """What the stored targets of the lineage weigh, in bytes: the price of replay, beside deltas and snapshots."""
        with self._database.reading() as tx:
            return disk_use.target_bytes(tx, lineage)

    def relearn_plan(self, lineage: str, experience_ids: Collection[int]) -> RelearnPlan:
        """What relearning without these experiences would do; nothing is changed.

        Raises:
            UnknownExperience: one is not in the lineage.
        """
        with self._database.reading() as tx:
            return relearning.plan(tx, lineage, experience_ids)

    def go_back(self, lease: UpdaterLease, number: int) -> Version:
        """Move the head to an admitted version under one's own lease; what only the left versions learned waits again.

        Raises:
            LeaseLost: the lease is over.
            BadInput: a batch is open, or the version is not admitted.
        """
        with self._database.writing() as tx:
            ring_after(tx, lease.lineage)
            return relearning.go_back(tx, lease, number, self._clock())

    def retire(self, lineage: str, experience_ids: Collection[int]) -> list[Version]:
        """Reject every admitted version that knows these forgotten experiences, for good; those that were.

        They cannot be served or gone back to, their target sentences are gone, and `selfparam clean` removes their
        deltas.

        Raises:
            BadInput: the head knows one of them, or one is not forgotten.
        """
        with self._database.writing() as tx:
            return relearning.retire(tx, lineage, experience_ids)
