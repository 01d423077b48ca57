"""One update, from pending experiences to an admitted version.

Knows: the order of an update and what must be durable before what (docs/architecture.md). Refuses to know: who wakes
it, who serves.

The order: hold the lineage's updater lease; store the batch; write target sentences; compute and store teacher targets
with theta_0; train from theta_n; fold and round; measure and gate; write the delta file; insert the candidate;
admit in one transaction.
"""

import copy
import itertools
import random
import time
from collections.abc import Iterator, Sequence

from torch import Tensor
from transformers import PreTrainedModel

from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from memory_log.records import Batch, ClaimOrder, DeltaRef, UpdaterLease, Version
from updater.anchors import AnchorSource
from updater.delta import Change, delta_bytes, is_finite, kind_of
from updater.filters import ExperienceFilter
from updater.fold import VersionWeights, add_delta, load_weights
from updater.gate import exactness, verdict
from updater.language_model import LanguageModel, weights_hash
from updater.material import Material, MaterialMaker, Prepared
from updater.material_records import as_plan, as_records
from updater.memory import naming_out_of_memory
from updater.plan import UpdatePlan
from updater.report import NOT_FINITE, Progress, UpdateReport, silent
from updater.settings import GateSettings, UpdateSettings
from updater.targets import TeacherTargets
from updater.teacher import teacher_of
from updater.training import TrainingResult, TrainingSet, train

SEED_STRIDE = 1_000_003
NUM_GATE_ANCHORS = 40


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
    ) -> None:
        self.base, self.log, self.blobs, self.owner = base, log, blobs, owner
        self.settings = settings or UpdateSettings()
        self.gate = gate or GateSettings()
        self.versions = VersionWeights(base, log, blobs)
        self._theta_n: PreTrainedModel = copy.deepcopy(base.model)
        # The teacher may use the copy's weights: training sets them anew.
        teacher = teacher_of(self.settings.teacher, base, self.versions, log, self._theta_n)
        self._maker = MaterialMaker(base, log, self.settings, anchors, experience_filter, teacher)
        self._pad = base.dialogue.pad_token_id

    def update(
        self, lineage: str, *, limit: int, order: ClaimOrder = "oldest", progress: Progress = silent
    ) -> UpdateReport:
        """Learn up to `limit` pending experiences, those that come first in the order.

        A rejected batch is split in two until the experience that spoils it stands alone and is refused.

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
                batch = self.log.open_batch(lease, limit=limit, order=order)
                return self._learn_or_split(lease, batch, progress)
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
            return self._learn_or_split(lease, self.log.open_batch_of(lease, experience_ids), progress)

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
        batch_ids = itertools.count(batch.id)
        parts = self._prepare_or_split(lineage, batch.experience_ids, batch_ids, progress)
        plan = as_plan(self.log, batch, parts)
        return plan.model_copy(update={"seconds": time.monotonic() - started})

    def _prepare_or_split(
        self, lineage: str, ids: tuple[int, ...], batch_ids: Iterator[int], progress: Progress
    ) -> list[Prepared]:
        """What `_learn_or_split` does, without learning; the batches get their ids in the same order."""
        prepared = self._maker.prepare(lineage, ids, self._seed(next(batch_ids)), progress)
        if prepared.material is not None or len(ids) == 1:
            return [prepared]
        parts = _parts(ids, set(prepared.refused))
        return [one for part in parts for one in self._prepare_or_split(lineage, part, batch_ids, progress)]

    def _seed(self, batch_id: int) -> int:
        return self.settings.seed * SEED_STRIDE + batch_id * 7919

    def _learn_or_split(self, lease: UpdaterLease, batch: Batch, progress: Progress) -> UpdateReport:
        report, suspects = self._learn(lease, batch, progress)
        if report.admitted:
            return report
        ids, reason = batch.experience_ids, report.reason or "rejected"
        if len(ids) == 1:
            self.log.reject_batch(lease, batch.id, reason=reason, refuse_experiences=True)
            return report.model_copy(update={"num_refused": 1})
        self.log.reject_batch(lease, batch.id, reason=reason, refuse_experiences=False)
        parts = _parts(ids, suspects)
        return _merged(
            report, [self._learn_or_split(lease, self.log.open_batch_of(lease, part), progress) for part in parts]
        )

    def _learn(self, lease: UpdaterLease, batch: Batch, progress: Progress) -> tuple[UpdateReport, set[int]]:
        """One attempt at one batch: the report, and the experiences that are known to spoil it, if any."""
        started = time.monotonic()
        parent = self.log.head(lease.lineage)
        ids, seed = batch.experience_ids, self._seed(batch.id)
        report = UpdateReport(version=None, parent=parent.number, admitted=False, num_experiences=len(ids))

        prepared = self._maker.prepare(lease.lineage, ids, seed, progress)
        material = prepared.material
        num_windows, num_unread = prepared.num_windows.total(), prepared.num_unread_windows.total()
        report = report.model_copy(update={"num_windows": num_windows, "num_unread_windows": num_unread})
        if material is None:
            why = {"reason": prepared.reason, "seconds": time.monotonic() - started}
            return report.model_copy(update=why), set(prepared.refused)
        self.log.store_targets(lease, batch.id, as_records(prepared.experiences, material))
        self._renew(lease)

        sums = self.versions.sums(lease.lineage, parent.number)
        load_weights(self._theta_n, self.versions.fold(sums))
        before = self._measure(material)
        trained = self._train(material, seed, progress, lease)
        self._renew(lease)

        progress("gate", 0, 1)
        if not is_finite(trained.changes):
            return report.model_copy(update={"reason": NOT_FINITE, "seconds": time.monotonic() - started}), set()
        folded = self.versions.fold(add_delta(sums, trained.changes))
        load_weights(self._theta_n, folded)
        candidate = self._candidate(lease, batch, parent, trained.changes, folded)
        metrics = self._measure(material) | {f"{name}_before": before[name] for name in ("retention", "reading_kept")}
        metrics["seconds_to_gate"] = time.monotonic() - started
        report = _measured_report(report, material, before, metrics, trained)
        reason = verdict(metrics, self.gate)
        if reason is None:
            self.log.admit(lease, candidate.number, metrics=report.metrics, superseded=material.superseded)
            self.versions.snapshot_if_due(lease.lineage, candidate.number, every=self.settings.snapshot_every)
            report = report.model_copy(update={"admitted": True, "version": candidate.number})
        else:
            self.log.reject(lease, candidate.number, reason)
        progress("gate", 1, 1)
        return report.model_copy(update={"reason": reason, "seconds": time.monotonic() - started}), set()

    def _renew(self, lease: UpdaterLease) -> None:
        self.log.renew_updater_lease(lease, lease_seconds=self.settings.lease_seconds)

    def _train(self, material: Material, seed: int, progress: Progress, lease: UpdaterLease) -> TrainingResult:
        rng = random.Random(seed)
        about: dict[str, list[TeacherTargets]] = {"question": [], "near_miss": []}
        for sentence, target in material.about:
            if not sentence.held_out:
                thin = self._maker.thinned_target(target, sentence.prompt, sentence.subject, rng)
                about[sentence.kind] += [target, thin]
        sentences = TrainingSet(
            questions=about["question"],
            near_misses=about["near_miss"],
            held_out=material.of(held_out=True),
            anchors=material.anchors[NUM_GATE_ANCHORS:],
            reading_anchors=material.reading_anchors[NUM_GATE_ANCHORS // 2 :],
            replay_questions=material.replay_questions,
            replay_near_misses=material.replay_near_misses,
        )
        renewed = time.monotonic()

        def stepped(done: int, total: int) -> None:
            nonlocal renewed
            progress("training", done, total)
            if time.monotonic() - renewed > self.settings.lease_seconds / 4:
                self._renew(lease)
                renewed = time.monotonic()

        return train(self._theta_n, sentences, self.settings, seed=seed, pad_token_id=self._pad, progress=stepped)

    def _measure(self, material: Material) -> dict[str, float]:
        """What the gate looks at, for the weights that theta_n's copy holds now."""
        model, pad = self._theta_n, self._pad
        efficacy, kl_nats = exactness(model, material.of(held_out=True, kind="question"), pad)
        near_misses = material.of(held_out=True, kind="near_miss")
        unfooled, _ = exactness(model, near_misses, pad)
        retention, _ = exactness(model, material.watched_replay, pad)
        _, drift_nats = exactness(model, material.anchors[:NUM_GATE_ANCHORS], pad)
        reading_kept, _ = exactness(model, material.reading_anchors[: NUM_GATE_ANCHORS // 2], pad)
        return {
            "efficacy": efficacy,
            "kl_nats": kl_nats,
            "false_recall": 1.0 - unfooled,
            "num_held_out_near_misses": float(len(near_misses)),
            "retention": retention,
            "drift_nats": drift_nats,
            "reading_kept": reading_kept,
        }

    def _candidate(
        self, lease: UpdaterLease, batch: Batch, parent: Version, changes: dict[str, Change], folded: dict[str, Tensor]
    ) -> Version:
        """Write the delta aside, sync and rename it, then insert the candidate that names it."""
        parent_hash = parent.weights_hash or self.base.fingerprint
        content = delta_bytes(changes, base_fingerprint=self.base.fingerprint, parent_hash=parent_hash)
        name = f"{lease.lineage}/batch-{batch.id}-fence-{lease.fence}.safetensors"
        sha256, num_bytes = self.blobs.put(name, content)
        delta = DeltaRef(path=name, sha256=sha256, kind=kind_of(changes), num_bytes=num_bytes)
        return self.log.add_candidate(lease, batch.id, delta=delta, weights_hash=weights_hash(folded), metrics={})


def _parts(ids: tuple[int, ...], suspects: set[int]) -> list[tuple[int, ...]]:
    """How to try a rejected batch again: known suspects each alone and the rest together, else two halves."""
    rest = tuple(experience_id for experience_id in ids if experience_id not in suspects)
    if suspects and (rest or len(suspects) > 1):
        return [*([rest] if rest else []), *((suspect,) for suspect in sorted(suspects))]
    return [ids[: len(ids) // 2], ids[len(ids) // 2 :]]


def _measured_report(
    report: UpdateReport, material: Material, before: dict[str, float], after: dict[str, float], trained: TrainingResult
) -> UpdateReport:
    kinds = [sentence.kind for sentence, _ in material.about]
    return report.model_copy(
        update={
            "num_sentences": kinds.count("question"),
            "num_near_misses": kinds.count("near_miss"),
            "num_steps": trained.num_steps,
            "efficacy": after["efficacy"],
            "kl_before_nats": before["kl_nats"],
            "kl_after_nats": after["kl_nats"],
            "metrics": {
                **after,
                "kl_before_nats": before["kl_nats"],
                "num_steps": float(trained.num_steps),
                "num_superseded": float(len(material.superseded)),
            },
        }
    )


def _merged(whole: UpdateReport, parts: Sequence[UpdateReport]) -> UpdateReport:
    """The report of a batch that was split: the last admitted part's figures, and what was refused."""
    admitted = [part for part in parts if part.admitted]
    num_refused = sum(part.num_refused for part in parts)
    shown = admitted[-1] if admitted else whole
    reasons = "; ".join(dict.fromkeys(part.reason for part in parts if part.reason))
    return shown.model_copy(
        update={
            "parent": whole.parent,
            "num_experiences": whole.num_experiences,
            "num_refused": num_refused,
            "num_windows": sum(part.num_windows for part in parts if part.admitted),
            "num_unread_windows": sum(part.num_unread_windows for part in parts if part.admitted),
            "reason": reasons or whole.reason,
            "seconds": whole.seconds + sum(part.seconds for part in parts),
        }
    )
