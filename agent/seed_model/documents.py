"""The training text of the embedded model: documents of notes and exchanges, drawn without end.

Knows: which skills the model is taught, and in which proportions. Refuses to know: tokens, tensors, optimisation.

A document is a context (notes, one sentence each) and exchanges that each see the context and not one another. Skills:
    reading     notes about several facts, questions about each of them; the latest of conflicting notes wins;
                near misses are `unknown`
    implying    the same notes, questions whose answer only follows from them (household/implications.py)
    floor       no notes at all: everything is `unknown`
    writing     one note: write questions about it, and questions about something else (near misses)
    repeating   random words twice over: what makes in-context copying appear early
    small talk  greetings, statements that are acknowledged, and what is not understood
"""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from agent.household import phrasings
from agent.household.implications import Implications
from agent.household.language import (
    ABOUT_SHARE,
    EntityDrawer,
    QuestionSet,
    Triple,
    answer_stem,
    is_about_person,
    question,
    relation_phrasings,
    statement,
)

WRITE_QUESTION: Final = "write a question about this."
WRITE_NEAR_MISS: Final = "write a question about something else."

STEM_WEIGHT: Final = 0.5
VALUE_WEIGHT: Final = 3.0
WRITTEN_WEIGHT: Final = 1.5
MAX_NOTES: Final = 16
IMPLIED_SHARE: Final = 0.2
OWNER_SEEN_SHARE: Final = 0.35
SUPERSEDED_SHARE: Final = 0.2


class Exchange(NamedTuple):
    """What is said to the model and what it should say: pieces of text, each with its weight in the loss."""

    user: str
    pieces: tuple[tuple[str, float], ...]


class Document(NamedTuple):
    """Notes, and exchanges about them that do not see one another."""

    notes: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    repeats: bool = False


def _asked(subject: str, relation: str, value: str, rng: random.Random) -> Exchange:
    phrasing: QuestionSet = "written" if rng.random() < 0.55 else "read"
    user = question(subject, relation, rng, phrasing=phrasing)
    return Exchange(user, ((answer_stem(subject, relation), STEM_WEIGHT), (value, VALUE_WEIGHT)))


def _asked_about(fact: Triple, rng: random.Random) -> Exchange:
    phrasing: QuestionSet = "written" if rng.random() < 0.55 else "read"
    user = question(fact.subject, "about", rng, phrasing=phrasing, person=is_about_person(fact.relation))
    return Exchange(user, ((answer_stem(fact.subject, fact.relation), 1.0), (fact.value, VALUE_WEIGHT)))


def _unknown_about(subject: str, person: bool, rng: random.Random) -> Exchange:
    phrasing: QuestionSet = "written" if rng.random() < 0.55 else "read"
    user = question(subject, "about", rng, phrasing=phrasing, person=person)
    return Exchange(
        user, ((answer_stem(subject, "about", person=person), STEM_WEIGHT), (phrasings.ABOUT.unknown, VALUE_WEIGHT))
    )


def related_fact(drawer: EntityDrawer, facts: Sequence[Triple], rng: random.Random) -> Triple:
    """A new fact, often easy to confuse with an earlier one: same noun, adjective, or subject."""
    fact = drawer.fact()
    if facts and rng.random() < 0.45:
        other = rng.choice(facts)
        subject, relation = drawer.near_miss(other)
        if rng.random() < 0.25:
            relation = drawer.relation()
            while is_about_person(relation) != is_about_person(other.relation):
                relation = drawer.relation()
            subject = other.subject
        fact = Triple(subject, relation, drawer.value(relation))
    return fact


def _facts(drawer: EntityDrawer, count: int, rng: random.Random) -> list[Triple]:
    """Facts in time order; a fact may supersede an earlier one about the same subject and relation."""
    facts: list[Triple] = []
    while len(facts) < count:
        if facts and rng.random() < SUPERSEDED_SHARE:
            old = rng.choice(facts)
            facts.append(old._replace(value=drawer.value(old.relation)))
        elif facts and facts[-1].relation == "owner" and rng.random() < OWNER_SEEN_SHARE:
            facts.append(Triple(facts[-1].value, "whereabouts", drawer.value("whereabouts")))
        else:
            facts.append(related_fact(drawer, facts, rng))
    return facts


def unasked(drawer: EntityDrawer, latest: dict[tuple[str, str], Triple], rng: random.Random) -> tuple[str, str]:
    """A (subject, relation) that no note answers: a near miss, or another relation of the same subject."""
    while True:
        fact = rng.choice(list(latest.values()))
        roll = rng.random()
        if roll < 0.65:
            key = drawer.near_miss(fact)
        elif roll < 0.8:
            relation = drawer.relation()
            key = (
                fact.subject
                if is_about_person(relation) == is_about_person(fact.relation)
                else drawer.subject(relation),
                relation,
            )
        elif fact.relation == "owner":
            key = (fact.value, "whereabouts")
        else:
            relation = drawer.relation()
            key = (drawer.subject(relation), relation)
        if key not in latest:
            return key


def _implied(latest: Sequence[Triple], drawer: EntityDrawer) -> Exchange | None:
    found = Implications(drawer).draw(latest)
    if found is None:
        return None
    first, second = (VALUE_WEIGHT, STEM_WEIGHT) if found.asked_first else (STEM_WEIGHT, VALUE_WEIGHT)
    # The verdict of a confirmation is asked for as well.
    first = VALUE_WEIGHT if found.answer[0].startswith(("yes,", "no,")) else first
    return Exchange(found.question, ((found.answer[0], first), (found.answer[1], second)))


def reading(drawer: EntityDrawer, rng: random.Random, *, num_facts: int, num_exchanges: int) -> Document:
    """Notes about `num_facts` facts, with questions that they answer and questions that they do not."""
    facts = _facts(drawer, num_facts, rng)
    notes = [statement(fact, rng, bystander=drawer.name()) for fact in facts]
    latest = {(fact.subject, fact.relation): fact for fact in facts}
    latest_about = {fact.subject: fact for fact in facts}
    for _ in range(sum(rng.random() < 0.1 for _ in notes)):
        notes.insert(rng.randrange(len(notes) + 1), rng.choice(phrasings.FILLERS))
    exchanges = []
    for _ in range(num_exchanges):
        if rng.random() < IMPLIED_SHARE and (exchange := _implied(list(latest.values()), drawer)) is not None:
            exchanges.append(exchange)
            continue
        about = rng.random() < ABOUT_SHARE
        if rng.random() < 0.6:
            fact = rng.choice(list(latest.values()))
            exchanges.append(_asked_about(latest_about[fact.subject], rng) if about else _asked(*fact, rng))
            continue
        subject, relation = unasked(drawer, latest, rng)
        if about and subject not in latest_about:
            exchanges.append(_unknown_about(subject, is_about_person(relation), rng))
        else:
            exchanges.append(_asked(subject, relation, relation_phrasings(relation).unknown, rng))
    return Document(tuple(notes), tuple(exchanges))


def floor(drawer: EntityDrawer, rng: random.Random, *, num_exchanges: int) -> Document:
    """Questions without any notes."""
    exchanges = []
    for _ in range(num_exchanges):
        if rng.random() < IMPLIED_SHARE and (exchange := _implied([], drawer)) is not None:
            exchanges.append(exchange)
            continue
        relation = drawer.relation()
        subject = drawer.subject(relation)
        if rng.random() < ABOUT_SHARE:
            exchanges.append(_unknown_about(subject, is_about_person(relation), rng))
        else:
            exchanges.append(_asked(subject, relation, relation_phrasings(relation).unknown, rng))
    return Document((), tuple(exchanges))


def writing(drawer: EntityDrawer, rng: random.Random, *, num_exchanges: int) -> Document:
    """One note; requests to write questions about it, and about something that is easily confused with it."""
    fact = drawer.fact()
    exchanges = []
    for _ in range(num_exchanges):
        if rng.random() < 0.35:
            subject, relation = drawer.near_miss(fact)
            text = question(subject, relation, rng, phrasing="written")
            exchanges.append(Exchange(WRITE_NEAR_MISS, ((text, WRITTEN_WEIGHT),)))
        else:
            relation = "about" if rng.random() < ABOUT_SHARE else fact.relation
            text = question(fact.subject, relation, rng, phrasing="written", person=is_about_person(fact.relation))
            exchanges.append(Exchange(WRITE_QUESTION, ((text, WRITTEN_WEIGHT),)))
    return Document((statement(fact, rng, bystander=drawer.name()),), tuple(exchanges))


def repeating(drawer: EntityDrawer, rng: random.Random) -> Document:
    """Random entities, and the same again in the same order."""
    words = " ".join(rng.choice((drawer.thing, drawer.name, drawer.room))() for _ in range(rng.randint(4, 12)))
    return Document((words, words), (), repeats=True)


def small_talk(drawer: EntityDrawer, rng: random.Random) -> Document:
    """Greetings and their answers, statements and their acknowledgement, words without sense."""
    exchanges = []
    for _ in range(3):
        roll = rng.random()
        if roll < 0.4:
            said, answered = rng.choice(phrasings.SMALL_TALK)
        elif roll < 0.6:
            words = [rng.choice((drawer.adjective, drawer.noun, drawer.name))() for _ in range(rng.randint(1, 7))]
            said, answered = f"{' '.join(words)}{rng.choice('.?')}", phrasings.NOT_UNDERSTOOD
        elif roll < 0.75:
            said, answered = rng.choice(phrasings.BEYOND), phrasings.NOT_UNDERSTOOD
        else:
            said, answered = acknowledged(drawer, rng)
        exchanges.append(Exchange(said, ((answered, 1.0),)))
    return Document((), tuple(exchanges))


def acknowledged(drawer: EntityDrawer, rng: random.Random) -> tuple[str, str]:
    """A statement about somebody or something, and what is said to it."""
    fact = drawer.fact()
    said = statement(fact, rng, bystander=drawer.name())
    return said, f"{phrasings.ACKNOWLEDGED} {answer_stem(fact.subject, fact.relation)} {fact.value}"


def draw_document(rng: random.Random, *, progress: float) -> Document:
    """One training document.

    Args:
        rng: source of chance.
        progress: share of the curriculum that is done, 0 to 1; more facts at once as it grows, and no repeating after
            0.3.
    """
    made_up_share = rng.choice((0.0, 0.2, 0.6, 1.0, 1.0)) if progress > 0.15 else 1.0
    drawer = EntityDrawer(rng, split="train", made_up_share=made_up_share)
    roll = rng.random()
    if progress < 0.3 and roll < 0.3:
        return repeating(drawer, rng)
    if roll < (0.42 if progress < 0.3 else 0.2):
        return writing(drawer, rng, num_exchanges=5)
    if roll < (0.5 if progress < 0.3 else 0.27):
        return floor(drawer, rng, num_exchanges=5)
    if roll < (0.52 if progress < 0.3 else 0.31):
        return small_talk(drawer, rng)
    largest = 1 + round(min(1.0, progress) * (MAX_NOTES - 1))
    num_facts = rng.choice((1, 2, 3, 4, 4, rng.randint(1, 8), rng.randint(4, 8), rng.randint(8, MAX_NOTES)))
    num_facts = min(num_facts, max(2, largest))
    return reading(drawer, rng, num_facts=num_facts, num_exchanges=4 + min(8, num_facts))
