"""The simulated household: rooms, places in them, things, people, owners and preferences, all of which change.

Knows: the true state of the house, what an action does and what the agent perceives of it. Each perception is an
`Event`: a text in varied English and the facts it states. Refuses to know: commands, Gymnasium, models, logs.
"""

import random
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.household import words
from agent.household.language import FAVOURITE_PREFIX, EntityDrawer, Triple, statement
from agent.household.words import Split

PLACE_CAPACITY: Final = 6
DRAWS_PER_NAME: Final = 200

EventKind = Literal["did", "saw", "told", "happened"]


class HouseConfig(BaseModel):
    """How large a house is, how lively, and of which words it is made.

    Example: HouseConfig(num_things=20, split="train", made_up_share=0.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_rooms: int = Field(default=8, ge=2, le=30)
    containers_per_room: int = Field(default=3, ge=1, le=8)
    num_things: int = Field(default=60, ge=1, le=1000)
    num_people: int = Field(default=12, ge=2, le=24)
    favourites_per_person: int = Field(default=4, ge=1, le=len(words.FAVOURITES))
    split: Split = "held_out"
    """Side of the word lists to draw from; the embedded model was never trained on `held_out` words."""
    made_up_share: float = Field(default=0.3, ge=0, le=1)
    """Probability that a word is made up."""
    liveliness: float = Field(default=0.5, ge=0, le=1)
    """Probability per step that something in the house changes by itself."""

    @model_validator(mode="after")
    def _things_fit(self) -> Self:
        room = self.num_rooms * (self.containers_per_room + 1) * PLACE_CAPACITY // 2
        if self.num_things > room:
            raise ValueError(f"got num_things={self.num_things}, this house holds {room}: add rooms or containers")
        return self


class Place(NamedTuple):
    """Where a thing can be: a container such as `in the kitchen drawer`, or a room's floor (`name` equals `room`)."""

    name: str
    room: str
    phrase: str


class Event(NamedTuple):
    """Something that the agent perceived: how, in which words, and which facts the words state."""

    kind: EventKind
    text: str
    facts: tuple[Triple, ...]


class Outcome(NamedTuple):
    """What an action led to: a short reply, and the events that the agent perceived."""

    reply: str
    events: list[Event]


class World:
    """One household, changed by the agent's actions and by itself. Equal seeds and actions give equal events.

    Args:
        config: size and words.
        rng: the only source of chance.

    Raises:
        ValueError: the word lists are too short for the house; allow more made-up words.
    """

    def __init__(self, config: HouseConfig, rng: random.Random) -> None:
        self.config = config
        self._rng = rng
        self._drawer = EntityDrawer(rng, split=config.split, made_up_share=config.made_up_share)
        self._taken_names: set[str] = set()

        self.rooms = tuple(self._distinct(self._drawer.room, config.num_rooms))
        self.places = {place.name: place for room in self.rooms for place in self._furnish(room)}
        self.people = tuple(self._distinct(self._drawer.name, config.num_people))
        self.things = tuple(self._distinct(self._drawer.thing, config.num_things))

        self.agent_room = self.rooms[0]
        self.held: str | None = None
        self.place_of: dict[str, Place] = {}
        for thing in self.things:
            self.place_of[thing] = rng.choice([place for place in self.places.values() if self._has_room(place)])
        self.room_of = {person: rng.choice(self.rooms) for person in self.people}
        self.owner_of = {thing: rng.choice(self.people) for thing in self.things}
        self.favourites = {person: self._draw_favourites() for person in self.people}

    # ------------------------------------------------------------------------------------------------------ furnishing

    def _distinct(self, draw: Callable[[], str], count: int) -> list[str]:
        """Draw names that nothing else in the house bears."""
        names: list[str] = []
        for _ in range(count * DRAWS_PER_NAME):
            name = draw()
            if name not in self._taken_names:
                self._taken_names.add(name)
                names.append(name)
                if len(names) == count:
                    return names
        raise ValueError(
            f"got {len(names)} different names for {count} of a kind from the {self.config.split!r} words: "
            f"raise made_up_share (now {self.config.made_up_share}) or make the house smaller"
        )

    def _furnish(self, room: str) -> list[Place]:
        places = [Place(room, room, f"in the {room}")]
        for name in self._distinct(lambda: f"{room} {self._drawer.furniture()}", self.config.containers_per_room):
            places.append(Place(name, room, f"{self._rng.choice(words.PREPOSITIONS)} the {name}"))
        return places

    def _draw_favourites(self) -> dict[str, str]:
        kinds = self._rng.sample(list(words.FAVOURITES), self.config.favourites_per_person)
        return {kind: self._drawer.favourite_value(kind) for kind in kinds}

    # --------------------------------------------------------------------------------------------------- what is where

    def containers_in(self, room: str) -> list[Place]:
        """The room's containers, without its floor."""
        return [place for place in self.places.values() if place.room == room and place.name != room]

    def people_in(self, room: str) -> list[str]:
        """The people who are in the room now."""
        return [person for person in self.people if self.room_of[person] == room]

    def things_at(self, place: Place) -> list[str]:
        """The things at exactly this place (what the agent holds is nowhere)."""
        return [thing for thing, where in self.place_of.items() if where == place]

    def _has_room(self, place: Place) -> bool:
        return len(self.things_at(place)) < PLACE_CAPACITY

    def truth(self, subject: str, relation: str) -> str | None:
        """The value that is true now, or None where there is none (what the agent holds has no place)."""
        if relation == "place" and subject in self.place_of:
            return self.place_of[subject].phrase
        if relation == "whereabouts" and subject in self.room_of:
            return f"in the {self.room_of[subject]}"
        if relation == "owner":
            return self.owner_of.get(subject)
        return self.favourites.get(subject, {}).get(relation.removeprefix(FAVOURITE_PREFIX))

    def _event(self, kind: EventKind, subject: str, relation: str, *, by: str | None = None) -> Event:
        """Put the truth about (subject, relation) into words; `by` acts or speaks where the wording has room for it."""
        value = self.truth(subject, relation)
        assert value is not None, f"nothing is true of {subject!r} in {relation!r}"
        fact = Triple(subject, relation, value)
        others = [person for person in self.people if person not in (subject, value)]
        # A house of two people may have nobody left over; a visitor then does the talking.
        bystander = by if by in others else self._rng.choice(others or [self._drawer.name()])
        return Event(kind, statement(fact, self._rng, bystander=bystander), (fact,))

    # --------------------------------------------------------------------------------------------- the agent's actions

    def go(self, room: str) -> Outcome:
        """Walk to a room; whoever is there is met."""
        if room not in self.rooms:
            return Outcome(f"There is no {room} in this house.", [])
        self.agent_room = room
        events = [self._event("saw", person, "whereabouts") for person in self.people_in(room)]
        return Outcome(f"You go to the {room}.", events)

    def look(self, name: str | None = None) -> Outcome:
        """Look at the open things and people of this room, or at what a container of it holds."""
        place = self.places.get(name or self.agent_room)
        if place is None or place.room != self.agent_room:
            return Outcome(f"There is no {name} here.", [])
        events = [self._event("saw", thing, "place") for thing in self.things_at(place)]
        if place.name == self.agent_room:
            events += [self._event("saw", person, "whereabouts") for person in self.people_in(place.room)]
        return Outcome(f"You look {'around' if place.name == place.room else place.phrase}.", events)

    def take(self, thing: str) -> Outcome:
        """Pick up a thing of this room. Nothing is learned by it: where the thing is, the next `put` says."""
        if self.held is not None:
            return Outcome(f"You already hold the {self.held}.", [])
        place = self.place_of.get(thing)
        if place is None or place.room != self.agent_room:
            return Outcome(f"There is no {thing} here.", [])
        del self.place_of[thing]
        self.held = thing
        return Outcome(f"You take the {thing}.", [])

    def put(self, thing: str, name: str) -> Outcome:
        """Put the thing that the agent holds at a place of this room."""
        place = self.places.get(name)
        if self.held != thing:
            return Outcome(f"You do not hold the {thing}.", [])
        if place is None or place.room != self.agent_room:
            return Outcome(f"There is no {name} here.", [])
        if not self._has_room(place):
            return Outcome(f"The {name} is full.", [])
        self.place_of[thing] = place
        self.held = None
        return Outcome(f"You put the {thing} {place.phrase}.", [self._event("did", thing, "place")])

    def ask(self, person: str, topic: str | None = None) -> Outcome:
        """Ask a person of this room about a thing, a person, a kind of favourite, or anything."""
        if self.room_of.get(person) != self.agent_room:
            return Outcome(f"There is no {person.title()} here.", [])
        known = self._known_about(person, topic)
        if not known:
            return Outcome(f"{person.title()} knows nothing about that.", [])
        subject, relation = self._rng.choice(known)
        return Outcome(f"{person.title()} answers.", [self._event("told", subject, relation, by=person)])

    def _known_about(self, person: str, topic: str | None) -> list[tuple[str, str]]:
        """What a person can say about a topic, as (subject, relation). People know their house."""
        if topic is None:
            topic = self._rng.choice((self._rng.choice(self.things), self._rng.choice(self.people), person))
        kind = topic.removeprefix(FAVOURITE_PREFIX)
        if kind in self.favourites[person]:
            return [(person, FAVOURITE_PREFIX + kind)]
        if topic in self.favourites:
            tastes = [(topic, FAVOURITE_PREFIX + kind) for kind in self.favourites[topic]]
            return tastes if topic == person else [*tastes, (topic, "whereabouts")]
        if topic in self.owner_of:
            # Nobody explains where a thing is that lies before everyone's eyes or in the asker's hand.
            place = self.place_of.get(topic)
            here = place is None or place.room == self.agent_room
            return [(topic, "owner")] if here else [(topic, "owner"), (topic, "place")]
        return []

    # -------------------------------------------------------------------------------------------- the house's own life

    def advance(self) -> list[Event]:
        """Let time pass by one step. Something may change; the agent perceives it where it happens in its room."""
        if self._rng.random() >= self.config.liveliness:
            return []
        # People walk about more often than they change their minds.
        changes = (self._walk, self._walk, self._walk, self._tidy, self._tidy, self._give, self._change_taste)
        return self._rng.choice(changes)(self._rng.choice(self.people))

    def _here(self, rooms: Iterable[str]) -> bool:
        return self.agent_room in rooms

    def _walk(self, person: str) -> list[Event]:
        before = self.room_of[person]
        self.room_of[person] = self._rng.choice([room for room in self.rooms if room != before])
        seen = self._here((before, self.room_of[person]))
        return [self._event("happened", person, "whereabouts")] if seen else []

    def _tidy(self, person: str) -> list[Event]:
        room = self.room_of[person]
        things = [thing for thing, place in self.place_of.items() if place.room == room]
        if not things:
            return []
        thing = self._rng.choice(things)
        free = [place for place in self.places.values() if self._has_room(place) and place != self.place_of[thing]]
        self.place_of[thing] = self._rng.choice(free)
        return [self._event("happened", thing, "place", by=person)] if self._here((room,)) else []

    def _give(self, person: str) -> list[Event]:
        owned = [thing for thing in self.things if self.owner_of[thing] == person]
        if not owned:
            return []
        thing = self._rng.choice(owned)
        self.owner_of[thing] = self._rng.choice([other for other in self.people if other != person])
        seen = self._here((self.room_of[person], self.room_of[self.owner_of[thing]]))
        return [self._event("happened", thing, "owner", by=person)] if seen else []

    def _change_taste(self, person: str) -> list[Event]:
        kind = self._rng.choice(list(self.favourites[person]))
        self.favourites[person][kind] = self._drawer.favourite_value(kind)
        told = self._here((self.room_of[person],))
        return [self._event("happened", person, FAVOURITE_PREFIX + kind)] if told else []
