"""`ExperienceRecorder`: a Gymnasium wrapper that turns the steps of one environment into experiences in a log.

Knows: episodes and step numbers. Refuses to know: what is said of a step (`describers.py`), how it is stored
(`recording.py`). Vector environments have `vector_recorder.py`.
"""

import copy
from typing import Any, SupportsFloat

import gymnasium

from agent.environments.describers import describer_for
from agent.environments.recording import RecordCounts, Recording
from agent.environments.steps import Describe, Described, Step
from memory_log.errors import BadInput
from memory_log.experience_log import ExperienceLog
from memory_log.records import Bound


class ExperienceRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Records what is worth remembering of each step; observations, rewards and infos pass through unchanged.

    What was said of a step is durable when `step` returns. With `group_steps=N` it is stored with up to N - 1 other
    steps at once, at the end of the episode and at `close` in any case; a process that dies loses that much.

    Every experience has a key made of session, episode, step and place, so that the same run recorded again, such as
    after a crash, is stored once: give it the same `session`, and the environment and the policy the same seeds.

    Args:
        env: any environment; for a vector of them take `VectorExperienceRecorder`.
        log: where experiences go; close it yourself, after the environment.
        describe: puts a `Step` into words; None takes what fits the environment (`describer_for`).
        lineage: whose memory.
        agent: who lived it.
        session: name of the run; None makes up one that nobody has. Experiences get `SESSION/episode-N`.
        first_episode: number of the first episode, at least 1; for a run that goes on where another has ended.
        group_steps: most steps that are stored at once.
        bound: how many experiences may be pending, and what to do about more; None bounds nothing.

    Raises:
        BadInput: an argument does not fit, or no describer is known for this environment.

    Example:
        with MemoryLog("sqlite:///home/log.sqlite3") as log:
            env = ExperienceRecorder(gymnasium.make("selfparam/Household-v0"), log)
            observation, info = env.reset(seed=0)
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        log: ExperienceLog,
        describe: Describe | None = None,
        *,
        lineage: str = "default",
        agent: str = "agent",
        session: str | None = None,
        first_episode: int = 1,
        group_steps: int = 1,
        bound: Bound | None = None,
    ) -> None:
        if not isinstance(env, gymnasium.Env):
            raise BadInput(f"got a {type(env).__name__}, needed an Env; a vector takes VectorExperienceRecorder")
        if first_episode < 1:
            raise BadInput(f"got first_episode={first_episode}, needed at least 1")
        super().__init__(env)
        self._recording = Recording(
            log, describer_for(env) if describe is None else describe, lineage=lineage, agent=agent, session=session,
            num_envs=None, group_steps=group_steps, bound=bound,
        )  # fmt: skip
        self._episode = first_episode - 1
        self._number = 0
        self._observation: Any = None

    @property
    def session(self) -> str:
        """The name of the run."""
        return self._recording.session

    @property
    def episode(self) -> int:
        """The number of the episode; of the next one less one before it has begun."""
        return self._episode

    @property
    def counts(self) -> RecordCounts:
        """What has been recorded so far."""
        return self._recording.counts

    @property
    def described(self) -> tuple[Described, ...]:
        """What was said of the latest step."""
        return self._recording.latest

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin the next episode, and record what is said of its beginning. Raises as `step` does."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode += 1
        self._number = 0
        self._observation = None
        self._take(None, observation, 0.0, False, False, info)
        return observation, info

    def step(self, action: object) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step and record what is said of it.

        Raises:
            DescriberFailed: the describer raised, or gave back something else than texts. The environment has taken
                the step; everything recorded before is in the log.
            IdempotencyConflict: this session has recorded another run before.
            LogUnavailable, LogBusy, DiskFull, QueueFull: the step waits in memory and is stored with the next one.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._number += 1
        self._take(action, observation, float(reward), terminated, truncated, info)
        return observation, reward, terminated, truncated, info

    def flush(self) -> None:
        """Store what waits to be stored with others. Raises as `step` does."""
        self._recording.flush()

    def close(self) -> None:
        """Store what waits, then close the environment; the log stays open."""
        try:
            self._recording.flush()
        finally:
            super().close()

    def _take(
        self, action: object, observation: object, reward: float, terminated: bool, truncated: bool,
        info: dict[str, Any],
    ) -> None:  # fmt: skip
        # Environments may use the memory of an observation again, and callers may write into it.
        previous, self._observation = self._observation, copy.deepcopy(observation)
        self._recording.take(
            [
                Step(
                    self._observation, previous, action, reward, bool(terminated), bool(truncated), info, env_index=0,
                    episode=self._episode, number=self._number,
                )
            ]
        )  # fmt: skip
