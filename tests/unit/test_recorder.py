"""The recorder around single environments: what is recorded when, under which names, and what goes wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from agent.environments.describers import describer_for
from agent.environments.recorder import ExperienceRecorder
from agent.environments.steps import Describe, Described, Description, OnlyNews, Step
from agent.environments.text import describe_text
from agent.household import ENVIRONMENT_ID
from memory_log.errors import BadInput, DescriberFailed, IdempotencyConflict, QueueFull
from memory_log.log import MemoryLog
from memory_log.records import Bound, Fact
from tests.environment_fixtures import Corridor, opened_log, recorded, told, where

KINDS = ("array", "text", "dict")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with opened_log(tmp_path) as opened:
        yield opened


def walk(env: gymnasium.Env[Any, Any], actions: str, seed: int | None = 0) -> None:
    """Reset and step, an action a letter; a full stop resets."""
    env.reset(seed=seed)
    for action in actions:
        if action == ".":
            env.reset()
        else:
            env.step(int(action))


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_is_told_with_what_was_before_whatever_the_observations_are(log: MemoryLog, kind: str) -> None:
    env = ExperienceRecorder(Corridor(kind), log, where, session="monday")
    walk(env, "101.1")
    first, second = told(log)[0][2].split(" to ")[1][0], told(log)[4][2].split(" to ")[1][0]
    assert told(log) == [
        ("monday/episode-1", 0, f"nowhere to {first}.0 with 1 things"),
        ("monday/episode-1", 1, f"{first}.0 to {first}.1 with 2 things"),
        ("monday/episode-1", 2, f"{first}.1 to {first}.1 with 2 things"),
        ("monday/episode-1", 3, f"{first}.1 to {first}.2 with 2 things"),
        ("monday/episode-2", 0, f"nowhere to {second}.0 with 1 things"),
        ("monday/episode-2", 1, f"{second}.0 to {second}.1 with 2 things"),
    ]
    assert [(one.action, one.reward) for one in recorded(log)[:3]] == [(None, None), ("1", 1.0), ("0", 0.0)]
    assert {one.metadata["episode"] for one in recorded(log)} == {1, 2}
    is_text = [one.observation is not None for one in recorded(log)]
    assert is_text == [kind == "text"] * 6


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version", "ignore:.*not having a spec")
@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_environment_passes_gymnasiums_checks(log: MemoryLog, kind: str) -> None:
    check_env(ExperienceRecorder(Corridor(kind), log, where))


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_a_recorded_household_passes_gymnasiums_checks(log: MemoryLog) -> None:
    env = ExperienceRecorder(gymnasium.make(ENVIRONMENT_ID, render_mode="ansi"), log)
    # A recorder belongs to a log, so no other can be made from its spec, as the last checks would.
    check_env(env, skip_render_check=True, skip_close_check=True)


def test_a_recorder_changes_nothing_of_what_it_passes_on(log: MemoryLog) -> None:
    plain, env = Corridor("dict"), ExperienceRecorder(Corridor("dict"), log, where)
    for action in (None, 1, 0, 1):
        one = plain.reset(seed=3) if action is None else plain.step(action)
        other = env.reset(seed=3) if action is None else env.step(action)
        np.testing.assert_equal(one, other)


def test_what_a_caller_does_to_an_observation_does_not_reach_the_next_step(log: MemoryLog) -> None:
    env = ExperienceRecorder(Corridor("array"), log, where)
    observation, _ = env.reset(seed=0)
    observation[:] = 99
    env.step(1)
    assert "99" not in told(log)[1][2]


def test_the_same_run_recorded_again_is_stored_once_and_goes_on(log: MemoryLog) -> None:
    walk(ExperienceRecorder(Corridor(), log, where, session="monday"), "101.1")
    before = told(log)
    again = ExperienceRecorder(Corridor(), log, where, session="monday")
    walk(again, "101.11")
    assert told(log)[:-1] == before and told(log)[-1][1] == 2
    assert (again.counts.num_experiences, again.counts.num_known) == (7, 6)


def test_runs_without_a_name_are_different_runs(log: MemoryLog) -> None:
    for _ in range(2):
        walk(ExperienceRecorder(Corridor(), log, where), "1")
    assert len({session for session, _, _ in told(log)}) == 2
    assert len(told(log)) == 4


def test_another_run_under_the_same_name_is_refused_and_may_go_on_after_it(log: MemoryLog) -> None:
    walk(ExperienceRecorder(Corridor(), log, where, session="monday"), "11")
    other = ExperienceRecorder(Corridor(), log, where, session="monday")
    other.reset(seed=0)
    with pytest.raises(IdempotencyConflict, match=r"'monday' has recorded another run.*first_episode"):
        other.step(0)
    later = ExperienceRecorder(Corridor(), log, where, session="monday", first_episode=2)
    walk(later, "0")
    assert [session for session, _, _ in told(log)] == ["monday/episode-1"] * 3 + ["monday/episode-2"] * 2


def test_in_a_group_only_the_steps_that_conflict_are_left_out(log: MemoryLog) -> None:
    walk(ExperienceRecorder(Corridor(), log, where, session="monday"), "11")
    other = ExperienceRecorder(Corridor(), log, where, session="monday", group_steps=10)
    walk(other, "101")
    with pytest.raises(IdempotencyConflict):
        other.flush()
    assert [step for _, step, _ in told(log)] == [0, 1, 2, 3]
    other.flush()


def test_groups_are_stored_when_full_at_the_end_of_an_episode_and_at_the_end(log: MemoryLog) -> None:
    env = ExperienceRecorder(Corridor(), log, where, group_steps=3)
    sizes = []
    env.reset(seed=0)
    for action in (1, 1, 1, 0, 1):
        sizes.append(len(told(log)))
        env.step(action)
    assert sizes == [0, 0, 3, 3, 3]
    assert len(told(log)) == 6, "the fourth door ends the episode"
    env.reset()
    assert len(told(log)) == 6
    env.close()
    assert len(told(log)) == 7


def test_nothing_said_is_nothing_recorded(log: MemoryLog) -> None:
    silent: list[Describe] = [lambda step: None, lambda step: "", lambda step: [], lambda step: iter(())]
    for describe in silent:
        env = ExperienceRecorder(Corridor(), log, describe)
        walk(env, "11")
        assert env.described == ()
    assert told(log) == []


def test_a_describer_may_say_several_things_with_facts(log: MemoryLog) -> None:
    fact = Fact(subject="bell", relation="place", value="in the hall")

    def describe(step: Step) -> Iterator[str | Described]:
        yield "A bell rings."
        yield Described(text="The bell is in the hall.", facts=(fact,), priority=3, metadata={"loud": True})

    env = ExperienceRecorder(Corridor(), log, describe, session="s", agent="mira", lineage="l")
    env.reset()
    one, other = recorded(log, "l")
    assert (one.text, one.key, other.key) == ("A bell rings.", "s/episode-1/step-0/0", "s/episode-1/step-0/1")
    assert (other.facts, other.priority, other.agent) == ((fact,), 3, "mira")
    assert other.metadata == {"episode": 1, "loud": True}
    assert [said.text for said in env.described] == [one.text, other.text]


def failing(step: Step) -> Description:
    raise KeyError("mood")


def half(step: Step) -> Iterator[str]:
    yield "fine"
    raise KeyError("mood")


@pytest.mark.parametrize(
    ("describe", "complaint"),
    [
        (failing, "KeyError: 'mood'"),
        (half, "KeyError: 'mood'"),
        (lambda step: 7, "not iterable"),
        (lambda step: [7], "got int, needed a text or a Described"),
        (lambda step: "   ", "text is empty"),
        (lambda step: "a" * 20_000, "20000 bytes"),
        (lambda step: "a\0b", "NUL"),
        (lambda step: b"bytes", "got int"),
        (lambda step: Described(text="a", facts=(Fact(subject="a", relation="b", value="c"),) * 65), "facts"),
        (lambda step: Described(text="a", metadata={"long": "a" * 4080}), "metadata"),
    ],
)
@pytest.mark.parametrize("group_steps", [1, 10])
def test_a_bad_describer_is_named_and_loses_nothing_that_was_said_before(
    log: MemoryLog, describe: Callable[[Step], Any], complaint: str, group_steps: int
) -> None:
    def fails_at_two(step: Step) -> Description:
        found: Description = describe(step) if step.number == 2 else where(step)
        return found

    env = ExperienceRecorder(Corridor(), log, fails_at_two, group_steps=group_steps)
    walk(env, "1")
    with pytest.raises(DescriberFailed, match=f"step 2 of episode 1.*{complaint}"):
        env.step(1)
    assert [step for _, step, _ in told(log)] == [0, 1], "stored although the group was not full"
    env.step(1)
    env.close()
    assert [step for _, step, _ in told(log)] == [0, 1, 3]
    assert told(log)[2][2].startswith(told(log)[1][2].split(" to ")[1][0]), "the step that failed is the one before"


def test_what_finds_no_room_waits_and_is_stored_with_the_next_step(log: MemoryLog) -> None:
    env = ExperienceRecorder(Corridor(), log, where, bound=Bound(most_pending=2, when_full="refuse"))
    walk(env, "1")
    with pytest.raises(QueueFull):
        env.step(1)
    log.forget(1)
    log.forget(2)
    env.flush()
    assert [one.step for one in recorded(log) if one.text] == [2]


def test_of_a_group_the_steps_that_find_room_are_stored(log: MemoryLog) -> None:
    bound = Bound(most_pending=2, when_full="refuse")
    env = ExperienceRecorder(Corridor(), log, where, group_steps=10, bound=bound)
    walk(env, "11")
    with pytest.raises(QueueFull):
        env.flush()
    assert [step for _, step, _ in told(log)] == [0, 1]
    log.forget(1)
    env.close()
    assert [step for _, step, text in told(log) if text] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"describe": "words"}, "needed a function"),
        ({"session": ""}, "session"),
        ({"session": "s" * 200}, "session"),
        ({"group_steps": 0}, "group_steps=0"),
        ({"lineage": ""}, "lineage is empty"),
        ({"agent": "a" * 300}, "agent has 300 bytes"),
        ({"first_episode": 0}, "first_episode=0"),
        ({"describe": None}, "nobody knows how to put the observations of Corridor into words"),
    ],
)
def test_bad_arguments_are_refused(log: MemoryLog, arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        ExperienceRecorder(Corridor(), log, **({"describe": where} | arguments))


def test_rewards_and_actions_that_the_log_cannot_hold_are_left_out(log: MemoryLog) -> None:
    class Odd(Corridor):
        def step(self, action: object) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, _, *rest = super().step(1)
            return observation, float("nan"), *rest

    env = ExperienceRecorder(Odd(), log, where)
    env.reset(seed=0)
    for action in (np.array([0.5, 2.0]), np.zeros(2000), {"go": np.zeros(1)}, "a\0b"):
        env.step(action)
    assert [one.action for one in recorded(log)] == [None, "[0.5, 2.0]", None, "{'go': array([0.])}", None]
    assert {one.reward for one in recorded(log)} == {None}


def test_an_agent_remembers_an_observation_and_an_action_that_are_text(log: MemoryLog) -> None:
    env = ExperienceRecorder(gymnasium.make(ENVIRONMENT_ID), log)
    _, info = env.reset(seed=0)
    command = next(one for one in info["admissible_commands"] if one.startswith("look in"))
    observation, reward, *_ = env.step(command)
    newest = recorded(log)[-1]
    assert (newest.action, newest.observation, newest.reward) == (command, observation, reward)


def test_the_household_tells_what_is_news_with_its_facts(log: MemoryLog) -> None:
    env = ExperienceRecorder(gymnasium.make(ENVIRONMENT_ID), log)
    _, info = env.reset(seed=0)
    perceived = list(info["experiences"])
    for command in ["look", "look", *(one for one in info["admissible_commands"] if one.startswith("look in"))] * 2:
        perceived += env.step(command)[-1]["experiences"]
    news = [one for place, one in enumerate(perceived) if one["facts"] not in [p["facts"] for p in perceived[:place]]]
    assert [one.text for one in recorded(log)] == [one["text"] for one in news]
    assert 3 <= len(news) < len(perceived)
    assert all(one.facts for one in recorded(log))


def test_only_news_tells_again_what_has_changed_and_forgets_between_episodes_unless_told_otherwise() -> None:
    def state(step: Step) -> Described:
        fact = Fact(subject="it", relation="is", value=str(step.action))
        return Described(text=f"It is {step.action}.", facts=(fact,))

    def step(action: str, episode: int = 1, env_index: int = 0) -> Step:
        return Step("", "", action, 0.0, False, False, {}, env_index, episode, 1)

    says, says_over = OnlyNews(state), OnlyNews(state, over_episodes=True)
    for one in (says, says_over):
        assert [len(one(step(action))) for action in "aabaa"] == [1, 0, 1, 1, 0]
        assert len(one(step("a", env_index=1))) == 1
    assert (len(says(step("a", episode=2))), len(says_over(step("a", episode=2)))) == (1, 0)


def test_texts_are_told_with_what_was_done() -> None:
    step = Step("The door is open.\n", "", "open door", 0.0, False, False, {}, 0, 1, 4)
    assert describe_text(step) == 'I did "open door". The door is open.'
    assert describe_text(step._replace(number=0, action=None)) == "The door is open."
    assert describe_text(step._replace(observation=" ")) == ""
    with pytest.raises(TypeError, match="ndarray"):
        describe_text(step._replace(observation=np.zeros(1)))
    assert describer_for(Corridor("text")) is not None
