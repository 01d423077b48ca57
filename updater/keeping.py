"""What an update must not lose: unrelated sentences, the prompt's say over the weights, and what was learned earlier.

Knows: which anchors are unrelated, what theta_0 expects of them, and replay: stored targets, and new near misses of
what they are about. Refuses to know: how the batch is written about, training, the gate. It reads the log and writes
nothing.
"""

import random
from collections.abc import Sequence

from memory_log.log import MemoryLog
from memory_log.records import Experience, StoredTarget
from updater.anchors import Anchor, AnchorSource
from updater.changes import Changes
from updater.contradictions import Known, contradictions
from updater.language_model import LanguageModel
from updater.near_misses import asked_otherwise, exchanged_words, unknown_to_base
from updater.rewording import reworded_target
from updater.sentences import Sentence
from updater.sequences import TokenizedSentence
from updater.settings import UpdateSettings
from updater.targets import TeacherTargets, compute_targets
from updater.unrelated import is_named_elsewhere, unrelated

MOST_ANCHOR_DRAWS = 3
REWORDED_SHARE = 0.5


class Keeper:
    """Makes what goes into an update beside its batch, for any lineage.

    Args:
        base: theta_0, whose expectations anchors and near misses keep.
        log: the durable log.
        settings: how much of what.
        anchors: source of unrelated sentences.
        changes: knows which experience a stored target came from.
    """

    def __init__(
        self, base: LanguageModel, log: MemoryLog, settings: UpdateSettings, anchors: AnchorSource, changes: Changes
    ) -> None:
        self._base, self._log, self._settings = base, log, settings
        self._anchors, self._changes = anchors, changes

    def unrelated(self, lineage: str, anchors: Sequence[Anchor], subjects: set[str], seed: int) -> list[Anchor]:
        """Anchors about nothing that the lineage knows; where that leaves few, more are drawn."""
        kept = unrelated(self._log, lineage, anchors, subjects)
        for attempt in range(1, MOST_ANCHOR_DRAWS):
            if 2 * len(kept) >= self._settings.num_anchors:
                break
            kept += unrelated(self._log, lineage, self._anchors(self._settings.num_anchors, seed + attempt), subjects)
        return kept

    def targets(self, anchors: Sequence[Anchor]) -> list[TeacherTargets]:
        """What theta_0 expects of anchors, behind the notes that they have."""
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
            self._base.model, sentences, contexts, k=self._settings.kept_tokens, pad_token_id=dialogue.pad_token_id
        )

    def contradictions(
        self,
        about: Sequence[Sentence],
        replay: Sequence[StoredTarget],
        readings: Sequence[Anchor],
        rng: random.Random,
    ) -> list[TeacherTargets]:
        """Prompts in which a note contradicts what the batch or an earlier experience says."""
        new = [Known(s.notes[-1], s.prompt, s.completion) for s in about if s.kind == "question"]
        earlier = [t for t in replay if t.kind != "near_miss"]
        count = self._settings.num_contradictions
        chosen = rng.sample(earlier, min(count, len(earlier)))
        old = [Known(self._changes.source(t).text, t.prompt, t.completion) for t in chosen]
        known = rng.sample(new, min(count, len(new))) + old
        return self.targets(contradictions(self._base, known, readings, count=count, rng=rng))

    def replayed(
        self, stored: Sequence[StoredTarget], fillers: Sequence[str], rng: random.Random
    ) -> list[TeacherTargets]:
        """Stored targets, every other one in other words."""
        return [
            self._in_halves(TeacherTargets.from_bytes(one.payload), one.prompt, one.subject, fillers, rng)
            for one in stored
        ]

    def fresh_near_misses(
        self,
        lineage: str,
        contexts: Sequence[Experience],
        replay: Sequence[StoredTarget],
        anchors: Sequence[Anchor],
        fillers: Sequence[str],
        rng: random.Random,
    ) -> list[TeacherTargets]:
        """New near misses of what was learned earlier: replayed questions with one word of their subject exchanged, and
        questions about their subjects that their experiences do not answer.

        Args:
            lineage: whose.
            contexts: the batch, which none of them may be about, as no text of the log may.
            replay: stored targets.
            anchors: about strangers, from whom words are taken.
            fillers: for those that are reworded.
            rng: source of chance.
        """
        asked = [
            Sentence(stored.experience_id, "question", (), stored.prompt, stored.completion, stored.subject)
            for stored in replay
            if stored.kind == "question" and stored.subject
        ]
        strangers = [anchor for anchor in anchors if anchor.words]
        chosen = rng.sample(asked, min(self._settings.num_fresh_near_misses, len(asked)))
        about = [(self._log.get(one.experience_id), one) for one in chosen]
        exchanged = [(source, text) for source, one in about for text in exchanged_words(one, strangers, 1, rng)]
        otherwise = asked_otherwise(self._base, about, strangers, rng)

        def is_mentioned(words: Sequence[str], experience_id: int) -> bool:
            return bool(self._log.experiences_mentioning(lineage, words, limit=1))

        def has_history(words: Sequence[str], experience_id: int) -> bool:
            return is_named_elsewhere(self._log, lineage, words, experience_id)

        found = unknown_to_base(self._base, contexts, exchanged, is_mentioned)
        found += unknown_to_base(self._base, contexts, otherwise, has_history)
        targets = self.targets([Anchor((), one.prompt, one.completion, ()) for one in found])
        return [
            self._in_halves(target, one.prompt, one.subject, fillers, rng)
            for one, target in zip(found, targets, strict=True)
        ]

    def _in_halves(
        self, target: TeacherTargets, prompt: str, subject: str | None, fillers: Sequence[str], rng: random.Random
    ) -> TeacherTargets:
        if not subject or rng.random() >= REWORDED_SHARE:
            return target
        return reworded_target(self._base.dialogue, target, prompt, subject, fillers, rng)
