"""The demo's probes: questions with known answers about what the agent lived through, and near misses.

Knows: making probes from structured facts in phrasings that no update is taught with, which of them are valid when, and
which notes a reader would need. Refuses to know: how questions are asked, models, displays.
"""

import random
from collections.abc import Callable, Collection, Sequence
from typing import Final

from agent.household.language import EntityDrawer, Triple, answer, question, unknown_answer
from memory_log.log import MemoryLog
from memory_log.records import Experience, NewProbe, Probe

QUESTION: Final = "question"
NEAR_MISS: Final = "near_miss"
QUESTIONS_PER_EXPERIENCE: Final = 5
NEAR_MISSES_PER_EXPERIENCE: Final = 6
MADE_UP_SHARE: Final = 0.3
MOST_DRAWS: Final = 400

Exists = Callable[[str, str], bool]
"""(subject, relation) -> whether the world holds a fact about it that an agent might yet experience."""


def facts_of(experience: Experience) -> list[Triple]:
    """The structured facts of an experience."""
    return [Triple(fact.subject, fact.relation, fact.value) for fact in experience.facts]


class ProbeBook:
    """All probes of one demo, by cohort: the experiences that were fed, and are learned, together.

    Args:
        log: where probes are recorded, and where the taught prompts lie.
        lineage: whose memory.
        seed: chooses phrasings and near misses.
        exists: keeps near misses away from anything real.
        unknown_word: how the model says that it does not know.
        exact: whether an answer must be right to the word, as for a model that speaks the household's language; else it
            must hold the value.
    """

    def __init__(
        self, log: MemoryLog, lineage: str, *, seed: int, exists: Exists, unknown_word: str, exact: bool
    ) -> None:
        self._log, self._lineage, self._exists = log, lineage, exists
        self._unknown_word, self._exact = unknown_word, exact
        self._rng = random.Random(f"probes/{seed}")
        self._drawer = EntityDrawer(self._rng, split="held_out", made_up_share=MADE_UP_SHARE)
        self._cohorts: list[list[Experience]] = []
        self._probes: dict[int, Probe] = {}
        self._cohort_of: dict[int, int] = {}
        self._values: dict[int, str] = {}
        self.num_taught = 0

    @property
    def num_cohorts(self) -> int:
        """Cohorts so far."""
        return len(self._cohorts)

    def cohort(self, number: int) -> list[Experience]:
        """The experiences of a cohort, as they were when they were fed."""
        return self._cohorts[number]

    def cohort_of(self, probe: Probe) -> int:
        """The cohort whose experience a probe is about."""
        return self._cohort_of[probe.experience_id]

    def add_cohort(self, experiences: Sequence[Experience]) -> list[Probe]:
        """Make and record the probes of a new cohort."""
        self._cohorts.append(list(experiences))
        self._cohort_of |= {experience.id: len(self._cohorts) - 1 for experience in experiences}
        new: list[NewProbe] = []
        values: list[str] = []
        for experience in experiences:
            fact = facts_of(experience)[0]
            texts = self._questions(fact)
            new += [self._probe(experience, QUESTION, text, fact, answer(fact)) for text in texts]
            values += [fact.value] * len(texts)
            near_misses = self._near_misses(experience, fact)
            new += near_misses
            values += [""] * len(near_misses)
        ids = self._log.add_probes(new)
        stored = [Probe(id=number, **probe.model_dump()) for number, probe in zip(ids, new, strict=True)]
        self._probes |= {probe.id: probe for probe in stored}
        self._values |= {probe.id: value for probe, value in zip(stored, values, strict=True)}
        return stored

    def drop_taught(self) -> None:
        """Drop probes whose text is a stored target prompt: an update was taught with them. Counted in `num_taught`."""
        taught = {
            target.prompt.strip().lower()
            for cohort in self._cohorts
            for experience in cohort
            for target in self._log.targets_of(experience.id)
        }
        for probe in list(self._probes.values()):
            if probe.question.strip().lower() in taught:
                del self._probes[probe.id]
                self.num_taught += 1

    def questions(self, *, after: int, cohorts: Collection[int] | None = None) -> list[Probe]:
        """The question probes that are valid once cohorts 0 to `after` are learned; only of `cohorts` where given."""
        latest = self._latest(after)
        return [
            probe
            for probe in self._probes.values()
            if probe.kind == QUESTION
            and (cohort := self.cohort_of(probe)) <= after
            and (cohorts is None or cohort in cohorts)
            and latest[probe.subject, probe.relation] == probe.experience_id
        ]

    def near_misses(self, *, cohorts: Collection[int]) -> list[Probe]:
        """The near misses of some cohorts that nothing experienced so far, learned or not, is about."""
        known = {(fact.subject, fact.relation) for cohort in self._cohorts for e in cohort for fact in facts_of(e)}
        return [
            probe
            for probe in self._probes.values()
            if probe.kind == NEAR_MISS
            and self.cohort_of(probe) in cohorts
            and (probe.subject, probe.relation) not in known
        ]

    def notes(self, probe: Probe) -> list[str]:
        """What a reader needs to answer after the probe's update: its experience and later ones on its subject."""
        cohort = self._cohorts[self.cohort_of(probe)]
        later = [e for e in cohort if e.id >= probe.experience_id]
        return [e.text for e in later if any(fact.subject == probe.subject for fact in facts_of(e))]

    def is_right(self, probe: Probe, said: str) -> bool:
        """Whether an answer is right: to the word, or `unknown` for a near miss."""
        says_unknown = self._unknown_word in said.lower().split()
        if probe.kind == NEAR_MISS:
            return says_unknown
        return said == probe.answer if self._exact else not says_unknown and self._values[probe.id] in said.lower()

    def _latest(self, after: int) -> dict[tuple[str | None, str | None], int]:
        """The newest experience about each (subject, relation), in the order in which they were lived."""
        return {
            (fact.subject, fact.relation): experience.id
            for cohort in self._cohorts[: after + 1]
            for experience in cohort
            for fact in facts_of(experience)
        }

    def _ask(self, subject: str, relation: str) -> str:
        return question(subject, relation, self._rng, phrasing="read")

    def _probe(self, experience: Experience, kind: str, text: str, fact: Triple, right: str) -> NewProbe:
        return NewProbe(
            experience_id=experience.id, kind=kind, question=text, answer=right, subject=fact.subject,
            relation=fact.relation,
        )  # fmt: skip

    def _near_misses(self, experience: Experience, fact: Triple) -> list[NewProbe]:
        known = {(f.subject, f.relation) for cohort in self._cohorts for e in cohort for f in facts_of(e)}
        found: dict[str, NewProbe] = {}
        for _ in range(MOST_DRAWS):
            subject, relation = self._drawer.near_miss(fact)
            if (subject, relation) in known or self._exists(subject, relation):
                continue
            miss = Triple(subject, relation, "")
            text = self._ask(subject, relation)
            found[text] = self._probe(experience, NEAR_MISS, text, miss, unknown_answer(subject, relation))
            if len(found) == NEAR_MISSES_PER_EXPERIENCE:
                break
        return list(found.values())

    def _questions(self, fact: Triple) -> list[str]:
        texts: dict[str, None] = {}
        for _ in range(MOST_DRAWS):
            texts[self._ask(fact.subject, fact.relation)] = None
            if len(texts) == QUESTIONS_PER_EXPERIENCE:
                break
        return list(texts)
