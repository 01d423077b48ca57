"""A stream of household experiences, some of which change what an earlier one said, with questions about them.

Knows: drawing facts about unseen entities, telling them, and asking about them in phrasings that no update is taught
with. Refuses to know: models, methods, protocols.
"""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from agent.household.implications import PLACES, Implications, Implied, room_of
from agent.household.language import EntityDrawer, QuestionSet, Triple, answer, question, statement, unknown_answer
from agent.study.records import Asked, QuestionKind, Stream, Told
from memory_log.records import Fact

MADE_UP_SHARE: Final = 0.5
CHANGED_AGAIN_SHARE: Final = 0.4
"""Of the changes, those of something that has changed before, as long as there is any."""
QUESTIONS_EACH: Final = 4
NEW_PHRASINGS_EACH: Final = 2
LEAST_NEAR_MISSES: Final = 240
"""In a whole stream."""
MOST_DRAWS: Final = 200


def household_stream(
    num_told: int,
    *,
    seed: int,
    changed_share: float,
    least_near_misses: int = LEAST_NEAR_MISSES,
    also: Collection[QuestionKind] = (),
) -> Stream:
    """Experiences about unseen entities, half of them of made-up words, with questions and near misses.

    Args:
        num_told: how many.
        seed: decides everything.
        changed_share: the share of experiences, but for the first few, that give an earlier fact another value.
        least_near_misses: in the whole stream; each experience gets at least two.
        also: more kinds of questions, one of each about every experience that allows it; the others stay as they are.
    """
    rng = random.Random(f"injection/{seed}")
    drawer = EntityDrawer(rng, split="held_out", made_up_share=MADE_UP_SHARE)
    facts = _facts(drawer, num_told, changed_share)
    told = tuple(
        Told(
            number=number,
            text=statement(fact, rng, bystander=drawer.name()),
            facts=(Fact(subject=fact.subject, relation=fact.relation, value=fact.value),),
        )
        for number, fact in enumerate(facts)
    )
    known = {(fact.subject, fact.relation) for fact in facts}
    near_misses_each = max(2, -(-least_near_misses // num_told))
    asked: list[Asked] = []
    for number, fact in enumerate(facts):
        about: list[tuple[QuestionKind, str, Triple, str]] = [
            *(("paraphrase", text, fact, answer(fact)) for text in _questions(fact, rng, QUESTIONS_EACH, "read")),
            *(
                ("new_phrasing", text, fact, answer(fact))
                for text in _questions(fact, rng, NEW_PHRASINGS_EACH, "held_out")
            ),
            *_near_misses(fact, drawer, known, near_misses_each),
        ]
        for kind, text, meant, right in about:
            asked.append(
                Asked(number=len(asked), told=number, kind=kind, question=text, answers=(right,), value=meant.value)
            )
    for number, kind, text, value, right in _more(facts, drawer_of_more(seed), also):
        asked.append(Asked(number=len(asked), told=number, kind=kind, question=text, answers=(right,), value=value))
    return Stream(told=told, asked=tuple(asked))


def drawer_of_more(seed: int) -> EntityDrawer:
    """Its own source of chance, so that more kinds change nothing about the others."""
    return EntityDrawer(random.Random(f"injection/{seed}/more"), split="held_out", made_up_share=MADE_UP_SHARE)


def _more(
    facts: Sequence[Triple], drawer: EntityDrawer, kinds: Collection[QuestionKind]
) -> Iterator[tuple[int, QuestionKind, str, str, str]]:
    """(experience, kind, question, the words that matter, answer) of every further question."""
    known = {(fact.subject, fact.relation) for fact in facts}
    implications = Implications(drawer)
    for number, fact in enumerate(facts):
        if "verbatim" in kinds:
            asked = question(fact.subject, fact.relation, drawer.rng, phrasing="written")
            yield number, "verbatim", asked, fact.value, answer(fact)
        if "reverse" in kinds and (back := _reverse(fact, facts, implications)) is not None:
            yield number, "reverse", back.question, fact.subject, back.text
        if "implication" in kinds and (implied := _confirmation(fact, implications)) is not None:
            yield number, "implication", implied.question, "", implied.text
        if "never_seen" in kinds:
            subject, relation = _stranger(drawer, known)
            asked = question(subject, relation, drawer.rng, phrasing="read")
            yield number, "never_seen", asked, "", unknown_answer(subject, relation)


def _reverse(fact: Triple, facts: Sequence[Triple], implications: Implications) -> Implied | None:
    """From the value back to the subject, where no other fact of the stream has that value, or lies within it."""
    if fact.relation not in (*PLACES, "owner"):
        return None
    others = [other for other in facts if other.subject != fact.subject and other.relation in (*PLACES, "owner")]
    if any(fact.value in (other.value, room_of(other.value) if other.relation in PLACES else None) for other in others):
        return None
    draw = implications.belongings if fact.relation == "owner" else implications.content
    right = f"the {fact.subject} belongs to {fact.value}" if fact.relation == "owner" else answer(fact)
    return _drawn(draw, fact, lambda implied: implied.text == right)


def _confirmation(fact: Triple, implications: Implications) -> Implied | None:
    if fact.relation not in PLACES:
        return None
    right = answer(fact)
    return _drawn(implications.confirmation, fact, lambda one: one.text in (f"yes, {right}", f"no, {right}"))


def _drawn(
    draw: Callable[[Sequence[Triple]], Implied | None], fact: Triple, is_wanted: Callable[[Implied], bool]
) -> Implied | None:
    """The first of many draws that is wanted."""
    drawn = (draw([fact]) for _ in range(MOST_DRAWS))
    return next((implied for implied in drawn if implied is not None and is_wanted(implied)), None)


def _stranger(drawer: EntityDrawer, known: set[tuple[str, str]]) -> tuple[str, str]:
    """Somebody or something that no fact is about."""
    subjects = {subject for subject, _ in known}
    while True:
        relation = drawer.relation()
        subject = drawer.subject(relation)
        if subject not in subjects:
            return subject, relation


def _facts(drawer: EntityDrawer, count: int, changed_share: float) -> list[Triple]:
    rng, facts, latest = drawer.rng, list[Triple](), dict[tuple[str, str], Triple]()
    again: list[tuple[str, str]] = []
    while len(facts) < count:
        if len(latest) >= 3 and rng.random() < changed_share:
            keys = again if again and rng.random() < CHANGED_AGAIN_SHARE else list(latest)
            old = latest[rng.choice(keys)]
            fact = old._replace(value=drawer.value(old.relation))
            if fact.value == old.value:
                continue
            again.append((fact.subject, fact.relation))
        else:
            fact = drawer.fact()
            if (fact.subject, fact.relation) in latest:
                continue
        facts.append(fact)
        latest[fact.subject, fact.relation] = fact
    return facts


def _questions(fact: Triple, rng: random.Random, count: int, phrasing: QuestionSet) -> list[str]:
    texts: dict[str, None] = {}
    for _ in range(MOST_DRAWS):
        if len(texts) == count:
            break
        texts[question(fact.subject, fact.relation, rng, phrasing=phrasing)] = None
    return list(texts)


def _near_misses(
    fact: Triple, drawer: EntityDrawer, known: set[tuple[str, str]], count: int
) -> list[tuple[QuestionKind, str, Triple, str]]:
    """Questions that differ in one word that matters, about nothing in the whole stream."""
    found: dict[str, tuple[QuestionKind, str, Triple, str]] = {}
    for _ in range(MOST_DRAWS):
        if len(found) == count:
            break
        subject, relation = drawer.near_miss(fact)
        if (subject, relation) not in known:
            text = question(subject, relation, drawer.rng, phrasing="read")
            found[text] = ("near_miss", text, Triple(subject, relation, ""), unknown_answer(subject, relation))
    return list(found.values())
