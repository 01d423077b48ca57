"""Questions with contexts and right answers, one function for each skill of the embedded model.

Knows: drawing them. Refuses to know: models, and how answers are scored.

Entities are half ordinary words from the held-out side of the lists, which no training text holds, and half made-up
words, drawn afresh by the generator that training uses as well: the short ones have occurred there, in other facts.
Questions come in the phrasings of its recipe unless a skill says otherwise.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

from agent.household.implications import Implications, ImplicationSet
from agent.household.language import (
    EntityDrawer,
    QuestionSet,
    Triple,
    answer,
    is_about_person,
    question,
    unknown_answer,
)
from agent.household.unseen import RECIPE, Item, ask, drawer_of, talks, told
from agent.seed_model.documents import related_fact, unasked
from benchmarks.new_words import NewWordsDrawer

NEW: Final[tuple[QuestionSet, ...]] = ("held_out",)


def distinct_facts(drawer: EntityDrawer, count: int) -> list[Triple]:
    """Facts of which no two are about the same subject and relation, many about similar ones."""
    facts: list[Triple] = []
    while len(facts) < count:
        fact = related_fact(drawer, facts, drawer.rng)
        if all((fact.subject, fact.relation) != (other.subject, other.relation) for other in facts):
            facts.append(fact)
    return facts


def reads(
    rng: random.Random,
    *,
    num_facts: int,
    sets: Sequence[QuestionSet] = RECIPE,
    told_held_out: bool = False,
    drawer_of: Callable[[random.Random], EntityDrawer] = drawer_of,
) -> Item:
    """One of several facts is asked about."""
    drawer = drawer_of(rng)
    facts = distinct_facts(drawer, num_facts)
    asked = rng.choice(facts)
    return Item(
        told(facts, drawer, held_out=told_held_out), ask(asked.subject, asked.relation, rng, sets), answer(asked)
    )


def latest_wins(rng: random.Random) -> Item:
    """Among three facts, one is told twice with different values; the later one is right."""
    drawer = drawer_of(rng)
    facts = distinct_facts(drawer, 3)
    old = rng.choice(facts)
    new = old._replace(value=drawer.value(old.relation))
    in_order = list(facts)
    in_order.insert(rng.randint(facts.index(old) + 1, len(facts)), new)
    return Item(told(in_order, drawer), ask(new.subject, new.relation, rng), answer(new))


def unknown_with_context(rng: random.Random) -> Item:
    """Up to four facts; a near miss of one of them is asked."""
    drawer = drawer_of(rng)
    facts = distinct_facts(drawer, rng.randint(1, 4))
    subject, relation = unasked(drawer, {(fact.subject, fact.relation): fact for fact in facts}, rng)
    return Item(told(facts, drawer), ask(subject, relation, rng), unknown_answer(subject, relation))


def unknown_without_context(rng: random.Random) -> Item:
    """No notes at all."""
    drawer = drawer_of(rng)
    relation = drawer.relation()
    subject = drawer.subject(relation)
    return Item((), ask(subject, relation, rng), unknown_answer(subject, relation))


def restates(rng: random.Random) -> Item:
    """One fact; the model is asked what it knows about its subject."""
    drawer = drawer_of(rng)
    fact = drawer.fact()
    user = question(fact.subject, "about", rng, phrasing=rng.choice(RECIPE), person=is_about_person(fact.relation))
    return Item(told([fact], drawer), user, answer(fact))


def implies(rng: random.Random, *, phrasing: ImplicationSet = "taught") -> Item:
    """Up to four facts, and a question whose answer only follows from them; an owner is often seen somewhere."""
    drawer = drawer_of(rng)
    while True:
        facts = distinct_facts(drawer, rng.randint(1, 4))
        owners = [fact.value for fact in facts if fact.relation == "owner"]
        if owners and rng.random() < 0.7:
            facts.append(Triple(rng.choice(owners), "whereabouts", drawer.value("whereabouts")))
        if len({(fact.subject, fact.relation) for fact in facts}) == len(facts):
            found = Implications(drawer, phrasing=phrasing).draw(facts)
            if found is not None:
                return Item(told(facts, drawer), found.question, found.text)


SKILLS: Final[dict[str, tuple[Callable[[random.Random], Item], str | None]]] = {
    "read_1": (lambda rng: reads(rng, num_facts=1), ">= 0.99"),
    "read_4": (lambda rng: reads(rng, num_facts=4), ">= 0.97"),
    "read_8": (lambda rng: reads(rng, num_facts=8), ">= 0.95"),
    "read_16": (lambda rng: reads(rng, num_facts=16), ">= 0.90"),
    "read_4_new_words": (lambda rng: reads(rng, num_facts=4, drawer_of=NewWordsDrawer), ">= 0.93"),
    "latest_wins": (latest_wins, ">= 0.95"),
    "says_unknown_with_context": (unknown_with_context, ">= 0.97"),
    "says_unknown_without_context": (unknown_without_context, ">= 0.99"),
    "implications_correct": (implies, ">= 0.90"),
    "implications_new_phrasings": (lambda rng: implies(rng, phrasing="held_out"), None),
    "small_talk_correct": (talks, None),
    "restatements_correct": (restates, None),
    "read_1_new_statements": (lambda rng: reads(rng, num_facts=1, told_held_out=True), None),
    "read_1_new_phrasings": (lambda rng: reads(rng, num_facts=1, sets=NEW), None),
    "read_4_new_phrasings": (lambda rng: reads(rng, num_facts=4, sets=NEW), None),
}
"""Each skill with the target of its share of right answers."""
