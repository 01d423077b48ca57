"""The simulated house: facts agree with texts and with the truth, and change."""

import copy
import random

import pytest
from pydantic import ValidationError

from agent.household import words
from agent.household.language import FAVOURITE_PREFIX
from agent.household.world import PLACE_CAPACITY, HouseConfig, World

SMALL = HouseConfig(num_rooms=3, containers_per_room=2, num_things=12, num_people=4, liveliness=1)


def small_world(seed: int = 0, config: HouseConfig = SMALL) -> World:
    return World(config, random.Random(seed))


def test_equal_seeds_give_equal_houses_and_lives() -> None:
    one, other, third = small_world(7), small_world(7), small_world(8)
    assert (one.rooms, one.people, one.owner_of) == (other.rooms, other.people, other.owner_of)
    assert one.things != third.things
    lives = [[world.advance() for _ in range(100)] for world in (one, other, third)]
    assert lives[0] == lives[1] != lives[2]


def test_names_are_distinct_and_places_hold_what_they_can() -> None:
    world = small_world()
    names = [*world.rooms, *world.people, *world.things, *(name for name in world.places if name not in world.rooms)]
    assert len(set(names)) == len(names)
    for _ in range(500):
        world.advance()
    assert all(len(world.things_at(place)) <= PLACE_CAPACITY for place in world.places.values())


def test_ordinary_words_come_from_the_chosen_side_of_the_split() -> None:
    for split in ("train", "held_out"):
        world = small_world(config=HouseConfig(split=split, made_up_share=0, num_things=20, num_rooms=4))
        assert {words.split_of(thing.split()[0]) for thing in world.things} == {split}
        assert {words.split_of(person) for person in world.people} == {split}


def test_every_event_states_facts_that_are_true_when_it_happens() -> None:
    world = small_world()
    num_events = 0
    for step in range(300):
        world.agent_room = world.rooms[step % len(world.rooms)]
        events = world.advance() + world.look().events
        events += [event for place in world.containers_in(world.agent_room) for event in world.look(place.name).events]
        events += [event for person in world.people_in(world.agent_room) for event in world.ask(person).events]
        num_events += len(events)
        for event in events:
            for fact in event.facts:
                assert world.truth(fact.subject, fact.relation) == fact.value
                assert fact.subject in event.text.lower()
                assert fact.value in event.text.lower()
    assert num_events > 300


def test_places_whereabouts_owners_and_favourites_change_by_themselves() -> None:
    world = small_world()
    changing = (world.place_of, world.room_of, world.owner_of, world.favourites)
    before = copy.deepcopy(changing)
    for _ in range(200):
        world.advance()
    assert all(old != new for old, new in zip(before, changing, strict=True))


def test_a_thing_taken_and_put_elsewhere_is_found_there() -> None:
    world = small_world(config=SMALL.model_copy(update={"liveliness": 0.0}))
    thing = next(iter(world.things))
    world.go(world.place_of[thing].room)
    target = next(place for place in world.containers_in(world.agent_room) if place != world.place_of[thing])
    assert world.take(thing).events == []
    assert world.truth(thing, "place") is None
    (event,) = world.put(thing, target.name).events
    assert event.kind == "did"
    assert event.facts == ((thing, "place", target.phrase),)
    assert thing in {fact.subject for seen in world.look(target.name).events for fact in seen.facts}


def test_people_answer_about_what_they_are_asked() -> None:
    world = small_world(config=SMALL.model_copy(update={"liveliness": 0.0}))
    person = world.people[0]
    world.go(world.room_of[person])
    kind = next(iter(world.favourites[person]))
    (told,) = world.ask(person, f"{FAVOURITE_PREFIX}{kind}").events
    assert told.facts == ((person, f"{FAVOURITE_PREFIX}{kind}", world.favourites[person][kind]),)
    (told,) = world.ask(person, world.things[0]).events
    assert told.facts[0].subject == world.things[0]
    assert world.ask(person, "the meaning of life").events == []


def test_the_impossible_changes_nothing_and_says_why() -> None:
    world = small_world(config=SMALL.model_copy(update={"liveliness": 0.0}))
    absent = next(thing for thing in world.things if world.place_of[thing].room != world.agent_room)
    elsewhere = next(place.name for place in world.places.values() if place.room != world.agent_room)
    before = dict(world.place_of)
    for outcome, reply in (
        (world.go("moon"), "There is no moon in this house."),
        (world.look(elsewhere), f"There is no {elsewhere} here."),
        (world.take(absent), f"There is no {absent} here."),
        (world.put(absent, world.agent_room), f"You do not hold the {absent}."),
        (world.ask("nobody"), "There is no Nobody here."),
    ):
        assert outcome == (reply, [])
    assert world.place_of == before


def test_a_full_place_takes_nothing_more() -> None:
    world = small_world(config=SMALL.model_copy(update={"liveliness": 0.0}))
    place = world.containers_in(world.agent_room)[0]
    for thing in world.things[:PLACE_CAPACITY]:
        world.place_of[thing] = place
    extra = world.things[PLACE_CAPACITY]
    world.place_of[extra] = world.places[world.agent_room]
    world.take(extra)
    assert "full" in world.put(extra, place.name).reply
    assert world.held == extra


def test_a_house_that_cannot_hold_its_things_is_refused() -> None:
    with pytest.raises(ValidationError, match="add rooms or containers"):
        HouseConfig(num_rooms=2, containers_per_room=1, num_things=100)


def test_too_few_words_for_the_house_is_said() -> None:
    with pytest.raises(ValueError, match="raise made_up_share"):
        small_world(config=HouseConfig(num_rooms=30, made_up_share=0))
