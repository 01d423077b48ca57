"""One update, from pending experiences to an admitted version.

Knows: the order of an update and what must be durable before what (docs/architecture.md). Refuses to know: who wakes
it, who serves.

The order: hold the lineage's updater lease; store the batch; write target sentences; compute and store teacher targets
with theta_0; train from theta_n; fold and round; measure and gate; write the delta file; insert the candidate;
admit in one transaction.
"""

import copy
import itertools
import math
import time
from collections.abc import Iterator, Sequence

from torch import Tensor
from transformers import PreTrainedModel

from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from memory_log.records import Batch, ClaimOrder, DeltaRef, Experience, UpdaterLease, Version
from updater.anchors import AnchorSource
from updater.attempts import Start, Tally, Tried, attempt_of, parts, recorded, safer_settings
from updater.candidates import Writer, counts_by_reason
from updater.delta import Change, delta_bytes, is_finite, kind_of
from updater.filters import ExperienceFilter
from updater.fold import VersionWeights, add_delta, all_finite, load_weights
from updater.gate import compared, measure, verdict
from updater.language_model import LanguageModel, weights_hash
from updater.material import Material, MaterialMaker, Prepared, as_records
from updater.memory import naming_out_of_memory
from updater.plan import UpdatePlan
from updater.planning import as_plan
from updater.report import NOT_FINITE, Attempt, Progress, Refusal, RefusalKind, UpdateReport, in_words, silent
from updater.settings import GateSettings, UpdateSettings
from updater.split import gate_sentences, training_set
from updater.surprise import surprises
from updater.teacher import teacher_of
from updater.training import Trainer, TrainingResult, train
from updater.writers import written_by_model

SEED_STRIDE = 1_000_003
NUM_MEASURED = 256  # the oldest whose surprise an update measures before it takes the most surprising


class Updater:
    """Turns pending experiences of any lineage into versions. Plain class: Ray, command line and tests wrap it.

    Args:
        base: theta_0, teacher and root of every fold.
        log: the durable log.
        blobs: where delta files go.
        anchors: source of unrelated sentences.
        owner: name under which leases are held; one per process.
        settings: how an update is made.
        gate: what a version must show.
        experience_filter: what of each experience may be learned; None lets everything through.
        trainer: the optimisation run; whatever it gives, only the gate lets it serve.
        writer: who writes questions and statements about experiences; by default theta_0 itself.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        blobs: BlobStore,
        *,
        anchors: AnchorSource,
        owner: str,
        settings: UpdateSettings | None = None,
        gate: GateSettings | None = None,
        experience_filter: ExperienceFilter | None = None,
        trainer: Trainer = train,
        writer: Writer = written_by_model,
    ) -> None:
        self.base, self.log, self.blobs, self.owner = base, log, blobs, owner
        self.settings = settings or UpdateSettings()
        self.gate = gate or GateSettings()
        self.versions = VersionWeights(base, log, blobs)
        self._trainer = trainer
        self._theta_n: PreTrainedModel = copy.deepcopy(base.model)
        # The teacher may use the copy's weights: training sets them anew.
        teacher = teacher_of(self.settings.teacher, base, self.versions, log, self._theta_n)
        self._maker = MaterialMaker(base, log, self.settings, anchors, experience_filter, writer, teacher)
        self._pad = base.dialogue.pad_token_id

    def update(
        self, lineage: str, *, limit: int, order: ClaimOrder = "oldest", progress: Progress = silent
    ) -> UpdateReport:
        """Learn up to `limit` pending experiences, those that come first in the order; surprise is measured if need be.

        A refused batch is tried once more with safer settings, then split in two, until the experience that spoils it
        stands alone and is refused.

        Raises:
            NothingPending: nothing waits.
            LineageBusy: another updater holds the lease.
            UpdatesPaused: the lineage is paused.
            FilterFailed: the filter raised; everything waits.
            OutOfMemory: not even one sentence at a time fits; the experiences wait.
        """
        self.log.ensure_lineage(lineage, base_fingerprint=self.base.fingerprint)
        lease = self.log.acquire_updater_lease(lineage, owner=self.owner, lease_seconds=self.settings.lease_seconds)
        try:
            with naming_out_of_memory("the update"):
                if order == "surprise":
                    self.measure_surprises(lineage)
                return self._learned(lease, self.log.open_batch(lease, limit=limit, order=order), progress)
        finally:
            # Also on Ctrl-C and errors: what is still leased becomes pending again, an open batch is abandoned.
            self.log.release_updater_lease(lease)

    def learn(
        self, lease: UpdaterLease, experience_ids: Sequence[int], progress: Progress = silent
    ) -> UpdateReport:
        """Learn exactly these pending experiences on top of the head, under a lease that is held, and give it back not.

        Raises:
            LeaseLost: the lease is over.
            BadInput: one of them is not pending.
            FilterFailed, OutOfMemory: see `update`.
        """
        with naming_out_of_memory("the update"):
            return self._learned(lease, self.log.open_batch_of(lease, experience_ids), progress)

    def measure_surprises(self, lineage: str, *, limit: int = NUM_MEASURED) -> int:
        """Measure how surprising pending experiences are to the head, those that have no surprise yet; how many.

        What may not or cannot be learned surprises nobody. A surprise is measured once and kept: later versions may be
        less surprised.

        Raises:
            FilterFailed: the filter raised.
            OutOfMemory: not even one question fits.
        """
        head = self.log.ensure_lineage(lineage, base_fingerprint=self.base.fingerprint)
        waiting = self.log.unmeasured(lineage, limit=limit)
        readable = [found for one in waiting if isinstance(found := self._maker.readable(one), Experience)]
        if readable:
            load_weights(self._theta_n, self.versions.fold(self.versions.sums(lineage, head.number)))
        contexts = [part for one in readable for part in self._maker.contexts(one)]
        measured = surprises(
            self.base, self._theta_n, [one.text for one in contexts], seed=self.settings.seed,
            kept_tokens=self.settings.kept_tokens,
        )  # fmt: skip
        nats_by_id = dict.fromkeys((one.id for one in waiting), 0.0)
        for one, nats in zip(contexts, measured, strict=True):  # of a long one, its most surprising window counts
            nats_by_id[one.id] = max(nats_by_id[one.id], nats)
        self.log.note_surprises(lineage, nats_by_id)
        return len(waiting)

    def plan(
        self, lineage: str, *, limit: int, order: ClaimOrder = "oldest", progress: Progress = silent
    ) -> UpdatePlan:
        """What `update` would do now, up to training: no lease is taken, nothing is claimed and nothing is stored.

        Made by the same steps with the same seeds, so the next update learns these very sentences if nothing changes
        meanwhile. A batch that the gate would split, and what a later part finds learned by an earlier one, is not
        foreseen. A new lineage gets its version 0, as any question to it would give it.

        Raises:
            NothingPending: nothing waits.
            FilterFailed: the filter raised.
        """
        started = time.monotonic()
        self.log.ensure_lineage(lineage, base_fingerprint=self.base.fingerprint)
        batch = self.log.preview_batch(lineage, limit=limit, order=order)
        turns = itertools.count(self.log.turn(lineage, batch.id))
        found = self._prepare_or_split(lineage, batch.experience_ids, turns, progress)
        plan = as_plan(self.log, batch, found)
        return plan.model_copy(update={"seconds": time.monotonic() - started})

    def _prepare_or_split(
        self, lineage: str, ids: tuple[int, ...], turns: Iterator[int], progress: Progress
    ) -> list[Prepared]:
        """What `_learn_or_split` does, without learning; the batches get their turns in the same order."""
        prepared = self._maker.prepare(lineage, ids, self._seed(next(turns)), progress)
        if prepared.material is not None or prepared.has_collapsed or len(ids) == 1:
            return [prepared]
        split = parts(ids, frozenset(prepared.refused))
        return [one for part in split for one in self._prepare_or_split(lineage, part, turns, progress)]

    def _seed(self, turn: int) -> int:
        """Of a lineage's batch by its turn, so that an update that was cut off is made again as it would have been."""
        return self.settings.seed * SEED_STRIDE + turn * 7919

    def _learned(self, lease: UpdaterLease, batch: Batch, progress: Progress) -> UpdateReport:
        tally = Tally(parent=batch.parent_version, num_experiences=len(batch.experience_ids))
        self._learn_or_split(lease, batch, self.settings, tally, progress)
        return tally.report()

    def _learn_or_split(
        self, lease: UpdaterLease, batch: Batch, settings: UpdateSettings, tally: Tally, progress: Progress
    ) -> None:
        """Learn a batch, or end it and learn its parts; one that cannot be split any more is refused."""
        tried = self._learn(lease, batch, settings, progress)
        tally.attempts += tried.attempts
        if not tried.refusals:
            return
        ids, is_to_blame = batch.experience_ids, not tried.is_the_teachers_fault
        is_refused = is_to_blame and len(ids) == 1
        self.log.reject_batch(lease, batch.id, reason=tried.reason, refuse_experiences=is_refused)
        if is_refused or not is_to_blame:
            tally.give_up(tried.reason, num_refused=int(is_refused))
            return
        for part in parts(ids, tried.suspects):
            self._learn_or_split(lease, self.log.open_batch_of(lease, part), tried.settings, tally, progress)

    def _learn(self, lease: UpdaterLease, batch: Batch, settings: UpdateSettings, progress: Progress) -> Tried:
        """Make a batch ready and try to learn it; once more with safer settings when that is refused."""
        started = time.monotonic()
        seed = self._seed(self.log.turn(lease.lineage, batch.id))
        prepared = self._maker.prepare(lease.lineage, batch.experience_ids, seed, progress)
        if prepared.material is None:
            refused = Attempt(
                batch_id=batch.id, experience_ids=batch.experience_ids, refusals=prepared.refusals,
                dropped=counts_by_reason(prepared.dropped), seconds=time.monotonic() - started,
            )  # fmt: skip
            return Tried((refused,), settings, frozenset(prepared.refused))
        self.log.store_targets(lease, batch.id, as_records(prepared.experiences, prepared.material))
        self._renew(lease)
        start = self._start(lease, batch, prepared.material, counts_by_reason(prepared.dropped), seed, progress)
        first = self._attempt(start, settings, started=started)
        safer = safer_settings(settings, first.refusals)
        if safer is None:
            return Tried((first,), settings)
        return Tried((first, self._attempt(start, safer, started=time.monotonic(), after=first)), safer)

    def _start(
        self, lease: UpdaterLease, batch: Batch, material: Material, dropped: dict[str, int], seed: int,
        progress: Progress,
    ) -> Start:  # fmt: skip
        """The weights and the measures that every attempt at the batch starts from."""
        parent = self.log.head(lease.lineage)
        sums = self.versions.sums(lease.lineage, parent.number)
        began = time.monotonic()
        load_weights(self._theta_n, self.versions.fold(sums))
        before = measure(self._theta_n, gate_sentences(material), self._pad)
        return Start(lease, batch, parent, sums, material, dropped, before, time.monotonic() - began, seed, progress)

    def _attempt(
        self, start: Start, settings: UpdateSettings, *, started: float, after: Attempt | None = None
    ) -> Attempt:
        """One optimisation run from theta_n: train, fold and round, measure, admit or refuse."""
        is_retry = after is not None
        if is_retry:  # what was refused still stands in theta_n's copy
            load_weights(self._theta_n, self.versions.fold(start.sums))
        trained = self._train(start, settings, is_retry=is_retry, started=started)
        self._renew(start.lease)
        attempt = attempt_of(
            start.batch, start.material, trained, settings, asked=self.settings, is_retry=is_retry,
            dropped=start.dropped,
        )  # fmt: skip

        start.progress("gate", 0, 1)
        folded = self.versions.fold(add_delta(start.sums, trained.changes))
        if trained.ended_by == "not finite" or not is_finite(trained.changes) or not all_finite(folded):
            refused = (Refusal(RefusalKind.NOT_FINITE, NOT_FINITE),)
            return attempt.model_copy(update={"refusals": refused, "seconds": time.monotonic() - started})
        load_weights(self._theta_n, folded)
        candidate = self._candidate(start, trained.changes, folded, is_retry=is_retry).number
        measures = measure(self._theta_n, gate_sentences(start.material), self._pad)
        measures = compared(start.before, measures) | {"seconds_to_gate": time.monotonic() - started}
        refusals = verdict(measures, self.gate)
        metrics = recorded(measures, attempt, num_superseded=len(start.material.superseded))
        if refusals:
            self.log.reject(start.lease, candidate, in_words(refusals), metrics=metrics)
        else:
            self.log.admit(
                start.lease, candidate, metrics=metrics, superseded=start.material.superseded,
                remark=None if after is None else f"at the second attempt; the first: {in_words(after.refusals)}",
            )  # fmt: skip
            self.versions.snapshot_if_due(start.lease.lineage, candidate, every=self.settings.snapshot_every)
        start.progress("gate", 1, 1)
        made = {"candidate": candidate, "refusals": refusals, "metrics": metrics}
        return attempt.model_copy(update={**made, "seconds": time.monotonic() - started})

    def _renew(self, lease: UpdaterLease) -> None:
        self.log.renew_updater_lease(lease, lease_seconds=self.settings.lease_seconds)

    def _train(self, start: Start, settings: UpdateSettings, *, is_retry: bool, started: float) -> TrainingResult:
        seed = start.seed + is_retry
        budget_seconds = math.inf if settings.budget_seconds is None else settings.budget_seconds
        gate_at = started + budget_seconds - start.gate_seconds
        renewed = time.monotonic()

        def stepped(done: int, total: int) -> None:
            nonlocal renewed
            start.progress("training", done, total)
            if time.monotonic() - renewed > self.settings.lease_seconds / 4:
                self._renew(start.lease)
                renewed = time.monotonic()

        return self._trainer(
            self._theta_n, training_set(start.material, self.base.dialogue, seed), settings, seed=seed,
            pad_token_id=self._pad, progress=stepped, seconds_left=lambda: gate_at - time.monotonic(),
        )  # fmt: skip

    def _candidate(
        self, start: Start, changes: dict[str, Change], folded: dict[str, Tensor], *, is_retry: bool
    ) -> Version:
        """Write the delta aside, sync and rename it, then insert the candidate that names it."""
        lease, batch = start.lease, start.batch
        parent_hash = start.parent.weights_hash or self.base.fingerprint
        content = delta_bytes(changes, base_fingerprint=self.base.fingerprint, parent_hash=parent_hash)
        name = f"{lease.lineage}/batch-{batch.id}-fence-{lease.fence}{'-retry' if is_retry else ''}.safetensors"
        sha256, num_bytes = self.blobs.put(name, content)
        delta = DeltaRef(path=name, sha256=sha256, kind=kind_of(changes), num_bytes=num_bytes)
        return self.log.add_candidate(lease, batch.id, delta=delta, weights_hash=weights_hash(folded), metrics={})
