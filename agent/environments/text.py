"""Environments whose observations are texts: the describer for all of them, and old ones made new.

Knows: Gymnasium's interface, and the one that came before it. Refuses to know: any single game.
"""

import re
import string
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol

import gymnasium
import numpy as np
from gymnasium.spaces import Text

from agent.environments.steps import Description, Step

MAX_COMMAND_CHARS: Final = 200
MAX_OBSERVATION_CHARS: Final = 16000
COMMAND_CHARSET: Final = string.ascii_letters + string.digits + " '.,?!-"
_QUOTES: Final = "\u2013\u2014\u2018\u2019\u201c\u201d\u2026"  # dashes, quotation marks, an ellipsis
OBSERVATION_CHARSET: Final = "\n" + "".join(map(chr, [*range(0x20, 0x7F), *range(0xA1, 0x250)])) + _QUOTES
_STRANGE: Final = re.compile(f"[^{re.escape(OBSERVATION_CHARSET)}]")


def describe_text(step: Step) -> Description:
    """What was read, after what was done: `I did "open door". The door is now open.` Without facts.

    Raises:
        TypeError: the observation is no text.
    """
    if not isinstance(step.observation, str):
        raise TypeError(f"describe_text needs observations that are texts, got {type(step.observation).__name__}")
    read = step.observation.strip()
    return f'I did "{step.action}". {read}' if read and not step.is_first else read


class OldGame(Protocol):
    """A game with the interface of before Gymnasium: `done` does not say whether the game or the time is over."""

    def reset(self) -> tuple[str, dict[str, Any]]:
        """Begin; an observation and infos."""
        ...

    def step(self, command: str, /) -> tuple[str, float, bool, dict[str, Any]]:
        """Carry out a command; observation, reward, done and infos."""
        ...


class OldTextEnv(gymnasium.Env[str, str]):
    """A text game with 4-tuples as a Gymnasium environment.

    `done` is split by the step limit: before the limit it is `terminated`; at the limit the episode is `truncated`, and
    `terminated` as well only where `is_over` says so of its infos.

    Args:
        begin: gives the game of an episode, from its random generator; called at every reset.
        max_steps: steps until truncation, at least 1. Give the game a limit above it, or none.
        is_over: whether infos say that the game itself has ended.

    Example: OldTextEnv(lambda rng: my_game, max_steps=100)
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 4}  # type: ignore[misc]  # not ClassVar in the base

    def __init__(
        self,
        begin: Callable[[np.random.Generator], OldGame],
        *,
        max_steps: int,
        is_over: Callable[[Mapping[str, Any]], bool] = lambda infos: False,
        render_mode: str | None = None,
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"got max_steps={max_steps}, needed at least 1")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"got render_mode={render_mode!r}, needed 'ansi' or None")
        self.max_steps, self.render_mode = max_steps, render_mode
        self.action_space = Text(MAX_COMMAND_CHARS, charset=COMMAND_CHARSET)
        self.observation_space = Text(MAX_OBSERVATION_CHARS, min_length=0, charset=OBSERVATION_CHARSET)
        self._begin, self._is_over = begin, is_over
        self._game: OldGame | None = None
        self._num_steps = 0
        self._observation = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin a game."""
        super().reset(seed=seed)
        self._game = self._begin(self.np_random)
        self._num_steps = 0
        observation, infos = self._game.reset()
        self._observation = in_space(observation)
        return self._observation, infos

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Carry out one command.

        Raises:
            gymnasium.error.ResetNeeded: no game has begun.
        """
        if self._game is None:
            raise gymnasium.error.ResetNeeded("got a command before the game began: call reset() first")
        observation, reward, done, infos = self._game.step(action)
        self._num_steps += 1
        is_late = self._num_steps >= self.max_steps
        terminated = self._is_over(infos) or (done and not is_late)
        self._observation = in_space(observation)
        return self._observation, float(reward), bool(terminated), is_late, infos

    def render(self) -> str | None:
        """The latest observation, in render mode `ansi`."""
        return self._observation if self.render_mode == "ansi" else None


def in_space(observation: str) -> str:
    """A game's text without blanks at its ends, other letters than the space's as `?`, cut to the space's length."""
    return _STRANGE.sub("?", observation.strip().replace("\t", " "))[:MAX_OBSERVATION_CHARS]
