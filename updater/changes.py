"""What a batch changes: which learned sentences it makes untrue, and which of its own have been untrue for long.

Knows: finding candidates in the log by subject and by words. Refuses to know: how two experiences are compared
(`supersession.py`), training. It reads the log and writes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final

from memory_log.log import MemoryLog
from memory_log.records import Experience, StoredTarget
from updater.contexts import context_about, contexts_of
from updater.filters import ExperienceFilter, allowed
from updater.language_model import LanguageModel
from updater.sentences import Sentence
from updater.settings import TeacherSettings
from updater.supersession import Claim, superseded_by

MOST_SUBJECT_WORDS: Final = 6
NUM_MENTIONS: Final = 8
"""Newest experiences about the same words that are looked at: what is older was superseded when they were learned."""


class Changes:
    """Compares batches with what their lineages have learned.

    Args:
        base: theta_0, which reads both experiences.
        log: the durable log.
        experience_filter: what of each experience may be learned; None lets everything through.
        reading: how much of an experience is read at once.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        experience_filter: ExperienceFilter | None,
        reading: TeacherSettings | None = None,
    ) -> None:
        self._base, self._log, self._filter = base, log, experience_filter
        self._reading = reading or TeacherSettings()

    def source(self, target: StoredTarget) -> Experience:
        """The experience that a sentence came from as it was learned, or the window of it that says what the sentence
        says: the one is compared with the other."""
        stored = self._log.get(target.experience_id)
        found = allowed(stored, self._filter)
        # One that today's filter refuses was learned before; its sentences can become untrue like any others, and
        # nothing of what is asked about it here is stored.
        learned_as = stored if isinstance(found, str) else found
        contexts = contexts_of(self._base, learned_as, self._reading) or [learned_as]
        return context_about(contexts, f"{target.prompt} {target.completion}")

    def superseded(
        self, lineage: str, experiences: Sequence[Experience], sentences: Sequence[Sentence]
    ) -> dict[int, int]:
        """Learned targets that this batch makes untrue, each with the experience that does it."""
        superseded: dict[int, int] = {}
        for newer in experiences:
            older = [
                claim
                for claim in self._claims_about(lineage, newer.id, sentences)
                if claim.source.id < newer.id and claim.key not in superseded
            ]
            superseded |= dict.fromkeys(superseded_by(self._base, newer, older), newer.id)
        return superseded

    def untrue_already(
        self, lineage: str, experiences: Sequence[Experience], sentences: Sequence[Sentence]
    ) -> set[Sentence]:
        """Sentences of this batch that a newer experience, learned before it, has made untrue."""
        untrue: set[Sentence] = set()
        for older in experiences:
            claims = self._claims_about(lineage, older.id, sentences)
            later = {(c.source.id, c.source.text): c.source for c in claims if c.source.id > older.id}
            for newer in later.values():
                own = [s for s in sentences if _is_about(s, older) and s not in untrue]
                asked = [Claim(place, older, s.prompt, s.completion, s.kind) for place, s in enumerate(own)]
                untrue |= {own[place] for place in superseded_by(self._base, newer, asked)}
        return untrue

    def _claims_about(self, lineage: str, experience_id: int, sentences: Sequence[Sentence]) -> list[Claim]:
        """What other experiences have taught on the subjects of one."""
        subjects = {s.subject for s in sentences if s.experience_id == experience_id and s.kind == "question"}
        found = {target.id: target for target in self._log.targets_about(lineage, _pairs(_parts_of(subjects)))}
        mentioning = self._mentioning(lineage, subjects)
        alike = {t.subject for number in mentioning for t in self._log.targets_of(number) if t.subject}
        found |= {
            target.id: target
            for target in self._log.targets_about(lineage, _pairs(alike))
            if target.kind != "near_miss" and target.experience_id in mentioning
        }
        others = [found[number] for number in sorted(found) if found[number].experience_id != experience_id]
        return [_claim(target, self.source(target)) for target in others]

    def _mentioning(self, lineage: str, subjects: Iterable[str]) -> set[int]:
        return {
            experience.id
            for subject in subjects
            for experience in self._log.experiences_mentioning(lineage, subject.split(), limit=NUM_MENTIONS)
        }


def _is_about(sentence: Sentence, context: Experience) -> bool:
    """Whether a sentence was written about an experience, or about this window of it."""
    return sentence.experience_id == context.id and sentence.notes in ((), (context.text,))


def _claim(target: StoredTarget, source: Experience) -> Claim:
    return Claim(target.id, source, target.prompt, target.completion, target.kind)


def _pairs(subjects: Iterable[str]) -> list[tuple[str, str | None]]:
    return [(subject, None) for subject in sorted(subjects)]


def _parts_of(subjects: Iterable[str]) -> Iterator[str]:
    """The subjects and what other phrasings name of them: of `mira favourite drink` also `mira drink`."""
    for subject in subjects:
        words = subject.split()
        yield subject
        if len(words) <= MOST_SUBJECT_WORDS:
            for length in range(1, len(words)):
                yield from (" ".join(part) for part in combinations(words, length))
