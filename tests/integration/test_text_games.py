"""TextWorld and ScienceWorld as they are, where they are installed: `selfparam[textworld]`, `selfparam[scienceworld]`.

Neither is among the extras of the tests: the one compiles C when it is installed, the other needs Java.
"""

import importlib.util
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from agent.environments import SCIENCEWORLD_ID, TEXTWORLD_ID
from agent.environments.recorder import ExperienceRecorder
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from tests.environment_fixtures import opened_log, recorded, told

has_textworld = pytest.mark.skipif(importlib.util.find_spec("textworld") is None, reason="needs selfparam[textworld]")
has_scienceworld = pytest.mark.skipif(
    importlib.util.find_spec("scienceworld") is None or shutil.which("java") is None,
    reason="needs selfparam[scienceworld] and Java",
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with opened_log(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A game, made once: that takes ten seconds."""
    from agent.environments.textworld import _made_game

    return _made_game(tmp_path_factory.mktemp("game") / "game.z8", 3, 3, 6, 3)


def live(env: gymnasium.Env[Any, Any], num_steps: int) -> None:
    """Any admissible commands, from a fixed seed."""
    rng = random.Random(0)
    _, info = env.reset(seed=0)
    for _ in range(num_steps):
        observation, _, terminated, truncated, info = env.step(rng.choice(info["admissible_commands"]))
        assert env.observation_space.contains(observation)
        if terminated or truncated:
            _, info = env.reset()


@has_textworld
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_textworld_passes_gymnasiums_checks_recorded_or_not(game: str, log: MemoryLog) -> None:
    env = gymnasium.make(TEXTWORLD_ID, game=game, render_mode="ansi")
    check_env(env.unwrapped)
    recorder = ExperienceRecorder(env, log)
    check_env(recorder, skip_render_check=True, skip_close_check=True)
    recorder.close()


@has_textworld
def test_textworld_is_recorded_with_facts_and_the_same_run_twice_is_stored_once(game: str, log: MemoryLog) -> None:
    for _ in range(2):
        env = ExperienceRecorder(gymnasium.make(TEXTWORLD_ID, game=game, max_steps=15), log, session="s")
        live(env, 40)
        env.close()
    assert env.counts.num_known == env.counts.num_experiences == len(told(log)) > 10
    facts = {(fact.subject, fact.value) for one in recorded(log) for fact in one.facts}
    assert ("type x box", "in the bedroom") in facts and ("shelf", "in the basement") in facts
    assert not any("$$" in one.text or "  " in one.text for one in recorded(log))


@has_textworld
def test_a_won_game_is_terminated_and_a_long_one_truncated(game: str) -> None:
    env = gymnasium.make(TEXTWORLD_ID, game=game, max_steps=4)
    env.reset(seed=0)
    steps = [env.step(command) for command in ("go east", "look", "sing")]
    assert [(step[2], step[3]) for step in steps][-1] == (False, False)
    assert env.step("look")[2:4] == (False, True)
    env.reset()
    winning = ("go east", "take type x latchkey", "unlock type x box with type x latchkey")
    won = [env.step(command) for command in winning]
    assert won[-1][1:4] == (1.0, True, False)
    env.close()


@has_textworld
def test_a_missing_game_is_named() -> None:
    with pytest.raises(BadInput, match=r"no TextWorld game /nowhere\.z8"):
        gymnasium.make(TEXTWORLD_ID, game="/nowhere.z8")


@has_scienceworld
def test_scienceworld_is_recorded_with_facts(log: MemoryLog) -> None:
    inside = gymnasium.make(SCIENCEWORLD_ID, task="find-plant", max_steps=8)
    env = ExperienceRecorder(inside, log, session="s")
    live(env, 10)
    facts = [fact for one in recorded(log) for fact in one.facts]
    assert facts and all(fact.value == "outside" or fact.value.startswith("in the ") for fact in facts)
    assert {one.session for one in recorded(log)} == {"s/episode-1", "s/episode-2"}
    assert all(one.text for one in recorded(log)) and env.counts.num_experiences == len(told(log)) > 10
    env.close()
    env.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        inside.reset()


@has_scienceworld
def test_a_task_that_scienceworld_does_not_have_is_named_with_those_it_has() -> None:
    with pytest.raises(BadInput, match="'boi'; it has boil, "):
        gymnasium.make(SCIENCEWORLD_ID, task="boi")
