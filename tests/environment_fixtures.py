"""What the tests of recorders share: small environments of every kind, and logs to record them into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Text

from agent.environments.steps import Step
from memory_log.log import MemoryLog
from memory_log.records import Experience

LETTERS = "abcdefghijklmnopqrstuvwxyz 0123456789"


class Corridor(gymnasium.Env[Any, Any]):
    """A walk along numbered doors: ends at the fourth, is cut off after `max_steps`. Action 1 goes on, 0 stays.

    Args:
        kind: of the observations: `text`, `dict` or `array`.
        max_steps: steps until truncation.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self, kind: str = "array", max_steps: int = 6) -> None:
        self.kind, self.max_steps = kind, max_steps
        self.action_space = Discrete(2)
        name = Text(40, charset=LETTERS)
        box = Box(0, 100, (2,), np.float32)
        self.observation_space = {
            "array": box, "text": name, "dict": Dict({"door": box, "name": name})
        }[kind]  # fmt: skip

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.door, self.num_steps = 0, 0
        self.house = int(self.np_random.integers(10))
        return self._observation(), {"house": self.house, "things": [f"bell {self.house}"]}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.door += int(action)
        self.num_steps += 1
        info = {"house": self.house, "things": [f"bell {self.house}", f"door {self.door}"]}
        return self._observation(), float(action), self.door == 4, self.num_steps >= self.max_steps, info

    def _observation(self) -> object:
        array = np.array([self.house, self.door], dtype=np.float32)
        name = f"door {self.door} of house {self.house}"
        return {"array": array, "text": name, "dict": {"door": array, "name": name}}[self.kind]


def where(step: Step) -> str:
    """Says where a step led, from where, whatever the kind of observation."""
    return f"{door(step.previous_observation)} to {door(step.observation)} with {len(step.info['things'])} things"


def door(observation: str | dict[str, Any] | np.ndarray | None) -> str:
    """House and door of an observation; `nowhere` when there is none."""
    if observation is None:
        return "nowhere"
    if isinstance(observation, str):
        words = observation.split()
        return f"{words[-1]}.{words[1]}"
    house, number = observation["door"] if isinstance(observation, dict) else observation
    return f"{house:.0f}.{number:.0f}"


@contextmanager
def opened_log(folder: Path) -> Iterator[MemoryLog]:
    """A log in a folder."""
    with MemoryLog(f"sqlite:///{folder}/log.sqlite3") as log:
        yield log


def recorded(log: MemoryLog, lineage: str = "default") -> list[Experience]:
    """All that a log has, in order."""
    return log.experiences(lineage, limit=10_000)


def told(log: MemoryLog, lineage: str = "default") -> list[tuple[str, int | None, str]]:
    """Session, step and text of all that a log has, in order."""
    return [(one.session, one.step, one.text) for one in recorded(log, lineage)]
