"""Living and fetching in MiniGrid: a maze of nine rooms for all episodes, in which keys, balls and boxes are moved.

The maze is MiniGrid's own `RoomGrid`, seen through its own view of seven by seven cells and walked with its own
actions. What the agent notes is said in the household's English, in which the rooms have names of household rooms.
Knows: this. Refuses to know: how to walk, models, methods, what is measured.
"""

import copy
import random
from collections.abc import Iterator
from typing import Final

from agent.household.language import EntityDrawer, Triple, statement
from agent.household.words import ROOMS, words_of
from benchmarks.fetch_life import RELATION, Diary, points_of, told_and_stops
from benchmarks.fetch_maze import Maze, Walker, middle_of
from benchmarks.fetch_records import Life, Noted, Scene, Spot
from memory_log.fields import Record
from memory_log.records import Fact

NUM_ROOMS: Final = 9


class MiniGridPlan(Record):
    """How long the agent lives in the maze, and how often things in it are moved.

    Example: MiniGridPlan(episodes=50)
    """

    episodes: int
    rooms_per_episode: int = 3
    notes_per_episode: int = 1
    per_update: int = 5
    point_every: int = 15
    moved_share: float = 0.5
    """Probability that something is moved after an episode."""


def live_in_minigrid(plan: MiniGridPlan, seed: int) -> Life:
    """A whole life; equal for equal seeds, whatever is learned of it."""
    rng = random.Random(f"minigrid/{seed}")
    maze = Maze()
    maze.reset(seed=seed)
    names = [room for room in words_of(ROOMS, "held_out") if "-" not in room]
    scene = MiniGridScene(maze, rng.sample(names, NUM_ROOMS))
    drawer = EntityDrawer(rng, split="held_out", made_up_share=0.0)
    diary, num_visits = Diary(most=plan.notes_per_episode), [0] * NUM_ROOMS
    points = points_of(plan.episodes, plan.point_every)
    scenes: dict[int, Scene] = {}
    for episode in range(1, plan.episodes + 1):
        seen: dict[str, Noted] = {}
        for _ in range(plan.rooms_per_episode):
            room = min(range(NUM_ROOMS), key=lambda room: (num_visits[room], rng.random()))
            num_visits[room] += 1
            for thing in _look_at(maze, room):
                seen.pop(thing, None)
                seen[thing] = scene.noted(thing, rng, bystander=drawer.name())
        diary.end_episode(seen)
        if episode in points:
            scenes[episode] = MiniGridScene(copy.deepcopy(maze), scene.room_names)
        if rng.random() < plan.moved_share:
            maze.move_elsewhere(rng)
    told, stops = told_and_stops(diary.episodes, per_update=plan.per_update, points=points)
    return Life(told, stops, scenes)


def _look_at(maze: Maze, room: int) -> list[str]:
    """Walk to a room and turn round in its middle; the things of the room that came into view, in order."""
    walker, seen = Walker(maze), dict.fromkeys(maze.things_in_view())
    for _ in walker.to_room(room):
        seen |= dict.fromkeys(maze.things_in_view())
    for _ in walker.turn_round():
        seen |= dict.fromkeys(maze.things_in_view())
    return [thing for thing in seen if maze.room_of(thing) == room]


class MiniGridScene:
    """The maze as it stands, its rooms called by names of household rooms.

    Args:
        maze: errands get copies of it.
        room_names: one for each room, row by row.
    """

    def __init__(self, maze: Maze, room_names: list[str]) -> None:
        self._maze, self.room_names = maze, room_names
        self.spots = tuple(Spot(name, name, f"in the {name}") for name in room_names)

    def spot_of(self, thing: str) -> Spot:
        """Where a thing truly is."""
        return self.spots[self._maze.room_of(thing)]

    def noted(self, thing: str, rng: random.Random, *, bystander: str) -> Noted:
        """A sighting of a thing in the household's English."""
        fact = Triple(thing, RELATION, self.spot_of(thing).phrase)
        return Noted(statement(fact, rng, bystander=bystander), Fact(**fact._asdict()))

    def errand(self, thing: str, rng: random.Random) -> "MiniGridErrand":
        """Fetching a thing, from a room that is drawn."""
        maze = copy.deepcopy(self._maze)
        maze.put_agent(rng)
        return MiniGridErrand(maze, thing, self.spots)


class MiniGridErrand:
    """One thing to fetch; the agent goes for it as soon as it has it in view."""

    def __init__(self, maze: Maze, thing: str, spots: tuple[Spot, ...]) -> None:
        self._maze, self._thing, self._spots = maze, thing, spots
        self._walker = Walker(maze)

    @property
    def fetched(self) -> bool:
        """Whether the agent holds the thing."""
        return self._maze.held == self._thing

    def distance(self, spot: Spot) -> int:
        """Cells to the middle of a room, without walls and turns."""
        x, y = middle_of(self._spots.index(spot))
        return abs(x - self._maze.pose.x) + abs(y - self._maze.pose.y)

    def visit(self, spot: Spot) -> Iterator[None]:
        """Go to a room and turn round in it, until the thing is in view; then take it. Yields after each action."""
        walks = (self._walker.to_room(self._spots.index(spot)), self._walker.turn_round())
        for walk in walks:
            if self._sees_it():
                break
            for _ in walk:
                yield
                if self._sees_it():
                    break
        if self._sees_it():
            for _ in self._walker.take(self._thing):
                yield

    def _sees_it(self) -> bool:
        return self._thing in self._maze.things_in_view()
