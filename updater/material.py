"""The material of one update: what is made of a batch before any weight is trained.

Knows: what the filter lets through, which sentences are worth learning, what they supersede, which anchors and replayed
targets go with them. Refuses to know: leases, training, the gate. It reads the log and writes nothing.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from transformers import PreTrainedModel

from memory_log.log import MemoryLog
from memory_log.records import Experience, NewTarget
from updater.anchors import Anchor, AnchorSource
from updater.candidates import Dropped, Writer, counts_by_reason, described
from updater.changes import Changes
from updater.collapse import collapse
from updater.contexts import contexts_of, most_tokens
from updater.diversity import distinct_share
from updater.filters import ExperienceFilter, allowed
from updater.keeping import Keeper
from updater.language_model import LanguageModel
from updater.reading import read_by_base, with_more_notes
from updater.report import (
    NO_NEAR_MISSES,
    NOTHING_READ,
    NOTHING_WRITTEN,
    TOO_LONG,
    Progress,
    Refusal,
    RefusalKind,
)
from updater.rewording import fillers_of
from updater.sentences import Sentence, words_of
from updater.settings import UpdateSettings
from updater.supersession import still_true_within_batch
from updater.targets import TeacherTargets
from updater.teacher import Taught, Teacher, taught
from updater.understanding import understood
from updater.unrelated import is_named_elsewhere
from updater.writers import left_out, written_by_model
from updater.writing import WrittenSentences, write_sentences

NUM_GATE_REPLAY = 64
NUM_GATE_READING = 20


@dataclass(frozen=True)
class Material:
    """What one update works on: the batch's sentences with their targets, anchors without and with notes, replay."""

    about: list[tuple[Sentence, TeacherTargets]]
    anchors: list[TeacherTargets]
    reading_anchors: list[TeacherTargets]
    contradictions: list[TeacherTargets]
    """Questions about what is known behind a note that says otherwise."""
    read: list[TeacherTargets]
    """Questions with four notes that theta_0 answers, held aside: the gate's view of reading."""
    replay_questions: list[TeacherTargets]
    replay_near_misses: list[TeacherTargets]
    watched_replay: list[TeacherTargets]
    """Held-out sentences of earlier batches: the gate's view of retention."""
    superseded: dict[int, int]
    fillers: tuple[str, ...] = ()
    """Words that questions are asked with, but not about: what reworded ones have in place of others."""
    num_windows: int = 0
    """Contexts that the batch was read in."""
    num_unread_windows: int = 0
    """Those of them about which too few questions were found."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What this update cannot be measured by."""
        has_near_misses = any(sentence.kind == "near_miss" for sentence, _ in self.about)
        missing = {NO_NEAR_MISSES: not has_near_misses, NOTHING_READ: not self.read}
        return tuple(note for note, is_missing in missing.items() if is_missing)

    @property
    def distinct_share(self) -> float:
        """Distinct-2 of the questions and statements about each experience, the mean over experiences."""
        texts: dict[int, list[str]] = {}
        for sentence, _ in self.about:
            if sentence.kind != "near_miss":
                texts.setdefault(sentence.experience_id, []).append(sentence.own_text)
        return sum(distinct_share(one) for one in texts.values()) / len(texts) if texts else 1.0

    def of(self, *, held_out: bool, kind: str | None = None) -> list[TeacherTargets]:
        """The batch's targets on one side of the held-out split, of one kind or of all."""
        return [
            target for sentence, target in self.about if sentence.held_out == held_out and kind in (None, sentence.kind)
        ]

    def count(self, kind: str) -> int:
        """How many of the batch's sentences are of a kind."""
        return sum(sentence.kind == kind for sentence, _ in self.about)


@dataclass(frozen=True)
class Prepared:
    """A batch made ready for training, or the experiences that keep it from that, each with the reason."""

    experiences: list[Experience]
    """As they may be learned; those that the filter refuses are missing."""
    material: Material | None = None
    refused: dict[int, str] = field(default_factory=dict)
    has_collapsed: bool = False
    """Whether that lies in the teacher and not in the experiences."""

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Why nothing is trained; empty where there is material."""
        kind = RefusalKind.COLLAPSE if self.has_collapsed else RefusalKind.MATERIAL
        counts = counts_by_reason(one for one in self.dropped if one.kind != "near_miss")
        # Of an experience alone also what became of all that was written about it.
        why = f" (dropped: {described(counts)})" if counts and len(self.experiences) == 1 else ""
        return tuple(Refusal(kind, words + why) for words in dict.fromkeys(self.refused.values()))

    dropped: list[Dropped] = field(default_factory=list)
    """What was written and not used."""
    left_out: tuple[str, ...] = ()
    """What was not written because the model has no instruction for it."""
    num_windows: Counter[int] = field(default_factory=Counter)
    """Contexts that each experience was read in."""
    num_unread_windows: Counter[int] = field(default_factory=Counter)
    """Those of them about which too few questions were found."""


class MaterialMaker:
    """Makes the material of updates of any lineage.

    Args:
        base: theta_0, which answers, and writes and teaches unless others do.
        log: the durable log.
        settings: how an update is made.
        anchors: source of unrelated sentences.
        experience_filter: what of each experience may be learned; None lets everything through.
        writer: who writes questions and statements about what the filter lets through.
        teacher: whose expectations are taught; theta_0's by default.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        settings: UpdateSettings,
        anchors: AnchorSource,
        experience_filter: ExperienceFilter | None,
        writer: Writer = written_by_model,
        teacher: Teacher | None = None,
    ) -> None:
        self._base, self._log, self._settings = base, log, settings
        self._anchors, self._filter, self._writer = anchors, experience_filter, writer
        self._teacher: Teacher = teacher or (lambda lineage: base.model)
        self._changes = Changes(base, log, experience_filter, settings.teacher)
        self._keeper = Keeper(base, log, settings, anchors, self._changes)

    def prepare(self, lineage: str, ids: Sequence[int], seed: int, progress: Progress) -> Prepared:
        """Filter a batch, let theta_0 write about it, and put together all that an update of it needs.

        Raises:
            FilterFailed: the filter raised.
        """
        progress("writing sentences", 0, 1)
        readable = {number: self.readable(self._log.get(number)) for number in ids}
        experiences = [one for one in readable.values() if isinstance(one, Experience)]
        refused = {number: one for number, one in readable.items() if isinstance(one, str)}
        if refused:
            return Prepared(experiences, refused=refused)
        anchors = self._anchors(self._settings.num_anchors, seed)
        contexts = [part for one in sorted(experiences, key=lambda one: one.id) for part in self.contexts(one)]
        teacher = self._teacher(lineage)
        found = understood(
            contexts,
            lambda asked, more: self._write(lineage, asked, contexts, anchors, seed + more),
            lambda sentences: taught(teacher, self._base, sentences, self._settings.kept_tokens),
            self._settings,
            progress,
        )
        refused = found.refused
        unwritten = left_out(self._base, self._settings.writing)
        # One experience that is understood is proof enough that the teacher reads.
        reads_none = len(refused) == len(experiences) and NOTHING_WRITTEN not in refused.values()
        collapsed = self._collapse(teacher, anchors) if refused and reads_none else None
        if collapsed is not None:
            refused = dict.fromkeys(refused, collapsed)
        num_windows = Counter(context.id for context in contexts)
        material = None if refused else self._material(lineage, contexts, found.worth_learning, anchors, seed)
        if material is not None:
            material = replace(
                material, num_windows=num_windows.total(), num_unread_windows=found.unread.total()
            )
        return Prepared(
            experiences, material, refused, has_collapsed=collapsed is not None, dropped=found.dropped,
            left_out=unwritten, num_windows=num_windows, num_unread_windows=found.unread,
        )  # fmt: skip

    def readable(self, experience: Experience) -> Experience | str:
        """What of an experience may be learned, or why nothing: refused by the filter, or too long.

        Raises:
            FilterFailed: the filter raised.
        """
        found = allowed(experience, self._filter)
        if isinstance(found, Experience) and not self.contexts(found):
            return TOO_LONG.format(most=most_tokens(self._base, self._settings.teacher))
        return found

    def contexts(self, experience: Experience) -> list[Experience]:
        """What of an experience is read at once: itself, or its windows."""
        return contexts_of(self._base, experience, self._settings.teacher)

    def _collapse(self, teacher: PreTrainedModel, anchors: Sequence[Anchor]) -> str | None:
        speaker = replace(self._base, model=teacher)
        return collapse(
            speaker, anchors, min_gain_nats=self._settings.min_gain_nats, kept_tokens=self._settings.kept_tokens
        )

    def _write(
        self,
        lineage: str,
        experiences: Sequence[Experience],
        contexts: Sequence[Experience],
        anchors: Sequence[Anchor],
        seed: int,
    ) -> WrittenSentences:
        told = [(context.id, set(words_of(context.text))) for context in contexts]

        def has_history(words: Sequence[str], experience_id: int) -> bool:
            if any(number == experience_id and set(words) <= text for number, text in told):
                return True
            return is_named_elsewhere(self._log, lineage, words, experience_id)

        strangers = [anchor for anchor in anchors if anchor.words]
        return write_sentences(
            self._base, experiences, self._settings, seed=seed, strangers=strangers, has_history=has_history,
            writer=self._writer,
        )  # fmt: skip

    def _material(
        self,
        lineage: str,
        contexts: Sequence[Experience],
        informative: Sequence[Taught],
        anchors: Sequence[Anchor],
        seed: int,
    ) -> Material:
        """All that the update trains on and is measured with, from theta_0 or from the log."""
        sentences = [sentence for sentence, _ in informative]
        superseded = self._changes.superseded(lineage, contexts, sentences)
        still_true = set(still_true_within_batch(self._base, contexts, sentences))
        still_true -= self._changes.untrue_already(lineage, contexts, sentences)
        subjects = {sentence.subject for sentence in sentences if sentence.kind == "question"}
        anchors = self._keeper.unrelated(lineage, anchors, subjects, seed)
        to_write = [anchor for anchor in anchors if anchor.notes and self._asks_to_write(anchor)]
        readings = [anchor for anchor in anchors if anchor.notes and not self._asks_to_write(anchor)]
        replay = self._log.replay_targets(lineage, limit=self._settings.num_replay, seed=seed)
        replay = [target for target in replay if target.id not in superseded]
        rng = random.Random(seed)
        watched = self._log.held_out_targets(lineage, limit=NUM_GATE_REPLAY, seed=seed)
        about = [(sentence, target) for sentence, target in informative if sentence in still_true]
        fillers = _fillers(sentences, anchors)
        return Material(
            about=about,
            anchors=self._keeper.targets([anchor for anchor in anchors if not anchor.notes]),
            reading_anchors=self._keeper.targets([*readings[NUM_GATE_READING:], *to_write]),
            contradictions=self._keeper.contradictions([sentence for sentence, _ in about], replay, readings, rng),
            read=read_by_base(
                self._base, self._keeper.targets(with_more_notes(readings[:NUM_GATE_READING], random.Random(seed)))
            ),
            replay_questions=self._keeper.replayed([t for t in replay if t.kind != "near_miss"], fillers, rng),
            replay_near_misses=[
                *self._keeper.replayed([t for t in replay if t.kind == "near_miss"], fillers, rng),
                *self._keeper.fresh_near_misses(lineage, contexts, replay, anchors, fillers, rng),
            ],
            watched_replay=[TeacherTargets.from_bytes(t.payload) for t in watched if t.id not in superseded],
            superseded=superseded,
            fillers=fillers,
        )

    def _asks_to_write(self, anchor: Anchor) -> bool:
        """Whether an anchor asks for a question, which nobody can get right or wrong."""
        style = self._base.dialogue.style
        return anchor.prompt in (style.write_question, style.write_near_miss)


def _fillers(sentences: Sequence[Sentence], anchors: Sequence[Anchor]) -> tuple[str, ...]:
    """The words of the batch's and of unrelated questions, without those that they are about."""
    asked = [(sentence.prompt, sentence.subject.split()) for sentence in sentences]
    asked += [(anchor.prompt, list(anchor.words)) for anchor in anchors if anchor.words and not anchor.notes]
    return tuple(fillers_of(asked))


def as_records(experiences: Sequence[Experience], material: Material) -> list[NewTarget]:
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
