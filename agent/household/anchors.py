"""Anchors from the household's language: unrelated sentences for the updates of the embedded model.

Knows: drawing one of everything that the embedded model was taught to say, about freshly drawn subjects. Refuses to
know: models, updates.
"""

import random
from typing import Final

from agent.household.language import FAVOURITE_PREFIX, EntityDrawer, question, unknown_answer
from agent.seed_model import documents
from agent.seed_model.documents import Document
from updater.anchors import Anchor
from updater.sentences import key_words

READING_SHARE: Final = 0.2
TALK_SHARE: Final = 0.15
STATEMENT_SHARE: Final = 0.2
WRITING_SHARE: Final = 0.1
NUMS_NOTES: Final = (1, 2, 3, 4, 4)
MADE_UP_SHARE: Final = 0.5


def household_anchors(count: int, seed: int) -> list[Anchor]:
    """Fresh anchors: questions about strangers or with notes, small talk, statements, requests to write a question."""
    rng = random.Random(f"anchors/{seed}")
    drawer = EntityDrawer(rng, split="train", made_up_share=MADE_UP_SHARE)
    shares = {reading: READING_SHARE, talk: TALK_SHARE, statement: STATEMENT_SHARE, writing: WRITING_SHARE}
    weights = [*shares.values(), 1.0 - sum(shares.values())]
    return [draw(drawer, rng) for draw in rng.choices([*shares, stranger], weights, k=count)]


def stranger(drawer: EntityDrawer, rng: random.Random) -> Anchor:
    """A question about somebody or something unknown."""
    relation = drawer.relation()
    subject = drawer.subject(relation)
    asked = question(subject, relation, rng, phrasing="written")
    return Anchor((), asked, unknown_answer(subject, relation), _words(subject, relation))


def reading(drawer: EntityDrawer, rng: random.Random) -> Anchor:
    """A question with notes of up to four things, which answer it, or let its answer follow, or do not know."""
    return _anchor(documents.reading(drawer, rng, num_facts=rng.choice(NUMS_NOTES), num_exchanges=1))


def talk(drawer: EntityDrawer, rng: random.Random) -> Anchor:
    """Small talk: a greeting, a statement to acknowledge, words without sense."""
    return _anchor(documents.small_talk(drawer, rng))


def statement(drawer: EntityDrawer, rng: random.Random) -> Anchor:
    """A statement to acknowledge, which says again what stands in the prompt."""
    said, answered = documents.acknowledged(drawer, rng)
    return Anchor((), said, answered, tuple(key_words(said, answered)))


def writing(drawer: EntityDrawer, rng: random.Random) -> Anchor:
    """A request to write a question about a note, or about something easily confused with it."""
    written = _anchor(documents.writing(drawer, rng, num_exchanges=1))
    return written._replace(words=tuple(key_words(written.notes[0], written.completion)))


def _anchor(document: Document) -> Anchor:
    """A document's first exchange; what it is about are the words that question and answer share."""
    exchange = document.exchanges[0]
    said = " ".join(text for text, _ in exchange.pieces)
    return Anchor(document.notes, exchange.user, said, tuple(key_words(exchange.user, said)))


def _words(subject: str, relation: str) -> tuple[str, ...]:
    """What a stranger's anchor is about: `red mug`; of a favourite, whose and what: `mira drink`."""
    return (*subject.split(), *relation.partition(FAVOURITE_PREFIX)[2].split())
