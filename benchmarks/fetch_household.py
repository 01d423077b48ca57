"""Living and fetching in the household: one house for all episodes, in which the people move things about.

Knows: the household's commands and what they show. Refuses to know: models, methods, what is measured.
"""

import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.household.env import HouseholdEnv
from agent.household.explorer import Explorer
from agent.household.world import HouseConfig
from benchmarks.fetch_life import RELATION, Diary, points_of, told_and_stops
from benchmarks.fetch_records import Life, Noted, Scene, Spot
from memory_log.fields import Record
from memory_log.records import Fact

NO_END: Final = 10**9
"""Steps of the environment: a house that is left and entered again is not another house."""
LEFT_ALONE: Final = ("take ", "put ")
"""Commands that the explorer does without, so that all that moves is moved by others."""


class HouseholdPlan(Record):
    """How long the agent lives in which house.

    Example: HouseholdPlan(episodes=50)
    """

    episodes: int
    steps_per_episode: int = 30
    notes_per_episode: int = 2
    per_update: int = 5
    point_every: int = 15
    num_things: int = 50
    liveliness: float = 0.15


def live_in_household(plan: HouseholdPlan, seed: int) -> Life:
    """A whole life; equal for equal seeds, whatever is learned of it."""
    config = HouseConfig(num_things=plan.num_things, liveliness=plan.liveliness)
    env = HouseholdEnv(config, max_steps=NO_END)
    _, info = env.reset(seed=seed)
    explorer, diary = Explorer(seed), Diary(most=plan.notes_per_episode)
    points = points_of(plan.episodes, plan.point_every)
    scenes: dict[int, Scene] = {}
    for episode in range(1, plan.episodes + 1):
        seen: dict[str, Noted] = {}
        for _ in range(plan.steps_per_episode):
            command = explorer.choose(_without_moving(info))
            _, _, _, _, info = env.step(command)
            _notice(seen, info)
        diary.end_episode(seen)
        if episode in points:
            scenes[episode] = HouseholdScene(copy.deepcopy(env))
    told, stops = told_and_stops(diary.episodes, per_update=plan.per_update, points=points)
    return Life(told, stops, scenes)


def _without_moving(info: Mapping[str, Any]) -> dict[str, Any]:
    commands = tuple(command for command in info["admissible_commands"] if not command.startswith(LEFT_ALONE))
    return {**info, "admissible_commands": commands}


def _notice(seen: dict[str, Noted], info: Mapping[str, Any]) -> None:
    """Keep the latest sighting of each thing, the latest one last."""
    for experience in info["experiences"]:
        [fact] = experience["facts"]
        if fact["relation"] == RELATION:
            seen.pop(fact["subject"], None)
            seen[fact["subject"]] = Noted(experience["text"], Fact(**fact))


class HouseholdScene:
    """A house as it stands; while something is fetched, nothing else in it moves.

    Args:
        env: with the house; it is changed, so give a copy.
    """

    def __init__(self, env: HouseholdEnv) -> None:
        self._env = env
        env.world.config = env.world.config.model_copy(update={"liveliness": 0.0})
        self.spots = tuple(Spot(*place) for place in env.world.places.values())

    def spot_of(self, thing: str) -> Spot:
        """Where a thing truly is."""
        return Spot(*self._env.world.place_of[thing])

    def errand(self, thing: str, rng: random.Random) -> "HouseholdErrand":
        """Fetching a thing, from a room that is drawn."""
        return HouseholdErrand(copy.deepcopy(self._env), thing, start=rng.choice(self._env.world.rooms))


class HouseholdErrand:
    """One thing to fetch; the agent takes it once it has it in view, and has nothing in view before it looks."""

    def __init__(self, env: HouseholdEnv, thing: str, *, start: str) -> None:
        self._env, self._thing = env, thing
        _, _, _, _, self._info = env.step(f"go to the {start}")

    @property
    def fetched(self) -> bool:
        """Whether the agent holds the thing."""
        return self._env.world.held == self._thing

    def distance(self, spot: Spot) -> int:
        """Every other room is one step away."""
        return int(spot.room != self._info["room"])

    def visit(self, spot: Spot) -> Iterator[None]:
        """Go to a place, look, and take the thing where it is in view; yields after each step."""
        commands = [] if spot.room == self._info["room"] else [f"go to the {spot.room}"]
        commands.append("look" if spot.name == spot.room else f"look in the {spot.name}")
        for command in commands:
            _, _, _, _, self._info = self._env.step(command)
            yield
        take = f"take the {self._thing}"
        if take in self._info["admissible_commands"]:
            self._env.step(take)
            yield
