"""Questions and statements about entities of which half are made-up words and half are ordinary ones that no training
text and no anchor holds.

Knows: drawing them. Refuses to know: models, and how answers are scored.
"""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from agent.household import phrasings
from agent.household.language import EntityDrawer, QuestionSet, Triple, answer, question, statement

RECIPE: Final[tuple[QuestionSet, ...]] = ("written", "read")


class Item(NamedTuple):
    """One question with its context and right answer."""

    notes: tuple[str, ...]
    question: str
    right: str


def drawer_of(rng: random.Random) -> EntityDrawer:
    """Half made-up words, half ordinary ones that no training text holds."""
    return EntityDrawer(rng, split="held_out", made_up_share=0.5)


def ask(subject: str, relation: str, rng: random.Random, sets: Sequence[QuestionSet] = RECIPE) -> str:
    """A question in a phrasing of one of these sets."""
    return question(subject, relation, rng, phrasing=rng.choice(sets))


def told(facts: Sequence[Triple], drawer: EntityDrawer, *, held_out: bool = False) -> tuple[str, ...]:
    """Every fact as a note."""
    return tuple(statement(fact, drawer.rng, bystander=drawer.name(), held_out=held_out) for fact in facts)


def talks(rng: random.Random) -> Item:
    """A greeting, a statement to acknowledge, or something that is beyond the model."""
    roll = rng.random()
    if roll < 0.3:
        return Item((), *rng.choice(phrasings.SMALL_TALK))
    if roll < 0.5:
        return Item((), rng.choice(phrasings.BEYOND), phrasings.NOT_UNDERSTOOD)
    drawer = drawer_of(rng)
    fact = drawer.fact()
    return Item((), told([fact], drawer)[0], f"{phrasings.ACKNOWLEDGED} {answer(fact)}")
