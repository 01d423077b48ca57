"""The language of the household: facts into varied English, and questions about them.

Knows: relations, how a fact is told, asked about and answered, and how subjects and values are drawn.
Refuses to know: the simulation, tokens, models.

A fact is a `Triple(subject, relation, value)`, as in
    Triple("red mug", "place", "in the kitchen drawer")     "the red mug is in the kitchen drawer"
    Triple("mira", "whereabouts", "in the garden")          "mira is in the garden"
    Triple("mira", "favourite drink", "green tea")          "mira's favourite drink is green tea"
    Triple("red mug", "owner", "mira")                      "the red mug belongs to mira"

An answer restates what was asked about before it says what is known, or `unknown`: "the red mug is somewhere unknown".
All phrasings of a question lead to the same restated words, so what an update teaches behind them holds for every
phrasing (docs/adr/0002).
"""

import random
from typing import Final, Literal, NamedTuple

from agent.household import phrasings, words
from agent.household.phrasings import Phrasings
from agent.household.words import Split

QuestionSet = Literal["written", "read", "held_out"]
FAVOURITE_PREFIX: Final = "favourite "
ABOUT_SHARE: Final = 0.12
OPENING_SHARE: Final = 0.25
UNKNOWN: Final = "unknown"


class Triple(NamedTuple):
    """One fact: what is known (`value`) of a subject in a relation. All lower case."""

    subject: str
    relation: str
    value: str


def relation_phrasings(relation: str) -> Phrasings:
    """The templates of a relation; every `favourite X` shares one family.

    Raises:
        KeyError: the household knows no such relation.
    """
    if relation.startswith(FAVOURITE_PREFIX):
        return phrasings.FAVOURITE
    return {
        "place": phrasings.PLACE,
        "whereabouts": phrasings.WHEREABOUTS,
        "owner": phrasings.OWNER,
        "about": phrasings.ABOUT,
    }[relation]


def is_about_person(relation: str) -> bool:
    """Whether subjects of this relation are people (named without an article)."""
    return relation == "whereabouts" or relation.startswith(FAVOURITE_PREFIX)


def _fill(template: str, subject: str, relation: str, *, person: bool, value: str = "", bystander: str = "") -> str:
    subject_words = subject.title() if person else f"the {subject}"
    value_words = value.title() if relation == "owner" else value
    kind = relation.removeprefix(FAVOURITE_PREFIX)
    return template.format(s=subject_words, v=value_words, k=kind, n=bystander.title())


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]


def statement(
    fact: Triple, rng: random.Random, *, bystander: str, held_out: bool = False, opening_share: float = OPENING_SHARE
) -> str:
    """Tell a fact in one of its phrasings, such as "This morning Anna put the red mug in the kitchen drawer."

    Args:
        fact: what to tell.
        rng: chooses the phrasing.
        bystander: a name other than the fact's own, for phrasings in which somebody else acts.
        held_out: use the phrasings that the embedded model never saw in training.
        opening_share: the probability of an opening ("this morning").
    """
    family = relation_phrasings(fact.relation)
    template = rng.choice(family.told_held_out if held_out else family.told)
    text = _fill(
        template,
        fact.subject,
        fact.relation,
        person=is_about_person(fact.relation),
        value=fact.value,
        bystander=bystander,
    )
    if rng.random() < opening_share:
        text = f"{rng.choice(phrasings.STATEMENT_OPENINGS)} {text}"
    return _sentence_case(text)


def question(
    subject: str,
    relation: str,
    rng: random.Random,
    *,
    phrasing: QuestionSet,
    person: bool | None = None,
    opening_share: float = OPENING_SHARE,
) -> str:
    """Ask about (subject, relation) in one phrasing of a set. `person` need only be given for the relation `about`."""
    person = is_about_person(relation) if person is None else person
    text = _fill(rng.choice(getattr(relation_phrasings(relation), phrasing)), subject, relation, person=person)
    if rng.random() < opening_share:
        text = f"{rng.choice(phrasings.QUESTION_OPENINGS[phrasing])} {text}"
    return _sentence_case(text)


def answer_stem(subject: str, relation: str, *, person: bool | None = None) -> str:
    """The restated beginning of every answer about (subject, relation), such as "the red mug is"."""
    person = is_about_person(relation) if person is None else person
    return _fill(relation_phrasings(relation).stem, subject, relation, person=person).lower()


def answer(fact: Triple) -> str:
    """The full right answer, such as "the red mug is in the kitchen drawer"."""
    return f"{answer_stem(fact.subject, fact.relation)} {fact.value}"


def unknown_answer(subject: str, relation: str, *, person: bool | None = None) -> str:
    """The right answer about something never experienced, such as "the red mug is somewhere unknown"."""
    return f"{answer_stem(subject, relation, person=person)} {relation_phrasings(relation).unknown}"


class EntityDrawer:
    """Draws subjects and values from one side of the word lists, or makes words up.

    Args:
        rng: source of chance.
        split: which ordinary words may be drawn.
        made_up_share: probability that a word is made up instead of taken from a list.
    """

    def __init__(self, rng: random.Random, *, split: Split, made_up_share: float) -> None:
        self.rng = rng
        self.split = split
        self.made_up_share = made_up_share
        self._adjectives = words.words_of(words.ADJECTIVES, split)
        self._nouns = words.words_of(words.NOUNS, split)
        self._rooms = words.words_of(words.ROOMS, split)
        self._furniture = words.words_of(words.FURNITURE, split)
        self._names = words.words_of(words.NAMES, split)

    def _word(self, ordinary: list[str]) -> str:
        if not ordinary or self.rng.random() < self.made_up_share:
            return words.made_up_word(self.rng)
        return self.rng.choice(ordinary)

    def adjective(self) -> str:
        return self._word(self._adjectives)

    def noun(self) -> str:
        return self._word(self._nouns).replace("-", " ")

    def room(self) -> str:
        return self._word(self._rooms).replace("-", " ")

    def furniture(self) -> str:
        return self._word(self._furniture)

    def name(self) -> str:
        return self._word(self._names)

    def thing(self) -> str:
        """An object, such as `red mug`."""
        return f"{self.adjective()} {self.noun()}"

    def place(self) -> str:
        """A place with its preposition, such as `in the kitchen drawer`; sometimes a bare room."""
        if self.rng.random() < 0.2:
            return f"in the {self.room()}"
        return f"{self.rng.choice(words.PREPOSITIONS)} the {self.room()} {self.furniture()}"

    def favourite_kind(self) -> str:
        return self.rng.choice(list(words.FAVOURITES))

    def favourite_value(self, kind: str) -> str:
        ordinary = words.words_of(words.FAVOURITES[kind], self.split)
        if ordinary and self.rng.random() >= self.made_up_share:
            return self.rng.choice(ordinary)
        return (
            words.made_up_word(self.rng)
            if self.rng.random() < 0.6
            else f"{self.adjective()} {words.made_up_word(self.rng)}"
        )

    def relation(self) -> str:
        """A relation, places and favourites more often than the others."""
        name = self.rng.choice(("place", "place", "place", "whereabouts", "favourite", "favourite", "owner"))
        return FAVOURITE_PREFIX + self.favourite_kind() if name == "favourite" else name

    def subject(self, relation: str) -> str:
        return self.name() if is_about_person(relation) else self.thing()

    def value(self, relation: str) -> str:
        if relation == "owner":
            return self.name()
        if relation.startswith(FAVOURITE_PREFIX):
            return self.favourite_value(relation.removeprefix(FAVOURITE_PREFIX))
        return f"in the {self.room()}" if relation == "whereabouts" and self.rng.random() < 0.5 else self.place()

    def fact(self) -> Triple:
        relation = self.relation()
        return Triple(self.subject(relation), relation, self.value(relation))

    def near_miss(self, fact: Triple) -> tuple[str, str]:
        """(subject, relation) of a question that differs from the fact's in one word that matters."""
        if is_about_person(fact.relation):
            if fact.relation.startswith(FAVOURITE_PREFIX) and self.rng.random() < 0.5:
                return fact.subject, FAVOURITE_PREFIX + self.rng.choice(
                    [k for k in words.FAVOURITES if k != fact.relation.removeprefix(FAVOURITE_PREFIX)]
                )
            return self.name(), fact.relation
        adjective, noun = fact.subject.split(" ", 1)
        if self.rng.random() < 0.6:
            return f"{self.adjective()} {noun}", fact.relation
        return f"{adjective} {self.noun()}", fact.relation
