"""MiniGrid and BabyAI in words: the places that a view shows are those of the grid."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import minigrid  # noqa: F401  # registers its environments
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

from agent.environments.describers import describer_for
from agent.environments.minigrid import (
    IN_HAND,
    MiniGridInWords,
    MiniGridPosition,
    Seen,
    describe_minigrid,
    in_view,
    place_in_words,
    view_in_words,
)
from agent.environments.recorder import ExperienceRecorder
from agent.environments.steps import OnlyNews, Step, describe_step
from agent.environments.vector_recorder import VectorExperienceRecorder
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from tests.environment_fixtures import Corridor, opened_log, recorded

LEVEL = "BabyAI-GoToLocal-v0"
KEY = "MiniGrid-DoorKey-6x6-v0"
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE = range(6)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with opened_log(tmp_path) as opened:
        yield opened


def places(env: gymnasium.Env[Any, Any]) -> dict[str, set[str]]:
    """Where the grid itself says that things are."""
    grid = env.unwrapped.grid  # type: ignore[attr-defined]
    found: dict[str, set[str]] = {}
    for column in range(grid.width):
        for row in range(grid.height):
            thing = grid.get(column, row)
            if thing is not None and thing.type != "wall":
                name = thing.type if thing.type in ("goal", "lava") else f"{thing.color} {thing.type}"
                found.setdefault(name, set()).add(place_in_words(column, row))
    return found


@pytest.mark.parametrize("level", [LEVEL, KEY, "BabyAI-GoTo-v0", "MiniGrid-LavaCrossingS9N1-v0"])
def test_every_place_that_is_told_is_the_things_place_in_the_grid(level: str) -> None:
    env = MiniGridPosition(gymnasium.make(level))
    num_told = 0
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        env.action_space.seed(seed)
        for number in range(30):
            step = Step(observation, None, None, 0.0, False, False, info, 0, 1, number)
            for said in describe_step(describe_minigrid, step):
                for fact in said.facts:
                    is_place = fact.relation == "place" and fact.value != IN_HAND
                    assert not is_place or fact.value in places(env)[fact.subject]
                    assert fact.subject in said.text and fact.value in said.text
                    num_told += is_place
            observation, _, terminated, truncated, info = env.step(env.action_space.sample() % 3)
            if terminated or truncated:
                break
    assert num_told > 5


def test_what_is_carried_is_in_the_hand_and_doors_have_a_state(log: MemoryLog) -> None:
    env = ExperienceRecorder(MiniGridPosition(gymnasium.make(KEY)), log, OnlyNews(describe_minigrid))
    env.reset(seed=1)
    inside: Any = env.unwrapped
    key = next((x, y) for x in range(6) for y in range(6) if getattr(inside.grid.get(x, y), "type", "") == "key")
    directions = ((1, 0), (0, 1), (-1, 0), (0, -1))
    ahead = next((dx, dy) for dx, dy in directions if inside.grid.get(key[0] - dx, key[1] - dy) is None)
    inside.agent_pos = (key[0] - ahead[0], key[1] - ahead[1])
    inside.agent_dir = directions.index(ahead)
    env.step(PICKUP)
    texts = [one.text for one in recorded(log)]
    assert texts[0] == "My mission is to use the key to open the door and then get to the goal."
    assert "The yellow key is in my hand." in texts
    values = {(fact.subject, fact.relation): fact.value for one in recorded(log) for fact in one.facts}
    assert values["yellow key", "place"] == IN_HAND
    assert values.get(("yellow door", "state"), "locked") == "locked"


def test_without_its_position_an_agent_tells_what_it_sees_and_states_no_facts(log: MemoryLog) -> None:
    env = ExperienceRecorder(gymnasium.make(LEVEL), log)
    observation, _ = env.reset(seed=0)
    texts = [one.text for one in recorded(log)]
    assert texts[0].startswith("My mission is to go to") and len(texts) == 1 + len(in_view(observation))
    assert all(text.startswith("I see a") for text in texts[1:])
    assert not any(one.facts for one in recorded(log))


def test_of_two_things_alike_nothing_is_told() -> None:
    env = MiniGridPosition(gymnasium.make(LEVEL))
    for seed in range(30):
        observation, info = env.reset(seed=seed)
        names = [one.name for one in in_view(observation)]
        said = describe_step(describe_minigrid, Step(observation, None, None, 0.0, False, False, info, 0, 1, 0))
        stated = [fact.subject for one in said for fact in one.facts if fact.relation == "place"]
        assert sorted(stated) == sorted(name for name in names if names.count(name) == 1)
        assert not any(name in one.text for one in said[1:] for name in names if names.count(name) > 1)
        if len(set(names)) < len(names):
            return
    pytest.fail("no level had two things alike")


@pytest.mark.parametrize(
    ("column", "row", "words"),
    [
        (0, 0, "in the first row first column"),
        (2, 4, "in the fifth row third column"),
        (18, 19, "in the twentieth row nineteenth column"),
        (20, 32, "in the thirty-third row twenty-first column"),
        (89, 119, "in the 120th row ninetieth column"),
    ],
)
def test_places_are_counted_from_the_upper_left_wall(column: int, row: int, words: str) -> None:
    assert place_in_words(column, row) == words


def test_the_view_is_put_into_words_with_the_nearest_first() -> None:
    observation, _ = gymnasium.make(LEVEL).reset(seed=0)
    seen = in_view(observation)
    distances = [one.ahead + abs(one.right) for one in seen]
    assert distances == sorted(distances) and all(one.ahead >= 0 for one in seen)
    words = view_in_words(observation)
    assert words.startswith(f"My mission: {observation['mission']}. I see a")
    assert words.count(".") == 1 + len(seen)
    assert view_in_words({"mission": "wait", "image": observation["image"] * 0}) == "My mission: wait. I see nothing."
    assert Seen("red door", "open", 1, -2) > Seen("red ball", None, 1, 0)


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("wrapper", [MiniGridPosition, MiniGridInWords])
def test_the_wrappers_pass_gymnasiums_checks_and_refuse_other_environments(
    wrapper: type[MiniGridPosition] | type[MiniGridInWords],
) -> None:
    check_env(wrapper(gymnasium.make(KEY)), skip_render_check=True)
    with pytest.raises(BadInput, match="Corridor"):
        wrapper(Corridor())


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_a_recorded_level_passes_gymnasiums_checks(log: MemoryLog) -> None:
    env = ExperienceRecorder(MiniGridPosition(gymnasium.make(KEY)), log)
    check_env(env, skip_render_check=True, skip_close_check=True)
    assert env.counts.num_experiences > 3


def test_in_words_actions_have_names_and_unknown_ones_do_nothing() -> None:
    env, plain = MiniGridInWords(gymnasium.make(KEY)), gymnasium.make(KEY)
    text, info = env.reset(seed=0)
    plain.reset(seed=0)
    assert info["admissible_commands"] == ("left", "right", "forward", "pickup", "drop", "toggle", "done")
    assert env.observation_space.contains(text)
    assert env.step("Left ")[0] == view_in_words(plain.step(LEFT)[0])
    assert env.step("sing")[0] == view_in_words(plain.step(6)[0])


def test_levels_side_by_side_are_told_with_their_places(log: MemoryLog) -> None:
    envs = SyncVectorEnv([lambda: MiniGridPosition(gymnasium.make(LEVEL))] * 2)
    env = VectorExperienceRecorder(envs, log, OnlyNews(describe_minigrid), session="s")
    env.reset(seed=0)
    env.step([LEFT, RIGHT])
    assert {one.session for one in recorded(log) if one.facts} == {"s/env-0/episode-1", "s/env-1/episode-1"}
    assert isinstance(describer_for(envs.envs[0]), OnlyNews)
