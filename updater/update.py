"""One update, from pending experiences to an admitted version.

Knows: the order of an update and what must be durable before what (docs/architecture.md). Refuses to know: who wakes
it, who serves.

The order: hold the lineage's updater lease; store the batch; write target sentences; compute and store teacher targets
with theta_0; train LoRA from theta_n; fold and round; measure and gate; write the delta file; insert the candidate;
admit in one transaction.
"""

import copy
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from transformers import PreTrainedModel

from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from memory_log.records import Batch, DeltaRef, Experience, NewTarget, StoredTarget, UpdaterLease, Version
from updater.anchors import Anchor, AnchorSource
from updater.delta import LowRank, delta_bytes, is_finite
from updater.fold import VersionWeights, add_delta, load_weights
from updater.gate import exactness, verdict
from updater.language_model import LanguageModel, weights_hash
from updater.memory import naming_out_of_memory
from updater.report import UpdateReport
from updater.sentences import Sentence, WrittenSentences, thinned, tokenize, write_sentences
from updater.sequences import TokenizedSentence
from updater.settings import GateSettings, UpdateSettings
from updater.supersession import Claim, still_true_within_batch, superseded_by
from updater.targets import TeacherTargets, compute_targets, sentence_kl
from updater.training import TrainingResult, TrainingSet, train

Progress = Callable[[str, int, int], None]
"""(stage, done, total): what an update is doing."""

SEED_STRIDE = 1_000_003
NUM_GATE_ANCHORS = 40
NUM_GATE_REPLAY = 64
NOT_FINITE = "training ended in values that are not finite; lower the learning rate"
NO_CONTEXT_GAIN = (
    "no context gain: with the experience in its prompt the model answers too few questions that it could not without"
)


def silent(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""


@dataclass(frozen=True)
class Material:
    """What one update works on: the batch's sentences with their targets, anchors without and with notes, replay."""

    about: list[tuple[Sentence, TeacherTargets]]
    anchors: list[TeacherTargets]
    reading_anchors: list[TeacherTargets]
    replay_questions: list[TeacherTargets]
    replay_near_misses: list[TeacherTargets]
    watched_replay: list[TeacherTargets]
    """Held-out sentences of earlier batches: the gate's view of retention."""
    superseded: dict[int, int]

    def of(self, *, held_out: bool, kind: str | None = None) -> list[TeacherTargets]:
        """The batch's targets on one side of the held-out split, of one kind or of all."""
        return [
            target for sentence, target in self.about if sentence.held_out == held_out and kind in (None, sentence.kind)
        ]


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
    ) -> None:
        self.base, self.log, self.blobs = base, log, blobs
        self.anchors, self.owner = anchors, owner
        self.settings = settings or UpdateSettings()
        self.gate = gate or GateSettings()
        self.versions = VersionWeights(base, log, blobs)
        self._theta_n: PreTrainedModel = copy.deepcopy(base.model)
        self._pad = base.dialogue.pad_token_id

    def update(self, lineage: str, *, limit: int, progress: Progress = silent) -> UpdateReport:
        """Learn up to `limit` of the oldest pending experiences.

        A rejected batch is split in two until the experience that spoils it stands alone and is refused.

        Raises:
            NothingPending: nothing waits.
            LineageBusy: another updater holds the lease.
            OutOfMemory: not even one sentence at a time fits; the experiences wait.
        """
        self.log.ensure_lineage(lineage, base_fingerprint=self.base.fingerprint)
        lease = self.log.acquire_updater_lease(lineage, owner=self.owner, lease_seconds=self.settings.lease_seconds)
        try:
            with naming_out_of_memory("the update"):
                batch = self.log.open_batch(lease, limit=limit)
                return self._learn_or_split(lease, batch, progress)
        finally:
            # Also on Ctrl-C and errors: what is still leased becomes pending again, an open batch is abandoned.
            self.log.release_updater_lease(lease)

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
        seed = self.settings.seed * SEED_STRIDE + batch.id * 7919
        experiences = [self.log.get(experience_id) for experience_id in batch.experience_ids]
        report = UpdateReport(version=None, parent=parent.number, admitted=False, num_experiences=len(experiences))

        progress("writing sentences", 0, 1)
        anchors = self.anchors(self.settings.num_anchors, seed)
        informative, unread = self._understood(lease.lineage, experiences, anchors, seed, progress)
        if unread:
            return report.model_copy(update={"reason": NO_CONTEXT_GAIN, "seconds": time.monotonic() - started}), unread
        material = self._material(lease.lineage, experiences, informative, anchors, seed)
        self.log.store_targets(lease, batch.id, _as_records(experiences, material))
        self._renew(lease)

        sums = self.versions.sums(lease.lineage, parent.number)
        load_weights(self._theta_n, self.versions.fold(sums))
        before = self._measure(material)
        trained = self._train(material, seed, progress, lease)
        self._renew(lease)

        progress("gate", 0, 1)
        if not is_finite(trained.factors):
            return report.model_copy(update={"reason": NOT_FINITE, "seconds": time.monotonic() - started}), set()
        folded = self.versions.fold(add_delta(sums, trained.factors))
        load_weights(self._theta_n, folded)
        candidate = self._candidate(lease, batch, parent, trained.factors, folded)
        metrics = self._measure(material) | {f"{name}_before": before[name] for name in ("retention", "reading_kept")}
        metrics["seconds_to_gate"] = time.monotonic() - started
        report = _measured_report(report, material, before, metrics, trained)
        reason = verdict(metrics, self.gate)
        if reason is None:
            self.log.admit(lease, candidate.number, metrics=report.metrics, superseded=material.superseded)
            report = report.model_copy(update={"admitted": True, "version": candidate.number})
        else:
            self.log.reject(lease, candidate.number, reason)
        progress("gate", 1, 1)
        return report.model_copy(update={"reason": reason, "seconds": time.monotonic() - started}), set()

    def _renew(self, lease: UpdaterLease) -> None:
        self.log.renew_updater_lease(lease, lease_seconds=self.settings.lease_seconds)

    def _write(
        self, lineage: str, experiences: Sequence[Experience], anchors: Sequence[Anchor], seed: int
    ) -> WrittenSentences:
        def has_history(words: Sequence[str], experience_id: int) -> bool:
            return any(found.id != experience_id for found in self.log.experiences_mentioning(lineage, words, limit=2))

        strangers = [anchor for anchor in anchors if anchor.words]
        return write_sentences(
            self.base, experiences, self.settings, seed=seed, strangers=strangers, has_history=has_history
        )

    def _understood(
        self, lineage: str, experiences: Sequence[Experience], anchors: Sequence[Anchor], seed: int, progress: Progress
    ) -> tuple[list[tuple[Sentence, TeacherTargets]], set[int]]:
        """Sentences worth learning, and the experiences about which too few were found, even when asked for twice."""
        informative: list[tuple[Sentence, TeacherTargets]] = []
        unread = {experience.id for experience in experiences}
        for attempt in range(2):
            waiting = [experience for experience in experiences if experience.id in unread]
            if waiting:
                progress("writing sentences", attempt, 2)
                written = self._write(lineage, waiting, anchors, seed + attempt)
                progress("teacher targets", attempt, 2)
                informative = [(s, target) for s, target in informative if s.experience_id not in unread]
                informative += self._informative(written.sentences)
                counts = Counter(s.experience_id for s, _ in informative if s.kind == "question")
                unread = {number for number in unread if counts[number] < self.settings.min_questions}
        return informative, unread

    def _informative(self, sentences: Sequence[Sentence]) -> list[tuple[Sentence, TeacherTargets]]:
        """Sentences with their teacher targets, without questions that theta_0 answers as well without context."""
        if not sentences:
            return []
        without, contexts = tokenize(self.base, sentences)
        targets = compute_targets(
            self.base.model, without, contexts, k=self.settings.kept_tokens, pad_token_id=self._pad
        )
        gains = sentence_kl(self.base.model, targets, self._pad)
        return [
            (sentence._replace(gain_nats=gain), target)
            for sentence, target, gain in zip(sentences, targets, gains, strict=True)
            if sentence.kind == "near_miss" or gain >= self.settings.min_gain_nats
        ]

    def _material(
        self,
        lineage: str,
        experiences: Sequence[Experience],
        informative: list[tuple[Sentence, TeacherTargets]],
        anchors: Sequence[Anchor],
        seed: int,
    ) -> Material:
        """All that the update trains on and is measured with, from theta_0 or from the log."""
        sentences = [sentence for sentence, _ in informative]
        superseded = self._superseded(lineage, experiences, sentences)
        still_true = set(still_true_within_batch(self.base, experiences, sentences))
        anchors = [anchor for anchor in anchors if not self._is_known(lineage, anchor.words)]
        replay = self.log.replay_targets(lineage, limit=self.settings.num_replay, seed=seed)
        replay = [target for target in replay if target.id not in superseded]
        rng = random.Random(seed)
        watched = self.log.held_out_targets(lineage, limit=NUM_GATE_REPLAY, seed=seed)
        return Material(
            about=[(sentence, target) for sentence, target in informative if sentence in still_true],
            anchors=self._anchor_targets([anchor for anchor in anchors if not anchor.notes]),
            reading_anchors=self._anchor_targets([anchor for anchor in anchors if anchor.notes]),
            replay_questions=self._replayed([t for t in replay if t.kind != "near_miss"], rng),
            replay_near_misses=self._replayed([t for t in replay if t.kind == "near_miss"], rng),
            watched_replay=[TeacherTargets.from_bytes(t.payload) for t in watched if t.id not in superseded],
            superseded=superseded,
        )

    def _superseded(
        self, lineage: str, experiences: Sequence[Experience], sentences: Sequence[Sentence]
    ) -> dict[int, int]:
        """Older targets that this batch makes untrue, each with the experience that does it."""
        superseded: dict[int, int] = {}
        sources: dict[int, Experience] = {}
        for newer in experiences:
            subjects = {s.subject for s in sentences if s.experience_id == newer.id and s.kind == "question"}
            older = [
                t
                for t in self.log.targets_about(lineage, [(subject, None) for subject in sorted(subjects)])
                if t.id not in superseded
            ]
            for target in older:
                sources.setdefault(target.experience_id, self.log.get(target.experience_id))
            claims = [
                Claim(target.id, sources[target.experience_id], target.prompt, target.completion) for target in older
            ]
            superseded |= dict.fromkeys(superseded_by(self.base, newer, claims), newer.id)
        return superseded

    def _is_known(self, lineage: str, words: Sequence[str]) -> bool:
        return bool(words) and bool(self.log.experiences_mentioning(lineage, words, limit=1))

    def _anchor_targets(self, anchors: Sequence[Anchor]) -> list[TeacherTargets]:
        dialogue = self.base.dialogue
        sentences = [
            TokenizedSentence(
                tuple(dialogue.prompt_ids(anchor.prompt, anchor.notes)),
                tuple(dialogue.completion_ids(anchor.completion)),
            )
            for anchor in anchors
        ]
        contexts = [sentence.prompt_ids for sentence in sentences]
        return compute_targets(
            self.base.model, sentences, contexts, k=self.settings.kept_tokens, pad_token_id=self._pad
        )

    def _train(self, material: Material, seed: int, progress: Progress, lease: UpdaterLease) -> TrainingResult:
        rng = random.Random(seed)
        about: dict[str, list[TeacherTargets]] = {"question": [], "near_miss": []}
        for sentence, target in material.about:
            if not sentence.held_out:
                thin = self._thinned(target, sentence.prompt, sentence.subject, rng)
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

    def _replayed(self, stored: Sequence[StoredTarget], rng: random.Random) -> list[TeacherTargets]:
        """Stored targets, every other one behind a thinned prompt."""
        return [
            self._thinned(target, found.prompt, found.subject, rng) if found.subject and rng.random() < 0.5 else target
            for found in stored
            for target in [TeacherTargets.from_bytes(found.payload)]
        ]

    def _thinned(self, target: TeacherTargets, prompt: str, subject: str, rng: random.Random) -> TeacherTargets:
        """The same targets behind a thinned prompt."""
        prompt_ids = tuple(self.base.dialogue.prompt_ids(thinned(prompt, subject, rng)))
        return replace(target, sentence=target.sentence._replace(prompt_ids=prompt_ids))

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
        self, lease: UpdaterLease, batch: Batch, parent: Version, factors: dict[str, LowRank], folded: dict[str, Tensor]
    ) -> Version:
        """Write the delta aside, sync and rename it, then insert the candidate that names it."""
        parent_hash = parent.weights_hash or self.base.fingerprint
        content = delta_bytes(factors, base_fingerprint=self.base.fingerprint, parent_hash=parent_hash)
        name = f"{lease.lineage}/batch-{batch.id}-fence-{lease.fence}.safetensors"
        sha256, num_bytes = self.blobs.put(name, content)
        delta = DeltaRef(path=name, sha256=sha256, kind="lowrank", num_bytes=num_bytes)
        return self.log.add_candidate(lease, batch.id, delta=delta, weights_hash=weights_hash(folded), metrics={})


def _parts(ids: tuple[int, ...], suspects: set[int]) -> list[tuple[int, ...]]:
    """How to try a rejected batch again: known suspects each alone and the rest together, else two halves."""
    rest = tuple(experience_id for experience_id in ids if experience_id not in suspects)
    if suspects and (rest or len(suspects) > 1):
        return [*([rest] if rest else []), *((suspect,) for suspect in sorted(suspects))]
    return [ids[: len(ids) // 2], ids[len(ids) // 2 :]]


def _as_records(experiences: Sequence[Experience], material: Material) -> list[NewTarget]:
    relations = {e.id: e.facts[0].relation if len(e.facts) == 1 else None for e in experiences}
    return [
        NewTarget(
            experience_id=sentence.experience_id,
            kind=sentence.kind,
            prompt=sentence.prompt,
            completion=sentence.completion,
            subject=sentence.subject,
            relation=relations[sentence.experience_id],
            held_out=sentence.held_out,
            context_gain_nats=sentence.gain_nats,
            payload=target.to_bytes(),
        )
        for sentence, target in material.about
    ]


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
            "reason": reasons or whole.reason,
            "seconds": whole.seconds + sum(part.seconds for part in parts),
        }
    )
