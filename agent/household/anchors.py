"""Anchors from the household's language: unrelated sentences for the updates of the embedded model.

Knows: drawing questions with and without notes about freshly drawn subjects. Refuses to know: models, updates.
"""

import random
from typing import Final

from agent.household.language import FAVOURITE_PREFIX, EntityDrawer, answer, question, statement, unknown_answer
from updater.anchors import Anchor

READING_SHARE: Final = 0.35
MAX_NOTES: Final = 3
MADE_UP_SHARE: Final = 0.5


def household_anchors(count: int, seed: int) -> list[Anchor]:
    """Fresh anchors: questions about strangers, and questions that notes in the prompt answer or do not."""
    rng = random.Random(f"anchors/{seed}")
    drawer = EntityDrawer(rng, split="train", made_up_share=MADE_UP_SHARE)
    return [_reading(drawer, rng) if rng.random() < READING_SHARE else _stranger(drawer, rng) for _ in range(count)]


def _stranger(drawer: EntityDrawer, rng: random.Random) -> Anchor:
    relation = drawer.relation()
    subject = drawer.subject(relation)
    asked = question(subject, relation, rng, phrasing="written")
    return Anchor((), asked, unknown_answer(subject, relation), _words(subject, relation))


def _reading(drawer: EntityDrawer, rng: random.Random) -> Anchor:
    facts = [drawer.fact() for _ in range(rng.randint(1, MAX_NOTES))]
    notes = tuple(statement(fact, rng, bystander=drawer.name()) for fact in facts)
    asked = facts[-1]
    subject, relation, right = asked.subject, asked.relation, answer(asked)
    if rng.random() < 0.4:
        subject, relation = drawer.near_miss(asked)
        right = unknown_answer(subject, relation)
        if any((fact.subject, fact.relation) == (subject, relation) for fact in facts):
            subject, relation, right = asked.subject, asked.relation, answer(asked)
    return Anchor(notes, question(subject, relation, rng, phrasing="written"), right, _words(subject, relation))


def _words(subject: str, relation: str) -> tuple[str, ...]:
    """What an anchor is about: `red mug`; of a favourite, whose and what: `mira drink`."""
    return (*subject.split(), *relation.partition(FAVOURITE_PREFIX)[2].split())
