"""The material of one update: what is made of a batch before any weight is trained.

Knows: what the filter lets through, which sentences are worth learning, what they supersede, which anchors and replayed
targets go with them. Refuses to know: leases, training, the gate. It reads the log and writes nothing.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from memory_log.log import MemoryLog
from memory_log.records import Experience, StoredTarget
from updater.anchors import Anchor, AnchorSource
from updater.contexts import context_about, contexts_of, most_tokens
from updater.filters import ExperienceFilter, allowed
from updater.language_model import LanguageModel
from updater.report import NO_CONTEXT_GAIN, TEACHER_COLLAPSED, TOO_LONG, Progress
from updater.sentences import Sentence, thinned, words_of
from updater.sequences import TokenizedSentence
from updater.settings import UpdateSettings
from updater.supersession import Claim, still_true_within_batch, superseded_by
from updater.targets import TeacherTargets, compute_targets
from updater.teacher import Taught, Teacher, taught, untaught
from updater.understanding import understood
from updater.writing import write_sentences

NUM_GATE_REPLAY = 64


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


@dataclass(frozen=True)
class Prepared:
    """A batch made ready for training, or the experiences that keep it from that, each with the reason."""

    experiences: list[Experience]
    """As they may be learned; those that the filter refuses are missing."""
    material: Material | None = None
    refused: dict[int, str] = field(default_factory=dict)
    num_windows: Counter[int] = field(default_factory=Counter)
    """Contexts that each experience was read in."""
    num_unread_windows: Counter[int] = field(default_factory=Counter)
    """Those of them about which too few questions were found."""

    @property
    def reason(self) -> str:
        """Every reason once."""
        return "; ".join(dict.fromkeys(self.refused.values()))


class MaterialMaker:
    """Makes the material of updates of any lineage.

    Args:
        base: theta_0, which writes and answers.
        log: the durable log.
        settings: how an update is made.
        anchors: source of unrelated sentences.
        experience_filter: what of each experience may be learned; None lets everything through.
        teacher: whose expectations are taught.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        settings: UpdateSettings,
        anchors: AnchorSource,
        experience_filter: ExperienceFilter | None,
        teacher: Teacher,
    ) -> None:
        self._base, self._log, self._settings = base, log, settings
        self._anchors, self._filter, self._teacher = anchors, experience_filter, teacher
        self._pad = base.dialogue.pad_token_id

    def prepare(self, lineage: str, ids: Sequence[int], seed: int, progress: Progress) -> Prepared:
        """Filter a batch, let theta_0 write about it, and put together all that an update of it needs.

        Raises:
            FilterFailed: the filter raised.
        """
        progress("writing sentences", 0, 1)
        filtered = {number: allowed(self._log.get(number), self._filter) for number in ids}
        experiences = [one for one in filtered.values() if isinstance(one, Experience)]
        refused = {number: one for number, one in filtered.items() if isinstance(one, str)}
        contexts = [c for one in sorted(experiences, key=lambda one: one.id) for c in self._contexts(one, refused)]
        if refused:
            return Prepared(experiences, refused=refused)
        anchors = self._anchors(self._settings.num_anchors, seed)
        teacher = self._teacher(lineage)
        found = understood(
            contexts,
            lambda asked, turn: self._write(lineage, asked, contexts, anchors, seed + turn),
            lambda sentences: taught(teacher, self._base, sentences, self._settings.kept_tokens),
            self._settings,
            progress,
        )
        poor = {one.id for one in experiences if found.num_questions(one.id) < self._settings.min_questions}
        poor_sentences = [sentence for sentence in found.without_gain if sentence.experience_id in poor]
        collapsed = untaught(teacher, self._base, poor_sentences, self._settings)
        refused = {number: TEACHER_COLLAPSED if number in collapsed else NO_CONTEXT_GAIN for number in sorted(poor)}
        return Prepared(
            experiences,
            None if refused else self._material(lineage, contexts, found.worth_learning, anchors, seed),
            refused,
            Counter(context.id for context in contexts),
            Counter(context.id for context in found.unread),
        )

    def _contexts(self, experience: Experience, refused: dict[int, str]) -> list[Experience]:
        """What of an experience is read at once; one that cannot be read is noted among the refused."""
        found = contexts_of(self._base, experience, self._settings.teacher)
        if not found:
            refused[experience.id] = TOO_LONG.format(most=most_tokens(self._base, self._settings.teacher))
        return found

    def _write(
        self,
        lineage: str,
        experiences: Sequence[Experience],
        contexts: Sequence[Experience],
        anchors: Sequence[Anchor],
        seed: int,
    ) -> list[Sentence]:
        told = [(context.id, set(words_of(context.text))) for context in contexts]

        def has_history(words: Sequence[str], experience_id: int) -> bool:
            if any(number == experience_id and set(words) <= text for number, text in told):
                return True
            return any(found.id != experience_id for found in self._log.experiences_mentioning(lineage, words, limit=2))

        strangers = [anchor for anchor in anchors if anchor.words]
        written = write_sentences(
            self._base, experiences, self._settings, seed=seed, strangers=strangers, has_history=has_history
        )
        return written.sentences

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
        superseded = self._superseded(lineage, contexts, sentences)
        still_true = set(still_true_within_batch(self._base, contexts, sentences))
        anchors = [anchor for anchor in anchors if not self._is_known(lineage, anchor.words)]
        replay = self._log.replay_targets(lineage, limit=self._settings.num_replay, seed=seed)
        replay = [target for target in replay if target.id not in superseded]
        rng = random.Random(seed)
        watched = self._log.held_out_targets(lineage, limit=NUM_GATE_REPLAY, seed=seed)
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
        self, lineage: str, contexts: Sequence[Experience], sentences: Sequence[Sentence]
    ) -> dict[int, int]:
        """Older targets that this batch makes untrue, each with the experience that does it."""
        superseded: dict[int, int] = {}
        sources: dict[int, list[Experience]] = {}
        for newer in contexts:
            subjects = {s.subject for s in sentences if s.notes == (newer.text,) and s.kind == "question"}
            older = [
                t
                for t in self._log.targets_about(lineage, [(subject, None) for subject in sorted(subjects)])
                if t.id not in superseded
            ]
            for target in older:
                if target.experience_id not in sources:
                    sources[target.experience_id] = self._source(target.experience_id)
            claims = [
                Claim(target.id, context_about(sources[target.experience_id], said), target.prompt, target.completion)
                for target in older
                for said in [f"{target.prompt} {target.completion}"]
            ]
            superseded |= dict.fromkeys(superseded_by(self._base, newer, claims), newer.id)
        return superseded

    def _source(self, experience_id: int) -> list[Experience]:
        """An older experience as it was learned, in the contexts that it is read in: what its sentences say is compared
        with what it says."""
        stored = self._log.get(experience_id)
        found = allowed(stored, self._filter)
        # One that today's filter refuses was learned before; its sentences can become untrue like any others, and
        # nothing of what is asked about it here is stored.
        learned_as = stored if isinstance(found, str) else found
        return contexts_of(self._base, learned_as, self._settings.teacher) or [learned_as]

    def _is_known(self, lineage: str, words: Sequence[str]) -> bool:
        return bool(words) and bool(self._log.experiences_mentioning(lineage, words, limit=1))

    def _anchor_targets(self, anchors: Sequence[Anchor]) -> list[TeacherTargets]:
        dialogue = self._base.dialogue
        sentences = [
            TokenizedSentence(
                tuple(dialogue.prompt_ids(anchor.prompt, anchor.notes)),
                tuple(dialogue.completion_ids(anchor.completion)),
            )
            for anchor in anchors
        ]
        contexts = [sentence.prompt_ids for sentence in sentences]
        return compute_targets(
            self._base.model, sentences, contexts, k=self._settings.kept_tokens, pad_token_id=self._pad
        )

    def _replayed(self, stored: Sequence[StoredTarget], rng: random.Random) -> list[TeacherTargets]:
        """Stored targets, every other one behind a thinned prompt."""
        return [
            self.thinned_target(target, found.prompt, found.subject, rng)
            if found.subject and rng.random() < 0.5
            else target
            for found in stored
            for target in [TeacherTargets.from_bytes(found.payload)]
        ]

    def thinned_target(self, target: TeacherTargets, prompt: str, subject: str, rng: random.Random) -> TeacherTargets:
        """The same targets behind a thinned prompt."""
        prompt_ids = tuple(self._base.dialogue.prompt_ids(thinned(prompt, subject, rng)))
        return replace(target, sentence=target.sentence._replace(prompt_ids=prompt_ids))
