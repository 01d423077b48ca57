"""The maze of MiniGrid: walking by shortest ways, seeing what MiniGrid shows, and fetching by its own actions."""

import random

import pytest

pytest.importorskip("minigrid")

from benchmarks.fetch_life import tasks_at
from benchmarks.fetch_maze import Maze, Walker, middle_of, room_at
from benchmarks.fetch_minigrid import MiniGridPlan, live_in_minigrid
from benchmarks.fetch_seeking import fetch

SMALL = MiniGridPlan(episodes=4, per_update=2, point_every=4, moved_share=1.0)


def maze(seed: int = 0) -> Maze:
    made = Maze()
    made.reset(seed=seed)
    return made


def test_the_middle_of_every_room_can_be_reached_and_ways_are_as_short_as_they_look() -> None:
    one = maze()
    walker = Walker(one)
    for room in (8, 0, 4):
        assert 0 < sum(1 for _ in walker.to_room(room)) < 60
        assert one.pose[:2] == middle_of(room) and room_at(*middle_of(room)) == room
    assert sum(1 for _ in walker.to_room(4)) == 0, "there already"
    one.agent_dir, one.agent_pos = 0, (1, 1)
    one.grid.set(2, 1, None)
    walker = Walker(one)
    assert walker.num_actions_to(lambda pose: pose[:2] == (2, 1)) == 1
    assert walker.num_actions_to(lambda pose: pose[:2] == (1, 1) and pose.facing == 2) == 2


def test_a_thing_in_view_is_taken_and_then_seen_no_more() -> None:
    one = maze()
    thing = next(iter(one.things))
    walker = Walker(one)
    for _ in walker.to_room(one.room_of(thing)):
        pass
    for _ in walker.turn_round():
        if thing in one.things_in_view():
            break
    assert thing in one.things_in_view() and one.held is None
    for _ in walker.take(thing):
        pass
    assert one.held == thing and thing not in one.things_in_view()


def test_something_moved_lies_in_another_room_and_blocks_no_way() -> None:
    one, rng = maze(), random.Random(0)
    for _ in range(40):
        before = {thing: one.room_of(thing) for thing in one.things}
        one.move_elsewhere(rng)
        assert sum(one.room_of(thing) != room for thing, room in before.items()) == 1
    assert len({one.cell_of(thing) for thing in one.things}) == len(one.things)
    for room in range(9):
        for _ in Walker(one).to_room(room):
            pass


def test_a_known_thing_is_fetched_faster_than_by_searching_and_lives_are_equal_for_equal_seeds() -> None:
    life = live_in_minigrid(SMALL, seed=1)
    assert life.told == live_in_minigrid(SMALL, seed=1).told and life.told
    scene = life.scenes[4]
    tasks = tasks_at(life, 4, rounds=1, num_questions=1, seed=1)
    known = [
        fetch(scene.errand(one.thing, random.Random(2)), [scene.spot_of(one.thing)], scene.spots, limit=500)
        for one in tasks
    ]
    searched = [fetch(scene.errand(one.thing, random.Random(2)), [], scene.spots, limit=500) for one in tasks]
    assert all(one.fetched for one in [*known, *searched])
    assert sum(one.steps for one in known) < sum(one.steps for one in searched)
