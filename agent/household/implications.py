"""Questions whose answer follows from what was told, without having been told in these words.

Knows: kinds of such questions, their phrasings, and what given facts answer to them. Refuses to know: the simulation,
tokens, models.

    confirmation   "Is the red mug in the garage?"          "no, the red mug is in the kitchen drawer"
    content        "What is in the kitchen drawer?"         "the red mug is in the kitchen drawer"
    belongings     "What belongs to Mira?"                  "the red mug belongs to mira"
    two steps      "Where is the owner of the red mug?"     "mira is in the garden"

What is asked for stands first or last in the answer; either way the answer is a whole sentence, as everywhere.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from agent.household import phrasings, words
from agent.household.language import EntityDrawer, Triple, answer_stem, is_about_person

ImplicationSet = Literal["taught", "held_out"]
PLACES: Final = ("place", "whereabouts")


class ImplicationPhrasings(NamedTuple):
    """The templates of one kind: `{s}` is a subject as it stands in a sentence, `{v}` a place with its preposition."""

    taught: tuple[str, ...]
    held_out: tuple[str, ...]


CONFIRMATION: Final = ImplicationPhrasings(
    taught=(
        "is {s} {v}?", "is it true that {s} is {v}?", "{s} is {v}, right?", "can I find {s} {v}?",
        "did you see {s} {v}?", "should I look for {s} {v}?", "do you think {s} is {v}?", "would I find {s} {v}?",
        "{s} is {v}, is that so?",
    ),
    held_out=("could {s} be {v}?", "am I right that {s} is {v}?"),
)  # fmt: skip
CONTENT: Final = ImplicationPhrasings(
    taught=(
        "what is {v}?", "what can I find {v}?", "which thing is {v}?", "what did you see {v}?", "tell me what is {v}.",
        "do you know what is {v}?", "what would I find {v}?", "what lies {v}?", "what do we keep {v}?",
    ),
    held_out=("which object is {v}?", "show me what is {v}."),
)  # fmt: skip
PRESENCE: Final = ImplicationPhrasings(
    taught=(
        "who is {v}?", "whom can I find {v}?", "which person is {v}?", "who did you see {v}?", "tell me who is {v}.",
        "do you know who is {v}?", "whom would I meet {v}?", "who stays {v}?",
    ),
    held_out=("which one of us is {v}?", "show me who is {v}."),
)  # fmt: skip
BELONGINGS: Final = ImplicationPhrasings(
    taught=(
        "what belongs to {s}?", "what does {s} own?", "which thing belongs to {s}?", "name what {s} owns.",
        "do you know what {s} owns?", "tell me what belongs to {s}.", "what is the property of {s}?",
        "what is owned by {s}?",
    ),
    held_out=("what does {s} possess?", "show me what {s} owns."),
)  # fmt: skip
TWO_STEPS: Final = ImplicationPhrasings(
    taught=(
        "where is the owner of {s}?", "where can I find the owner of {s}?", "in which place is the owner of {s}?",
        "where is the person who owns {s}?", "tell me where the owner of {s} is.",
        "{s} has an owner, where is that person?", "where should I bring {s} to find its owner?",
        "where would I meet the owner of {s}?",
    ),
    held_out=("where does the owner of {s} stay?", "show me where the owner of {s} is."),
)  # fmt: skip


class Implied(NamedTuple):
    """A question and the two parts of its answer; what was asked for is the first part or the second."""

    question: str
    answer: tuple[str, str]
    asked_first: bool = False

    @property
    def text(self) -> str:
        """The whole answer."""
        return " ".join(self.answer)


class Implications:
    """Draws questions that follow from facts.

    Args:
        drawer: strangers to ask about, and the source of chance.
        phrasing: `taught` ones, or those in no training text.
    """

    def __init__(self, drawer: EntityDrawer, *, phrasing: ImplicationSet = "taught") -> None:
        self._drawer, self._rng, self._phrasing = drawer, drawer.rng, phrasing

    def draw(self, facts: Sequence[Triple]) -> Implied | None:
        """A question about facts of which each is still true; None where the kind that was drawn does not suit them."""
        kinds = (self.confirmation, self.confirmation, self.content, self.belongings, self.two_steps)
        return self._rng.choice(kinds)(facts)

    def confirmation(self, facts: Sequence[Triple]) -> Implied | None:
        """Whether something is where the question says: it is, it is but the question is less exact, it is not, or
        nobody knows."""
        rng, drawer = self._rng, self._drawer
        placed = [fact for fact in facts if fact.relation in PLACES]
        relation = rng.choice(PLACES)
        fact = rng.choice(placed) if placed else Triple(drawer.subject(relation), relation, drawer.value(relation))
        subject, relation = fact.subject, fact.relation
        roll = rng.random() if placed else 1.0
        if roll < 0.3:
            asked = fact.value
        elif roll < 0.5:
            asked = room_of(fact.value) or fact.value
        elif roll < 0.85:
            others = [other.value for other in placed if other.value != fact.value]
            asked = rng.choice(others) if others and rng.random() < 0.6 else drawer.value(relation)
        else:
            subject, relation = drawer.near_miss(fact)
            asked = fact.value if rng.random() < 0.5 else drawer.value(relation)
            if any((other.subject, other.relation) == (subject, relation) for other in facts):
                return None
        question = self._ask(CONFIRMATION, subject=_named(subject, relation), value=asked)
        stem = answer_stem(subject, relation)
        if all((other.subject, other.relation) != (subject, relation) for other in facts):
            return Implied(question, (stem, phrasings.PLACE.unknown))
        verdict = "yes" if asked in (fact.value, room_of(fact.value)) else "no"
        return Implied(question, (f"{verdict}, {stem}", fact.value))

    def content(self, facts: Sequence[Triple]) -> Implied | None:
        """What, or who, is at a place; places that hold several are not asked about."""
        rng = self._rng
        relation = rng.choice(PLACES)
        placed = [fact for fact in facts if fact.relation == relation]
        asked = self._drawer.place()
        if placed and rng.random() < 0.7:
            asked = rng.choice(placed).value
            asked = room_of(asked) or asked if rng.random() < 0.2 else asked
        found = {fact.subject for fact in placed if asked in (fact.value, room_of(fact.value))}
        persons = {fact.value for fact in facts if fact.relation == "whereabouts"}
        if len(found) > 1 or (relation == "place" and asked in persons):
            return None
        unknown = "something unknown" if relation == "place" else "someone unknown"
        who = answer_stem(found.pop(), relation).removesuffix(" is") if found else unknown
        question = self._ask(CONTENT if relation == "place" else PRESENCE, value=asked)
        return Implied(question, (who, f"is {asked}"), asked_first=True)

    def belongings(self, facts: Sequence[Triple]) -> Implied | None:
        """What belongs to a person; persons with several things are not asked about."""
        owned = [fact for fact in facts if fact.relation == "owner"]
        is_told = owned and self._rng.random() < 0.7
        owner = self._rng.choice(owned).value if is_told else self._drawer.name()
        found = {fact.subject for fact in owned if fact.value == owner}
        if len(found) > 1:
            return None
        what = f"the {found.pop()}" if found else "something unknown"
        question = self._ask(BELONGINGS, subject=owner.title())
        return Implied(question, (what, f"belongs to {owner}"), asked_first=True)

    def two_steps(self, facts: Sequence[Triple]) -> Implied:
        """Where the owner of a thing is: known when both owner and whereabouts were told."""
        owners = {fact.subject: fact.value for fact in facts if fact.relation == "owner"}
        whereabouts = {fact.subject: fact.value for fact in facts if fact.relation == "whereabouts"}
        is_told = owners and self._rng.random() < 0.8
        thing = self._rng.choice(list(owners)) if is_told else self._drawer.thing()
        owner = owners.get(thing, f"the owner of the {thing}")
        place = whereabouts.get(owner, phrasings.WHEREABOUTS.unknown)
        return Implied(self._ask(TWO_STEPS, subject=f"the {thing}"), (f"{owner} is", place))

    def _ask(self, kind: ImplicationPhrasings, *, subject: str = "", value: str = "") -> str:
        templates = kind.taught if self._phrasing == "taught" else kind.held_out
        text = self._rng.choice(templates).format(s=subject, v=value)
        if self._rng.random() < 0.25:
            text = f"{self._rng.choice(phrasings.QUESTION_OPENINGS['written'])} {text}"
        return text[0].upper() + text[1:]


def room_of(place: str) -> str | None:
    """`in the kitchen` for `on the kitchen table`; None for a bare room."""
    names = place.split(" the ", 1)[1].split()
    is_bare = len(names) == 1 or "-".join(names) in words.ROOMS
    return None if is_bare else f"in the {' '.join(names[:-1])}"


def _named(subject: str, relation: str) -> str:
    return subject.title() if is_about_person(relation) else f"the {subject}"
