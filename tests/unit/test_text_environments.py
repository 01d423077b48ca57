"""Text games of before Gymnasium made new, and the describers of TextWorld and ScienceWorld on what these say.

Here their infos are given as they were seen; `tests/integration/test_text_games.py` plays the real games where they are
installed.
"""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from agent.environments.scienceworld import describe_scienceworld
from agent.environments.steps import Step, describe_step
from agent.environments.text import MAX_OBSERVATION_CHARS, OldTextEnv, in_space
from agent.environments.textworld import describe_textworld
from memory_log.records import Fact

LOOK = (
    "This room is called the kitchen. In it, you see: \n\tthe agent\n\ta substance called air\n\ta chair\n\t"
    "a counter. On the counter is: a bowl (containing a banana, an orange), a drawer.\n\ta cupboard. The cupboard "
    "door is closed. \n\ta glass cup (containing nothing)\n\ta glass cup (containing nothing)\n\ta freezer. The "
    "freezer door is closed. \nYou also see:\n\tA door to the hallway (that is closed)"
)


class Countdown:
    """An old game: `done` after three commands or at the word `win`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.start = int(rng.integers(3, 6))

    def reset(self) -> tuple[str, dict[str, Any]]:
        self.left = self.start
        return f"\n{self.left} to go\t\n", {"won": False}

    def step(self, command: str) -> tuple[str, float, bool, dict[str, Any]]:
        self.left -= 1
        won = command == "win"
        return f"{self.left} to go", 1.5, won or self.left == 0, {"won": won}


def play(env: gymnasium.Env[str, str], *commands: str) -> list[tuple[bool, bool]]:
    env.reset(seed=0)
    return [tuple(map(bool, env.step(command)[2:4])) for command in commands]  # type: ignore[misc]


def test_done_is_termination_before_the_limit_and_truncation_at_it() -> None:
    env = OldTextEnv(Countdown, max_steps=3)
    assert play(env, "wait", "win") == [(False, False), (True, False)]
    assert play(env, "wait", "wait", "win") == [(False, False), (False, False), (False, True)]
    assert play(env, "wait", "wait", "wait")[-1] == (False, True)


def test_a_game_that_says_so_is_over_at_the_limit_too() -> None:
    env = OldTextEnv(Countdown, max_steps=3, is_over=lambda infos: infos["won"])
    assert play(env, "wait", "wait", "win")[-1] == (True, True)
    assert play(env, "wait", "wait", "wait")[-1] == (False, True)


@pytest.mark.filterwarnings("ignore:.*not having a spec")
def test_an_old_game_made_new_passes_gymnasiums_checks() -> None:
    env = OldTextEnv(Countdown, max_steps=10, render_mode="ansi")
    check_env(env)
    observation, _ = env.reset(seed=1)
    assert observation == env.render() and observation.endswith(" to go")


def test_bad_arguments_and_commands_before_the_game_are_refused() -> None:
    with pytest.raises(ValueError, match="max_steps"):
        OldTextEnv(Countdown, max_steps=0)
    with pytest.raises(ValueError, match="render_mode"):
        OldTextEnv(Countdown, max_steps=1, render_mode="rgb_array")
    with pytest.raises(gymnasium.error.ResetNeeded):
        OldTextEnv(Countdown, max_steps=1).step("wait")


def test_texts_fit_the_space_whatever_a_game_says() -> None:
    space = OldTextEnv(Countdown, max_steps=1).observation_space
    for text in ("", "caf\xe9 \u201cnoir\u201d", "tab\tand \x07bell and \U0001f600", "x" * 20_000):
        assert space.contains(in_space(text))
    assert in_space(" a\tb\x07 ") == "a b?" and len(in_space("x" * 20_000)) == MAX_OBSERVATION_CHARS


def scienceworld(observation: str, *, number: int = 1, look: str = LOOK) -> Step:
    info = {"look": look, "taskDesc": "Task Description:\nYour task is to boil water."}
    return Step(observation, None, "look around", 0.0, False, False, info, 0, 1, number)


def test_scienceworld_tells_the_things_of_a_room_that_are_one_of_a_kind() -> None:
    said = describe_step(describe_scienceworld, scienceworld(LOOK))
    assert [one.text for one in said] == [
        f"The {name} is in the kitchen." for name in ("chair", "counter", "cupboard", "freezer")
    ]
    assert said[0].facts == (Fact(subject="chair", relation="place", value="in the kitchen"),)


def test_scienceworld_tells_its_task_at_first_and_then_what_actions_lead_to() -> None:
    first, *_ = describe_step(describe_scienceworld, scienceworld("...", number=0))
    assert first.text == "Task Description: Your task is to boil water."
    done = describe_step(describe_scienceworld, scienceworld("The door is now open.", look=""))
    assert [one.text for one in done] == ['I did "look around". The door is now open.']
    outside = LOOK.replace("room is called the kitchen", "outside location is called the outside")
    assert describe_step(describe_scienceworld, scienceworld(outside, look=outside))[0].text == "The chair is outside."


def textworld(observation: str, *, number: int = 1) -> Step:
    facts = (
        ("at", "P", "bedroom"), ("at", "type X box", "bedroom"), ("at", "salad", "kitchen"),
        ("in", "worm", "type X box"), ("on", "lamp", "shelf"), ("in", "sponge", "I"),
        ("east_of", "bedroom", "kitchen"), ("edible", "salad"),
    )  # fmt: skip
    info = {"facts": facts, "objective": "Find the lamp!"}
    return Step(observation, None, "look", 0.0, False, False, info, 0, 1, number)


@pytest.mark.parametrize(
    ("observation", "told"),
    [
        ("You see a locked Type X box.", ["The type X box is in the bedroom."]),
        ("On the shelf is a lamp.", ["The lamp is on the shelf."]),
        ("A lamp lights up a salad.", ['I did "look". A lamp lights up a salad.']),
        ("In the kitchen is a salad.", ["The salad is in the kitchen."]),
        ("The box holds a worm and you a sponge.", ['I did "look". The box holds a worm and you a sponge.']),
        ("", []),
    ],
)
def test_textworld_tells_only_the_facts_that_the_text_names(observation: str, told: list[str]) -> None:
    said = describe_step(describe_textworld, textworld(observation))
    assert [one.text for one in said] == told
    assert all(fact.subject == fact.subject.lower() for one in said for fact in one.facts)


def test_textworld_tells_its_objective_at_first() -> None:
    assert describe_step(describe_textworld, textworld("", number=0))[0].text == "Find the lamp!"
