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
from updater.report import NO_CONTEXT_GAIN, TOO_LONG, Progress
from updater.sentences import Sentence, thinned, tokenize, words_of
from updater.sequences import TokenizedSentence
from updater.settings import UpdateSettings
from updater.supersession import Claim, still_true_within_batch, superseded_by
from updater.targets import TeacherTargets, compute_targets, sentence_kl
from updater.writing import WrittenSentences, write_sentences

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
        base: theta_0, which writes, answers and teaches.
        log: the durable log.
        settings: how an update is made.
        anchors: source of unrelated sentences.
        experience_filter: what of each experience may be learned; None lets everything through.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        settings: UpdateSettings,
        anchors: AnchorSource,
        experience_filter: ExperienceFilter | None,
    ) -> None:
        self._base, self._log, self._settings = base, log, settings
        self._anchors, self._filter = anchors, experience_filter
        self._pad = base.dialogue.pad_token_id

    def prepare(self, lineage: str, ids: Sequence[int], seed: int, progress: Progress) -> Prepared:
        """Filter a batch, let theta_0 write about it, and put together all that an update of it needs.

        Raises:
            FilterFailed: the filter raised.
        """
        progress("writing sentences", 0, 1)
        found = {number: allowed(self._log.get(number), self._filter) for number in ids}
        experiences = [one for one in found.values() if isinstance(one, Experience)]
        refused = {number: one for number, one in found.items() if isinstance(one, str)}
        contexts = [c for one in sorted(experiences, key=lambda one: one.id) for c in self._contexts(one, refused)]
        if refused:
            return Prepared(experiences, refused=refused)
        anchors = self._anchors(self._settings.num_anchors, seed)
        informative, unread = self._understood(lineage, contexts, anchors, seed, progress)
        counts = Counter(sentence.experience_id for sentence, _ in informative if sentence.kind == "question")
        for one in experiences:
            if counts[one.id] < self._settings.min_questions:
                refused[one.id] = NO_CONTEXT_GAIN
        return Prepared(
            experiences,
            None if refused else self._material(lineage, contexts, informative, anchors, seed),
            refused,
            Counter(context.id for context in contexts),
            Counter(context.id for context in unread),
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
    ) -> WrittenSentences:
        told = [(context.id, set(words_of(context.text))) for context in contexts]

        def has_history(words: Sequence[str], experience_id: int) -> bool:
            if any(number == experience_id and set(words) <= text for number, text in told):
                return True
            return any(found.id != experience_id for found in self._log.experiences_mentioning(lineage, words, limit=2))

        strangers = [anchor for anchor in anchors if anchor.words]
        return write_sentences(
            self._base, experiences, self._settings, seed=seed, strangers=strangers, has_history=has_history
        )

    def _understood(
        self,
        lineage: str,
        contexts: Sequence[Experience],
        anchors: Sequence[Anchor],
        seed: int,
        progress: Progress,
    ) -> tuple[list[tuple[Sentence, TeacherTargets]], list[Experience]]:
        """Sentences worth learning, and the contexts about which too few were found, even when asked for twice."""
        informative: dict[int, list[tuple[Sentence, TeacherTargets]]] = {}
        unread = list(range(len(contexts)))
        for attempt in range(2):
            for turn, places in enumerate(_turns(contexts, unread)):
                progress("writing sentences", attempt, 2)
                asked = [contexts[place] for place in places]
                written = self._write(lineage, asked, contexts, anchors, seed + attempt + 2 * turn)
                progress("teacher targets", attempt, 2)
                found = self._informative(written.sentences)
                for place in places:
                    informative[place] = [pair for pair in found if pair[0].experience_id == contexts[place].id]
            unread = [place for place in unread if _num_questions(informative[place]) < self._settings.min_questions]
        return [pair for place in sorted(informative) for pair in informative[place]], [contexts[p] for p in unread]

    def _informative(self, sentences: Sequence[Sentence]) -> list[tuple[Sentence, TeacherTargets]]:
        """Sentences with their teacher targets, without questions that theta_0 answers as well without context."""
        if not sentences:
            return []
        without, contexts = tokenize(self._base, sentences)
        targets = compute_targets(
            self._base.model, without, contexts, k=self._settings.kept_tokens, pad_token_id=self._pad
        )
        gains = sentence_kl(self._base.model, targets, self._pad)
        return [
            (sentence._replace(gain_nats=gain), target)
            for sentence, target, gain in zip(sentences, targets, gains, strict=True)
            if sentence.kind == "near_miss" or gain >= self._settings.min_gain_nats
        ]

    def _material(
        self,
        lineage: str,
        contexts: Sequence[Experience],
        informative: list[tuple[Sentence, TeacherTargets]],
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


def _turns(contexts: Sequence[Experience], places: Sequence[int]) -> list[list[int]]:
    """Places of contexts in turns, no two of one experience in a turn: each window is asked about by itself."""
    turns: list[list[int]] = []
    taken: Counter[int] = Counter()
    for place in places:
        number = contexts[place].id
        if taken[number] == len(turns):
            turns.append([])
        turns[taken[number]].append(place)
        taken[number] += 1
    return turns


def _num_questions(found: Sequence[tuple[Sentence, TeacherTargets]]) -> int:
    return sum(sentence.kind == "question" for sentence, _ in found)
