"""What the fetch benchmark hands round: places, a life with its stops, tasks, and what became of them.

Knows: records, and what a world must be able to do for one errand. Refuses to know: models, methods, any world.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from agent.study.records import Told, UpdateCost
from memory_log.fields import Record
from memory_log.records import Fact

TaskKind = Literal["unmoved", "moved", "stale"]
"""Of a thing: seen in one place only; seen in several, and still in the last one; moved since it was last noted."""


class Spot(NamedTuple):
    """Where a thing can be: `phrase` says it in a sentence, as in `in the kitchen drawer`."""

    name: str
    room: str
    phrase: str


class Errand(Protocol):
    """A copy of a world in which one thing is to be fetched."""

    @property
    def fetched(self) -> bool:
        """Whether the agent holds the thing."""
        ...

    def distance(self, spot: Spot) -> int:
        """Steps to the spot's room, about."""
        ...

    def visit(self, spot: Spot) -> Iterator[None]:
        """Go to a spot, look, and take the thing where it is in view; yields after each step."""
        ...


class Scene(Protocol):
    """A world as it stands when things are to be fetched; errands do not change it."""

    @property
    def spots(self) -> Sequence[Spot]:
        """Every place where a thing can be."""
        ...

    def spot_of(self, thing: str) -> Spot:
        """Where a thing truly is."""
        ...

    def errand(self, thing: str, rng: random.Random) -> Errand:
        """Fetching a thing, from a place that is drawn."""
        ...


class Stop(Record):
    """An update in the course of a life: after which episode, and the experiences that are learned by it.

    Example: Stop(episode=3, numbers=(0, 1, 2, 3, 4), is_point=False)
    """

    episode: int
    numbers: tuple[int, ...]
    is_point: bool
    """Whether things are fetched then."""


class Noted(NamedTuple):
    """A sighting that is written down: its words and the fact that they state."""

    text: str
    fact: Fact


class Life(NamedTuple):
    """What an agent lived through: experiences in order, when they were learned, and the world at each point."""

    told: tuple[Told, ...]
    stops: tuple[Stop, ...]
    scenes: Mapping[int, Scene]
    """By episode."""

    def known_at(self, episode: int) -> list[Told]:
        """The experiences learned by the end of an episode."""
        numbers = [number for stop in self.stops if stop.episode <= episode for number in stop.numbers]
        return [self.told[number] for number in numbers]


class Task(NamedTuple):
    """Fetch a thing; the questions are what the agent asks its memory."""

    thing: str
    kind: TaskKind
    round: int
    questions: tuple[str, ...]


class FetchRow(Record):
    """What became of one task.

    Example: FetchRow(thing="red mug", kind="moved", round=0, said=("the red mug is in the den",), num_right=1, steps=3,
        fetched=True, prompt_tokens=14.0)
    """

    thing: str
    kind: TaskKind
    round: int
    said: tuple[str, ...]
    """One answer a question; none where nothing was asked."""
    num_right: int
    """Answers that name exactly the place where the thing is."""
    steps: int
    """A failure counts the step limit."""
    fetched: bool
    prompt_tokens: float = 0.0
    """Mean over the questions."""
    num_dropped: float = 0.0
    """Mean number of notes left out of a prompt, because the model cannot read that much."""


class FetchLine(Record):
    """One stop of one method and seed: a line of its `items.jsonl`.

    Example: FetchLine.model_validate_json(line).episode == 10
    """

    episode: int
    cost: UpdateCost
    is_point: bool
    rows: tuple[FetchRow, ...]
