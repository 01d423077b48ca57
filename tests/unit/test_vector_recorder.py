"""The recorder around vector environments: the same is recorded in every autoreset mode."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import agent.environments  # noqa: F401  # registers the household
from agent.environments.describers import describe_household
from agent.environments.recorder import ExperienceRecorder
from agent.environments.steps import OnlyNews, Step
from agent.environments.vector_recorder import VectorExperienceRecorder, info_of
from agent.household import ENVIRONMENT_ID
from memory_log.errors import BadInput, DescriberFailed
from memory_log.log import MemoryLog
from tests.environment_fixtures import Corridor, opened_log, recorded, told, where

MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
SEEDS = (5, 6)
# The first walks through four doors (5 steps with its pause) and begins anew, the second is cut off after six steps.
ACTIONS = ("11011" "101", "00100" "110")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with opened_log(tmp_path) as opened:
        yield opened


def corridors(kind: str, mode: AutoresetMode, make: type[Any] = SyncVectorEnv) -> VectorEnv[Any, Any, Any]:
    envs: VectorEnv[Any, Any, Any] = make([partial(Corridor, kind)] * len(SEEDS), autoreset_mode=mode)
    return envs


def walk(env: VectorEnv[Any, Any, Any], mode: AutoresetMode) -> None:
    """Give each environment its actions, and in the mode NEXT_STEP an ignored one where it is reset."""
    env.reset(seed=list(SEEDS))  # type: ignore[arg-type]  # its annotations leave out lists of seeds
    left = [list(actions) for actions in ACTIONS]
    has_ended = np.zeros(len(SEEDS), dtype=bool)
    while any(left):
        if mode is AutoresetMode.DISABLED and has_ended.any():
            env.reset(options={"reset_mask": has_ended})
            has_ended = np.zeros(len(SEEDS), dtype=bool)
        resets = has_ended & (mode is AutoresetMode.NEXT_STEP)
        actions = [1 if resets[place] or not one else int(one.pop(0)) for place, one in enumerate(left)]
        *_, terminated, truncated, _ = env.step(np.array(actions))
        has_ended = terminated | truncated


def walk_alone(log: MemoryLog, kind: str) -> dict[int, list[tuple[str, int | None, str]]]:
    """What a recorder around each environment alone tells, under the names that it has in a vector."""
    found = {}
    for place, actions in enumerate(ACTIONS):
        env = ExperienceRecorder(Corridor(kind), log, where, lineage=f"alone-{place}", session=f"monday/env-{place}")
        env.reset(seed=SEEDS[place])
        for action in actions:
            *_, terminated, truncated, _ = env.step(int(action))
            if terminated or truncated:
                env.reset()
        found[place] = told(log, f"alone-{place}")
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["array", "text", "dict"])
def test_in_every_mode_each_environment_tells_what_it_would_alone(
    log: MemoryLog, kind: str, mode: AutoresetMode
) -> None:
    env = VectorExperienceRecorder(corridors(kind, mode), log, where, session="monday")
    walk(env, mode)
    for place, alone in walk_alone(log, kind).items():
        mine = [one for one in told(log) if f"/env-{place}/" in one[0]]
        assert len(alone) >= 10 and mine[: len(alone)] == alone
    assert len({one.key for one in recorded(log)}) == len(recorded(log))


@pytest.mark.parametrize("mode", MODES[:2])
def test_environments_in_processes_of_their_own_are_recorded_alike(log: MemoryLog, mode: AutoresetMode) -> None:
    for lineage, make in (("sync", SyncVectorEnv), ("async", AsyncVectorEnv)):
        env = VectorExperienceRecorder(corridors("dict", mode, make), log, where, session="monday", lineage=lineage)
        walk(env, mode)
        env.close()
    assert told(log, "sync") == told(log, "async") != []


@pytest.mark.parametrize("mode", MODES)
def test_a_recorder_changes_nothing_of_what_vectors_give(log: MemoryLog, mode: AutoresetMode) -> None:
    plain = corridors("dict", mode)
    env = VectorExperienceRecorder(corridors("dict", mode), log, where)
    np.testing.assert_equal(plain.reset(seed=1), env.reset(seed=1))
    for _ in range(4):
        assert repr(plain.step(np.array([1, 0]))) == repr(env.step(np.array([1, 0])))


@pytest.mark.parametrize("mode", MODES)
def test_vectors_recorded_again_are_stored_once(log: MemoryLog, mode: AutoresetMode) -> None:
    for _ in range(2):
        env = VectorExperienceRecorder(corridors("text", mode), log, where, session="monday", group_steps=3)
        walk(env, mode)
        env.close()
    assert env.counts.num_known == env.counts.num_experiences == len(told(log))


def test_households_side_by_side_are_told_with_their_facts(log: MemoryLog) -> None:
    envs = gymnasium.make_vec(ENVIRONMENT_ID, num_envs=2, vectorization_mode="sync", max_steps=3)
    env = VectorExperienceRecorder(envs, log, OnlyNews(describe_household), session="s")
    env.reset(seed=0)
    for _ in range(5):
        env.step(("look", "look"))
    sessions = {one.session for one in recorded(log)}
    assert {f"s/env-{place}/episode-{number}" for place in (0, 1) for number in (1, 2)} <= sessions
    assert all(one.facts for one in recorded(log))


def test_a_describer_that_fails_for_one_environment_loses_nothing_of_the_others(log: MemoryLog) -> None:
    def fails_in_the_first(step: Step) -> str:
        if step.env_index == 0 and step.number == 1:
            raise ValueError("no words")
        return where(step)

    env = VectorExperienceRecorder(corridors("text", MODES[0]), log, fails_in_the_first, session="s", group_steps=9)
    env.reset(seed=0)
    with pytest.raises(DescriberFailed, match=r"step 1 of episode 1 of environment 0.*no words"):
        env.step(np.array([1, 1]))
    assert [(session, step) for session, step, _ in told(log)] == [
        ("s/env-0/episode-1", 0), ("s/env-1/episode-1", 0), ("s/env-1/episode-1", 1),
    ]  # fmt: skip


def test_recorders_refuse_what_the_other_one_is_for_and_vectors_without_a_mode(log: MemoryLog) -> None:
    with pytest.raises(BadInput, match="VectorExperienceRecorder"):
        ExperienceRecorder(corridors("text", MODES[0]), log, where)  # type: ignore[arg-type]
    single: Any = Corridor("text")
    with pytest.raises(BadInput, match="takes ExperienceRecorder"):
        VectorExperienceRecorder(single, log, where)
    envs = corridors("text", MODES[0])
    del envs.metadata["autoreset_mode"]
    with pytest.raises(BadInput, match="autoreset_mode"):
        VectorExperienceRecorder(envs, log, where)


def test_an_environments_part_of_infos_has_what_it_was_given_and_no_more() -> None:
    add: Callable[..., dict[str, Any]] = SyncVectorEnv([Corridor] * 2)._add_info
    infos: dict[str, Any] = {}
    own: tuple[dict[str, Any], ...] = ({"words": ["a", "b"], "inner": {"n": 1}}, {"words": [], "door": "red"})
    for place, info in enumerate(own):
        infos = add(infos, info, place)
    infos |= {"fps": 3, "episode": {"r": np.array([1.0, 2.0])}, "_episode": np.array([False, True])}
    assert [info_of(infos, place) for place in (0, 1)] == [
        own[0] | {"fps": 3}, own[1] | {"fps": 3, "episode": {"r": 2.0}},
    ]  # fmt: skip


class Silent(Corridor):
    """A corridor that gives no infos."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return super().reset(seed=seed, options=options)[0], {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        *rest, _ = super().step(action)
        return *rest, {}


@pytest.mark.parametrize("mode", MODES[:2])
def test_environments_without_infos_are_recorded(log: MemoryLog, mode: AutoresetMode) -> None:
    env = VectorExperienceRecorder(SyncVectorEnv([Silent] * 2, autoreset_mode=mode), log, lambda step: f"{step.info}")
    walk(env, mode)
    assert {one.text for one in recorded(log)} == {"{}"}
    assert {one.metadata["episode"] for one in recorded(log)} == {1, 2}
