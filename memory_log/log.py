"""The log as one object: every public method is one transaction, durable when it returns.

Knows which module does what and when a transaction begins. Refuses to hold state: two processes may each have one.
"""

from collections.abc import Collection, Mapping, Sequence

from memory_log import (
    batches,
    disk_use,
    experiences,
    happenings,
    leases,
    lineage_stats,
    pauses,
    probes,
    surprises,
    targets,
    versions,
)
from memory_log.bells import ring_after
from memory_log.lineage_stats import LineageStats
from memory_log.records import (
    Batch,
    ClaimOrder,
    DeltaRef,
    Experience,
    Happening,
    Membership,
    NewProbe,
    NewTarget,
    Pause,
    Probe,
    ProbeResult,
    StoredTarget,
    UpdaterLease,
    Version,
)
from memory_log.version_log import VersionLog


class MemoryLog(VersionLog):
    """Experiences, batches, versions, target sentences and probes of any number of lineages. Safe for threads.

    Args: as for `ExperienceLog`.

    Example:
        with MemoryLog("sqlite:///home/log.db") as log:
            log.append(NewExperience(text="I put the red mug in the kitchen drawer."))
    """

    # Updates

    def ensure_lineage(self, lineage: str, *, base_fingerprint: str) -> Version:
        """Make the lineage with version 0, or check that it has this base model. Its head.

        Raises:
            BaseModelChanged: it has another base model.
        """
        with self._database.reading() as tx:
            known = versions.known_head(tx, lineage, base_fingerprint)
        if known is not None:
            return known  # asking takes no write lock, and works where nothing can be written
        with self._database.writing() as tx:
            return versions.ensure_lineage(tx, lineage, base_fingerprint, self._clock())

    def base_fingerprint(self, lineage: str) -> str | None:
        """The fingerprint of the lineage's base model; None before `ensure_lineage`."""
        with self._database.reading() as tx:
            return versions.base_fingerprint(tx, lineage)

    def acquire_updater_lease(self, lineage: str, *, owner: str, lease_seconds: float) -> UpdaterLease:
        """Take the right to update the lineage. What an expired lease left behind waits again first.

        An experience whose updates die is tried alone after the second death and dead after the fifth.

        Raises:
            LineageBusy: an unexpired lease stands, whoever holds it.
            UpdatesPaused: the lineage is paused.
        """
        with self._database.writing() as tx:
            ring_after(tx, lineage)
            return batches.acquire(tx, lineage, owner, lease_seconds, self._clock())

    def renew_updater_lease(self, lease: UpdaterLease, *, lease_seconds: float) -> UpdaterLease:
        """The same lease with a later end. Raises `LeaseLost`."""
        with self._database.writing() as tx:
            return leases.renew(tx, lease, lease_seconds, self._clock())

    def release_updater_lease(self, lease: UpdaterLease) -> None:
        """Give the lease back; what is still open under it waits again. Harmless when the lease is already over."""
        with self._database.writing() as tx:
            ring_after(tx, lease.lineage)
            batches.release(tx, lease, self._clock())

    def updater_lease(self, lineage: str) -> UpdaterLease | None:
        """The lease on record, for display; it may have expired."""
        with self._database.reading() as tx:
            return leases.current_lease(tx, lineage)

    def pause(self, lineage: str, *, by: str, reason: str = "") -> Pause:
        """Let no new update of the lineage begin, anybody's; one that runs ends as usual. The pause that stands.

        Args:
            by: who pauses, for people to read.
            reason: why; a pause that stands already keeps its own.
        """
        with self._database.writing() as tx:
            return pauses.pause(tx, Pause(lineage=lineage, since=self._clock(), by=by, reason=reason))

    def resume(self, lineage: str) -> Pause | None:
        """Let updates begin again. The pause that stood, None without one."""
        with self._database.writing() as tx:
            ring_after(tx, lineage)
            return pauses.resume(tx, lineage)

    def pause_of(self, lineage: str) -> Pause | None:
        """The pause that stands."""
        with self._database.reading() as tx:
            return pauses.find(tx, lineage)

    def check_not_paused(self, lineage: str) -> None:
        """Raise `UpdatesPaused`, with who, when and why, if the lineage is paused."""
        with self._database.reading() as tx:
            pauses.check(tx, lineage)

    def stats(self, lineage: str) -> LineageStats:
        """How the lineage stands at one instant: what waits, who updates it, what replay may draw."""
        with self._database.reading() as tx:
            return lineage_stats.stats(tx, lineage)

    def num_bytes(self) -> int:
        """What the log takes on disk, with all lineages."""
        with self._database.reading() as tx:
            return disk_use.log_bytes(tx)

    def is_being_updated(self, lineage: str) -> bool:
        """Whether an unexpired lease stands; one from before the clock was set back does not count."""
        with self._database.reading() as tx:
            return leases.is_being_updated(tx, lineage, self._clock())

    def num_abandoned(self, lineage: str, *, at_most: int) -> int:
        """How many experiences an expired lease still holds, as far as `at_most`: the next update frees them."""
        with self._database.reading() as tx:
            return batches.num_abandoned(tx, lineage, at_most, self._clock())

    def unmeasured(self, lineage: str, *, limit: int) -> list[Experience]:
        """The oldest pending experiences that have no surprise yet."""
        with self._database.reading() as tx:
            return surprises.unmeasured(tx, lineage, limit)

    def note_surprises(self, lineage: str, nats_by_id: Mapping[int, float]) -> None:
        """Give pending experiences the surprise that was measured; one that was told with a surprise keeps it.

        Args:
            nats_by_id: experience id -> surprise in nats a token. Those that wait no longer are skipped.

        Raises:
            BadInput: a surprise is not finite; nothing was stored.
        """
        with self._database.writing() as tx:
            surprises.note(tx, lineage, nats_by_id)

    def surprise_waiting(self, lineage: str, *, at_most: int) -> float:
        """The summed surprise of the most surprising experiences that could be claimed now, at most so many."""
        with self._database.reading() as tx:
            return surprises.waiting(tx, lineage, at_most, self._clock())

    def open_batch(self, lease: UpdaterLease, *, limit: int, order: ClaimOrder = "oldest") -> Batch:
        """Claim pending experiences as one stored batch on top of the head.

        Those that came when the queue was full wait like the others. One whose updates died is put off for a while.

        Args:
            limit: at most so many.
            order: which come first: the oldest, those of the highest priority, or the most surprising; among equals,
                and after those without a priority or a surprise, the oldest.

        Raises:
            NothingPending, LeaseLost.
        """
        with self._database.writing() as tx:
            ring_after(tx, lease.lineage)
            return batches.open_batch(tx, lease, limit, order, self._clock())

    def preview_batch(self, lineage: str, *, limit: int, order: ClaimOrder = "oldest") -> Batch:
        """The batch that `open_batch` would open now. Nothing is claimed or stored. Raises `NothingPending`."""
        with self._database.reading() as tx:
            return batches.preview(tx, lineage, limit, order, self._clock())

    def open_batch_of(self, lease: UpdaterLease, experience_ids: Sequence[int]) -> Batch:
        """Claim exactly these pending experiences, to bisect a rejected batch."""
        with self._database.writing() as tx:
            ring_after(tx, lease.lineage)
            return batches.open_batch_of(tx, lease, experience_ids, self._clock())

    def batch(self, batch_id: int) -> Batch:
        """The batch with its members, whatever became of it."""
        with self._database.reading() as tx:
            return batches.find(tx, batch_id)

    def turn(self, lineage: str, batch_id: int) -> int:
        """One more than the lineage's batches before this one that came to a verdict; those cut off do not count."""
        with self._database.reading() as tx:
            return batches.turn(tx, lineage, batch_id)

    def memberships(self, experience_id: int) -> list[Membership]:
        """Every batch that the experience was in, by id, with what became of it."""
        with self._database.reading() as tx:
            return batches.memberships(tx, experience_id)

    def history(self, experience_id: int) -> list[Happening]:
        """What happened to the experience, from its append to now. Raises `UnknownExperience`."""
        with self._database.reading() as tx:
            experience = experiences.by_ids(tx, [experience_id])[0]
            return happenings.story(tx, experience, batches.memberships(tx, experience_id))

    def versions_knowing(self, experience_id: int) -> list[int]:
        """The admitted versions that have learned the experience, or go on from one that has, by number.

        Forgetting an experience takes nothing from them: what is in the weights stays there.
        """
        with self._database.reading() as tx:
            lineage = experiences.by_ids(tx, [experience_id])[0].lineage
            found = batches.memberships(tx, experience_id)
            learned_in = {one.version for one in found if one.state == "committed" and one.version is not None}
            return sorted(happenings.knowing(tx, lineage, learned_in))

    def store_targets(self, lease: UpdaterLease, batch_id: int, new_targets: Sequence[NewTarget]) -> list[int]:
        """Put the batch's target sentences by; replay sees them once the batch's version is admitted. Their ids."""
        with self._database.writing() as tx:
            return targets.store(tx, batches.hold_batch(tx, lease, batch_id), new_targets)

    def add_candidate(
        self, lease: UpdaterLease, batch_id: int, *, delta: DeltaRef, weights_hash: str, metrics: Mapping[str, float]
    ) -> Version:
        """Record what an update yielded, with a number that no other version ever gets."""
        with self._database.writing() as tx:
            return versions.add_candidate(
                tx, lease, batch_id, delta=delta, weights_hash=weights_hash, metrics=metrics, now=self._clock()
            )

    def admit(
        self,
        lease: UpdaterLease,
        version_number: int,
        *,
        metrics: Mapping[str, float] | None = None,
        superseded: Mapping[int, int] | None = None,
        remark: str | None = None,
    ) -> Version:
        """Make a candidate the head: batch committed, experiences learned, targets live, all in one transaction.

        Args:
            metrics: what the gate measured, added to the candidate's.
            superseded: target id -> id of the experience that made it untrue. Targets forgotten meanwhile are skipped.
            remark: what the history of the batch's experiences should tell of how it came about.

        Raises:
            LeaseLost: the lease or the batch is no longer ours.
            HeadMoved: the candidate's parent is no longer the head.
        """
        with self._database.writing() as tx:
            ring_after(tx, lease.lineage)
            return versions.admit(
                tx, lease, version_number, metrics=metrics, superseded=superseded or {}, remark=remark,
                now=self._clock(),
            )  # fmt: skip

    def reject(
        self, lease: UpdaterLease, version_number: int, reason: str, *, metrics: Mapping[str, float] | None = None
    ) -> Version:
        """Refuse a candidate; its batch stays open for another try or for `reject_batch`.

        Args:
            metrics: what the gate measured, added to the candidate's.
        """
        with self._database.writing() as tx:
            return versions.reject(tx, lease, version_number, reason, metrics or {})

    def reject_batch(self, lease: UpdaterLease, batch_id: int, *, reason: str, refuse_experiences: bool) -> None:
        """End a batch unlearned, with its candidates and targets; its experiences wait again or are refused."""
        with self._database.writing() as tx:
            ring_after(tx, lease.lineage)
            batches.reject(tx, lease, batch_id, reason, refuse_experiences, self._clock())

    # Versions

    def head(self, lineage: str) -> Version:
        """The version that serves and that the next update starts from. Raises `UnknownVersion`."""
        with self._database.reading() as tx:
            return versions.head(tx, lineage)

    def version(self, lineage: str, number: int) -> Version:
        """One version in any state. Raises `UnknownVersion`, which names those that exist."""
        with self._database.reading() as tx:
            return versions.find(tx, lineage, number)

    def versions(self, lineage: str) -> list[Version]:
        """Every version by number, rejected ones too."""
        with self._database.reading() as tx:
            return versions.listed(tx, lineage)

    def chain(self, lineage: str, number: int) -> list[Version]:
        """The versions whose deltas, added to the base in this order, give version `number`; empty for 0."""
        with self._database.reading() as tx:
            return versions.chain(tx, lineage, number)

    def rollback(self, lineage: str, number: int) -> Version:
        """Move the head to any admitted version. What only the left versions learned waits again, and back.

        Raises:
            LineageBusy: an update runs.
        """
        with self._database.writing() as tx:
            ring_after(tx, lineage)
            return versions.rollback(tx, lineage, number, self._clock())

    def referenced_blobs(self) -> set[str]:
        """The paths of snapshots and of the deltas of candidates and admitted versions: all that may still be read."""
        with self._database.reading() as tx:
            return versions.referenced_blobs(tx)

    # Targets

    def replay_targets(
        self, lineage: str, *, limit: int, seed: int, exclude_subjects: Collection[str] = ()
    ) -> list[StoredTarget]:
        """A sample of what the head has learned and still holds for true, without held-out targets.

        Every experience is equally likely, and every target of an experience.
        """
        with self._database.reading() as tx:
            return targets.sample(
                tx, lineage, held_out=False, limit=limit, seed=seed, exclude_subjects=exclude_subjects
            )

    def held_out_targets(
        self, lineage: str, *, limit: int, seed: int, exclude_subjects: Collection[str] = ()
    ) -> list[StoredTarget]:
        """The same of held-out targets only, for the gate."""
        with self._database.reading() as tx:
            return targets.sample(tx, lineage, held_out=True, limit=limit, seed=seed, exclude_subjects=exclude_subjects)

    def targets_of(self, experience_id: int) -> list[StoredTarget]:
        """Every stored target made from the experience, also superseded ones and those not admitted yet."""
        with self._database.reading() as tx:
            return targets.of_experience(tx, experience_id)

    def targets_by_ids(self, ids: Sequence[int]) -> list[StoredTarget]:
        """The stored targets with these ids, by id; those that were forgotten are left out."""
        with self._database.reading() as tx:
            return targets.by_ids(tx, ids)

    def known_subjects(self, lineage: str, subjects: Collection[str]) -> set[str]:
        """Those of these subjects about which the head has learned something that still holds; near misses aside."""
        with self._database.reading() as tx:
            return targets.known_subjects(tx, lineage, subjects)

    def targets_about(self, lineage: str, pairs: Collection[tuple[str, str | None]]) -> list[StoredTarget]:
        """The live targets, held-out and near misses included, about (subject, relation); None is every relation."""
        with self._database.reading() as tx:
            return targets.about(tx, lineage, pairs)

    # Probes: for studies; nothing above reads them

    def add_probes(self, new_probes: Sequence[NewProbe]) -> list[int]:
        """Store probes. Their ids."""
        with self._database.writing() as tx:
            return probes.add(tx, new_probes)

    def probes(self, lineage: str, *, experience_ids: Sequence[int] | None = None) -> list[Probe]:
        """The lineage's probes by id, or only those about some experiences."""
        with self._database.reading() as tx:
            return probes.listed(tx, lineage, experience_ids)

    def record_probe_results(self, results: Sequence[ProbeResult]) -> None:
        """Store what versions answered; asking again replaces. Results of forgotten probes are left out."""
        with self._database.writing() as tx:
            probes.record(tx, results)

    def probe_results(self, lineage: str) -> list[ProbeResult]:
        """Every result of the lineage, by version, then by probe."""
        with self._database.reading() as tx:
            return probes.results(tx, lineage)
