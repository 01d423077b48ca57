"""`VectorExperienceRecorder`: what `ExperienceRecorder` does, for many environments that step together.

Knows: Gymnasium's autoreset modes, and taking batches apart. Refuses to know: what is said of a step, how it is stored.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import iterate

from agent.environments.recording import RecordCounts, Recording
from agent.environments.steps import Describe, Described, Step
from memory_log.errors import BadInput
from memory_log.experience_log import ExperienceLog
from memory_log.records import Bound


class VectorExperienceRecorder(VectorWrapper[Any, Any, Any, Any, Any]):
    """Records what is worth remembering of each step of each environment; everything passes through unchanged.

    In the mode NEXT_STEP the step after an episode's end begins the next episode, in SAME_STEP the end and the next
    beginning come in one step (the last observation in `info["final_obs"]`), in DISABLED the caller resets with
    `options={"reset_mask": ...}`; what is recorded is the same in all three.

    Args:
        env: a vector environment, synchronous or not.
        log: where experiences go; close it yourself, after the environment.
        describe: puts a `Step` into words; it is called for each environment in turn, which `step.env_index` tells.
        lineage, agent, session, first_episode, group_steps, bound: see `ExperienceRecorder`; experiences get the
            session `SESSION/env-I/episode-N`, and a group is of steps of all environments.

    Raises:
        BadInput: an argument does not fit.

    Example:
        envs = gymnasium.make_vec("selfparam/Household-v0", num_envs=4)
        envs = VectorExperienceRecorder(envs, log, OnlyNews(describe_household))
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        log: ExperienceLog,
        describe: Describe,
        *,
        lineage: str = "default",
        agent: str = "agent",
        session: str | None = None,
        first_episode: int = 1,
        group_steps: int = 1,
        bound: Bound | None = None,
    ) -> None:
        if not isinstance(env, VectorEnv):
            raise BadInput(f"got a {type(env).__name__}, needed a VectorEnv; a single Env takes ExperienceRecorder")
        if first_episode < 1:
            raise BadInput(f"got first_episode={first_episode}, needed at least 1")
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise BadInput(
                f"got a vector environment whose metadata names no autoreset_mode (got {mode!r}), so that nobody knows "
                "which of its steps begin an episode; set metadata['autoreset_mode'] to an AutoresetMode"
            )
        self._mode = mode
        self._recording = Recording(
            log, describe, lineage=lineage, agent=agent, session=session, num_envs=env.num_envs,
            group_steps=group_steps, bound=bound,
        )  # fmt: skip
        self._episodes = [first_episode - 1] * env.num_envs
        self._numbers = [0] * env.num_envs
        self._observations: list[Any] = [None] * env.num_envs
        self._has_ended = [False] * env.num_envs

    @property
    def session(self) -> str:
        """The name of the run."""
        return self._recording.session

    @property
    def counts(self) -> RecordCounts:
        """What has been recorded so far."""
        return self._recording.counts

    @property
    def described(self) -> tuple[Described, ...]:
        """What was said of the latest steps."""
        return self._recording.latest

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes, in the environments of `options["reset_mask"]` where it is given. Raises as `step` does."""
        mask = (options or {}).get("reset_mask")  # the environment takes it out
        chosen = range(self.num_envs) if mask is None else np.flatnonzero(mask).tolist()
        env: Any = self.env  # whose annotations leave out lists of seeds
        observations, infos = env.reset(seed=seed, options=options)
        by_env = list(iterate(env.observation_space, observations))
        self._recording.take([self._beginning(place, by_env[place], info_of(infos, place)) for place in chosen])
        return observations, infos

    def step(self, actions: object) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take a step in every environment and record what is said of it. Raises as `ExperienceRecorder.step` does."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        by_env = list(iterate(self.env.observation_space, observations))
        steps: list[Step] = []
        for env, action in enumerate(iterate(self.env.action_space, actions)):
            info = info_of(infos, env)
            if self._has_ended[env] and self._mode is AutoresetMode.NEXT_STEP:
                steps.append(self._beginning(env, by_env[env], info))
                continue
            is_over = bool(terminations[env] or truncations[env])
            begins_anew = is_over and self._mode is AutoresetMode.SAME_STEP
            steps.append(
                self._step(
                    env, action, info["final_obs"] if begins_anew else by_env[env], float(rewards[env]),
                    bool(terminations[env]), bool(truncations[env]), info["final_info"] if begins_anew else info,
                )
            )  # fmt: skip
            if begins_anew:
                own = {name: value for name, value in info.items() if name not in ("final_obs", "final_info")}
                steps.append(self._beginning(env, by_env[env], own))
            else:
                self._has_ended[env] = is_over
        self._recording.take(steps)
        return observations, rewards, terminations, truncations, infos

    def flush(self) -> None:
        """Store what waits to be stored with others. Raises as `step` does."""
        self._recording.flush()

    def close(self, **kwargs: object) -> None:
        """Store what waits, then close the environments; the log stays open."""
        try:
            self._recording.flush()
        finally:
            super().close(**kwargs)

    def _beginning(self, env: int, observation: object, info: Mapping[str, Any]) -> Step:
        self._episodes[env] += 1
        self._numbers[env] = 0
        self._observations[env] = copy.deepcopy(observation)
        self._has_ended[env] = False
        return Step(
            self._observations[env], None, None, 0.0, False, False, info, env_index=env, episode=self._episodes[env],
            number=0,
        )  # fmt: skip

    def _step(
        self, env: int, action: object, observation: object, reward: float, terminated: bool, truncated: bool,
        info: Mapping[str, Any],
    ) -> Step:  # fmt: skip
        self._numbers[env] += 1
        # Vector environments use the memory of their observations again.
        previous, self._observations[env] = self._observations[env], copy.deepcopy(observation)
        return Step(
            self._observations[env], previous, action, reward, terminated, truncated, info, env_index=env,
            episode=self._episodes[env], number=self._numbers[env],
        )  # fmt: skip


def info_of(infos: Mapping[str, Any], env: int) -> dict[str, Any]:
    """One environment's part of a vector environment's infos, in which `_name` says who has `name`.

    What is not told apart by environments, such as a single number, is everyone's.
    """
    found: dict[str, Any] = {}
    for name, values in infos.items():
        if name.startswith("_") and name[1:] in infos:
            continue
        has_it = infos.get(f"_{name}")
        if has_it is None or has_it[env]:
            is_apart = isinstance(values, np.ndarray | list | tuple) and len(values) > env
            found[name] = info_of(values, env) if isinstance(values, dict) else values[env] if is_apart else values
    return found
