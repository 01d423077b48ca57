"""Probes for free: questions with known answers from the facts that experiences state.

Knows: facts, and the household's phrasings. Refuses to know: models, updates, which no probe may reach.
"""

import random
from collections.abc import Sequence
from typing import Final

from agent.household.language import FAVOURITE_PREFIX, Triple, answer, question
from memory_log.records import Experience, NewProbe

QUESTION: Final = "question"
_SPOKEN: Final = ("place", "whereabouts", "owner")


def probes_of(experiences: Sequence[Experience], *, seed: int) -> list[NewProbe]:
    """One question for each fact, about the latest value of each (subject, relation).

    Relations of the household (place, whereabouts, owner, favourite ...) are asked about in phrasings that no update is
    taught with; any other as `What is the state of the red door?`.

    Args:
        experiences: in the order in which they were lived; facts that a later one changes are left out.
        seed: chooses phrasings.

    Returns:
        ready for `MemoryLog.add_probes`; `answer` is a whole sentence that holds the fact's value.
    """
    rng = random.Random(seed)
    latest = {
        (fact.subject, fact.relation): (experience, Triple(fact.subject, fact.relation, fact.value))
        for experience in experiences
        for fact in experience.facts
    }
    return [_probe(experience, fact, rng) for experience, fact in latest.values()]


def _probe(experience: Experience, fact: Triple, rng: random.Random) -> NewProbe:
    if fact.relation in _SPOKEN or fact.relation.startswith(FAVOURITE_PREFIX):
        text = question(fact.subject, fact.relation, rng, phrasing="read")
        right = answer(fact)
    else:
        text = f"What is the {fact.relation} of the {fact.subject}?"
        right = f"the {fact.relation} of the {fact.subject} is {fact.value}"
    return NewProbe(
        experience_id=experience.id, kind=QUESTION, question=text, answer=right, subject=fact.subject,
        relation=fact.relation,
    )  # fmt: skip
