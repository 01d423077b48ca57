"""An agent's life in an environment: made by its id, with a recorder around it, episode after episode.

Knows: Gymnasium's registry and its loop. Refuses to know: displays, models, the command line.
"""

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple

import gymnasium

import agent.environments  # noqa: F401  # registers ours
from agent.environments.minigrid import PREFIXES, MiniGridPosition, is_minigrid
from agent.environments.policies import Policy
from agent.environments.recorder import ExperienceRecorder
from agent.environments.steps import Describe
from memory_log.errors import BadInput, SelfParamError

PICTURES: Final = "rgb_array"


class Episode(NamedTuple):
    """What came of one episode."""

    number: int
    num_steps: int
    reward: float
    """The sum."""
    ended: Literal["terminated", "truncated"]
    num_experiences: int
    num_known: int
    """Of the experiences: in the log before, from the same session."""


def make_environment(
    env_id: str, *, arguments: Mapping[str, object], max_steps: int | None, video: Path | None
) -> gymnasium.Env[Any, Any]:
    """An environment by its id, which may be `module:ID`; MiniGrid's get their position into their infos.

    Args:
        env_id: as Gymnasium takes it.
        arguments: of the environment.
        max_steps: steps until truncation; None leaves that to the environment.
        video: a folder that is new or empty, for a film of each episode.

    Raises:
        BadInput: there is no such environment, it cannot be made so, or films cannot be.
    """
    if env_id.startswith(PREFIXES) and importlib.util.find_spec("minigrid") is None:
        raise BadInput(f"{env_id} needs MiniGrid; install it with: pip install 'selfparam[minigrid]'")
    if env_id.startswith(PREFIXES):
        import_module("minigrid")
    kwargs: dict[str, Any] = {**arguments, **({"render_mode": PICTURES} if video is not None else {})}
    try:
        with warnings.catch_warnings():
            # An environment that draws no pictures says so itself, or the recorder of films does.
            warnings.filterwarnings("ignore", ".*not in the possible render_modes")
            env: gymnasium.Env[Any, Any] = gymnasium.make(env_id, max_episode_steps=max_steps, **kwargs)
        return _filmed(env, video) if video is not None else _with_position(env)
    except (gymnasium.error.Error, ModuleNotFoundError, TypeError, ValueError) as exc:
        if isinstance(exc, BadInput):
            raise
        named = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
        raise BadInput(f"the environment {env_id!r} cannot be made{f' with {named}' if named else ''}: {exc}") from exc


def _with_position(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    return MiniGridPosition(env) if is_minigrid(env) else env


def _filmed(env: gymnasium.Env[Any, Any], folder: Path) -> gymnasium.Env[Any, Any]:
    if importlib.util.find_spec("moviepy") is None:
        env.close()
        raise BadInput("films are written with moviepy; install it with: pip install 'selfparam[video]'")
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()  # RecordVideo warns of what is there
    if folder.exists():
        env.close()
        raise BadInput(f"the folder {folder} is there already, and its films would be overwritten; name another one")
    film = gymnasium.wrappers.RecordVideo(env, str(folder), episode_trigger=lambda _: True, name_prefix="life")
    return _with_position(film)


def import_module(name: str) -> ModuleType:
    """A module by its name, from what is installed or from the working folder.

    Raises:
        BadInput: there is none, or importing it fails for want of another.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: a file here hides nothing that is installed
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        raise BadInput(f"the module {name!r} cannot be imported ({exc}); install it, or go to its folder") from exc


def find_describer(name: str) -> Describe:
    """A describer by its name, `module:function`.

    Raises:
        BadInput: there is no such function.
    """
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        raise BadInput(f"got the describer {name!r}, needed module:function")
    found = getattr(import_module(module), function, None)
    if not callable(found):
        raise BadInput(f"the module {module!r} has no function {function!r}")
    return found  # type: ignore[no-any-return]  # whatever it is, its results are checked


def live(
    recorder: ExperienceRecorder, policy: Policy, *, num_episodes: int, seed: int, is_same_world: bool = False,
    options: Mapping[str, Any] | None = None, outside: Sequence[Callable[[gymnasium.Env[Any, Any]], Any]] = (),
    watch: Callable[[int, int], None] = lambda episode, step: None,
) -> Iterator[Episode]:  # fmt: skip
    """Live episode after episode; each is in the log when it is yielded.

    Args:
        recorder: around the environment; not closed here.
        policy: who acts.
        num_episodes: how many.
        seed: of the environment: given to the first reset, as Gymnasium wants it.
        is_same_world: gives it to every reset, so that each episode begins in the same world.
        options: of every reset.
        outside: wrappers around the recorder, for the policy's eyes.
        watch: told the number of the episode, from 1, and of each step.

    Raises:
        BadInput: the environment does not take the options.
        DescriberFailed, IdempotencyConflict and others: see `ExperienceRecorder.step`.
    """
    env: gymnasium.Env[Any, Any] = recorder
    for wrapper in outside:
        env = wrapper(env)
    for place in range(num_episodes):
        before = recorder.counts
        observation, info = _reset(env, seed if place == 0 or is_same_world else None, options)
        num_steps, total, terminated, truncated = 0, 0.0, False, False
        while not (terminated or truncated):
            observation, reward, terminated, truncated, info = env.step(policy.choose(observation, info))
            num_steps += 1
            total += float(reward)
            watch(place + 1, num_steps)
        recorder.flush()
        now = recorder.counts
        yield Episode(
            recorder.episode, num_steps, total, "terminated" if terminated else "truncated",
            now.num_experiences - before.num_experiences, now.num_known - before.num_known,
        )  # fmt: skip


def _reset(
    env: gymnasium.Env[Any, Any], seed: int | None, options: Mapping[str, Any] | None
) -> tuple[Any, dict[str, Any]]:
    if not options:
        return env.reset(seed=seed)
    try:
        return env.reset(seed=seed, options=dict(options))
    except (ValueError, TypeError, KeyError) as exc:
        if isinstance(exc, SelfParamError):
            raise
        raise BadInput(f"the environment cannot be reset with the options {dict(options)}: {exc}") from exc
