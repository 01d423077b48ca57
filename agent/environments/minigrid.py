"""MiniGrid and BabyAI: what is in view, in words. Needs `selfparam[minigrid]`.

Knows: MiniGrid's encoding of a view, and where in the grid a cell of the view lies. MiniGrid is under Apache 2.0.
Nothing is imported from it before an observation is read.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Text

from agent.environments.steps import Described, Step
from agent.environments.text import COMMAND_CHARSET, MAX_COMMAND_CHARS, MAX_OBSERVATION_CHARS, OBSERVATION_CHARSET
from memory_log.errors import BadInput
from memory_log.records import Fact

PREFIXES: Final = ("MiniGrid-", "BabyAI-")
_TOLD: Final = ("door", "key", "ball", "box", "goal", "lava")
_DIRECTIONS: Final = ((1, 0), (0, 1), (-1, 0), (0, -1))
_ORDINALS: Final = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
)  # fmt: skip
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
IN_HAND: Final = "in my hand"


class Seen(NamedTuple):
    """One object in view: `ahead` and `right` (negative: left) count cells from the agent."""

    name: str
    state: str | None
    """open, closed or locked, of doors."""
    ahead: int
    right: int


def is_minigrid(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether an environment is one of MiniGrid's or BabyAI's."""
    return any(kind.__module__ == "minigrid.minigrid_env" for kind in type(env.unwrapped).__mro__)


class MiniGridPosition(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Puts `agent_position` (column, row) and `agent_direction` into MiniGrid's infos.

    A view says where things are as the agent stands and turns; with its position, `describe_minigrid` can say where
    they are in the grid, which stays true when the agent walks on.

    Raises:
        BadInput: the environment is none of MiniGrid's.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        if not is_minigrid(env):
            raise BadInput(f"got {type(env.unwrapped).__name__}, needed an environment of MiniGrid or BabyAI")
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's, with the position."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, info | self._position()

    def step(self, action: object) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with the position."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, info | self._position()

    def _position(self) -> dict[str, Any]:
        inside: Any = self.env.unwrapped
        column, row = inside.agent_pos
        return {"agent_position": np.array([column, row], dtype=np.int64), "agent_direction": int(inside.agent_dir)}


def in_view(observation: Mapping[str, Any]) -> list[Seen]:
    """The objects of a partial view, the nearest first, without walls and floors; what is carried is at (0, 0).

    Args:
        observation: with `image`, as MiniGrid gives it unless a wrapper changes it.
    """
    from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT, STATE_TO_IDX

    states = {number: name for name, number in STATE_TO_IDX.items()}
    image = observation["image"]
    width, height = image.shape[:2]
    seen = []
    for column, row in np.ndindex(width, height):
        kind, color, state = (int(value) for value in image[column, row])
        name = IDX_TO_OBJECT[kind]
        if name in _TOLD:
            colored = name if name in ("goal", "lava") else f"{IDX_TO_COLOR[color]} {name}"
            is_door = name == "door"
            seen.append(Seen(colored, states[state] if is_door else None, height - 1 - row, column - width // 2))
    return sorted(seen, key=lambda one: (one.ahead + abs(one.right), one))


def view_in_words(observation: Mapping[str, Any]) -> str:
    """Mission and view in a text: `My mission: go to the red ball. I see a red ball 2 ahead and 1 to the left.`"""
    lines = [f"My mission: {observation['mission']}."]
    lines += [_relative(one) for one in in_view(observation)]
    return " ".join(lines if len(lines) > 1 else [*lines, "I see nothing."])


def _relative(one: Seen) -> str:
    if (one.ahead, one.right) == (0, 0):
        return f"I carry the {one.name}."
    ahead = f"{one.ahead} ahead" if one.ahead else ""
    side = f"{abs(one.right)} to the {'right' if one.right > 0 else 'left'}" if one.right else ""
    named = _with_article(f"{one.state} {one.name}" if one.state else one.name)
    return f"I see {named} {' and '.join(part for part in (ahead, side) if part)}."


def _with_article(name: str) -> str:
    return name if name == "lava" else f"an {name}" if name.startswith("o") else f"a {name}"


def describe_minigrid(step: Step) -> Iterator[Described | str]:
    """The mission, and where each object in view is.

    With `MiniGridPosition` around the environment places are rows and columns of the grid, as facts: (`red ball`,
    `place`, `in the third row fifth column`), and doors have a (`red door`, `state`, `locked`); of objects that look
    alike, nothing is told, because nobody could say later which of them is meant. Without it only the view can be told
    (`2 ahead and 1 to the left`), which is true for one step, and no facts are given.
    """
    if step.is_first:
        yield f"My mission is to {step.observation['mission']}."
    seen = in_view(step.observation)
    if "agent_position" not in step.info:
        yield from map(_relative, seen)
        return
    num_alike = Counter(one.name for one in seen)
    for one in seen:
        if num_alike[one.name] > 1:
            continue
        # What is carried is shown where the agent stands; what it stands on is not.
        place = IN_HAND if (one.ahead, one.right) == (0, 0) else _place(one, step.info)
        fact = Fact(subject=one.name, relation="place", value=place)
        yield Described(text=f"The {one.name} is {place}.", facts=(fact,))
        if one.state is not None:
            state = Fact(subject=one.name, relation="state", value=one.state)
            yield Described(text=f"The {one.name} is {one.state}.", facts=(state,))


def _place(one: Seen, info: Mapping[str, Any]) -> str:
    column, row = (int(value) for value in info["agent_position"])
    ahead_x, ahead_y = _DIRECTIONS[int(info["agent_direction"])]
    right_x, right_y = -ahead_y, ahead_x
    x = column + one.ahead * ahead_x + one.right * right_x
    y = row + one.ahead * ahead_y + one.right * right_y
    return place_in_words(x, y)


def place_in_words(column: int, row: int) -> str:
    """A cell of the grid, such as `in the third row fifth column`; the upper left wall is in the first of both.

    In words and without a comma, so that the embedded model reads it too: it looks like a place in a room.

    Args:
        column, row: as MiniGrid counts them, from 0.
    """
    return f"in the {_ordinal(row + 1)} row {_ordinal(column + 1)} column"


def _ordinal(number: int) -> str:
    """`third`, `twenty-first`; above ninety-ninth in digits, `100th`."""
    if number < 20:
        return _ORDINALS[number - 1]
    tens, ones = divmod(number, 10)
    if tens > 9:
        return f"{number}th"
    return f"{_TENS[tens - 2]}-{_ORDINALS[ones - 1]}" if ones else f"{_TENS[tens - 2][:-1]}ieth"


class MiniGridInWords(gymnasium.Wrapper[Any, str, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """MiniGrid as a text environment, for models that read and write: views in words, actions by name.

    `info["admissible_commands"]` names the actions: left, right, forward, pickup, drop, toggle, done. Any other command
    costs a step and does nothing. Goes around a recorder, which sees the original observations then.

    Raises:
        BadInput: the environment is none of MiniGrid's.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        if not is_minigrid(env):
            raise BadInput(f"got {type(env.unwrapped).__name__}, needed an environment of MiniGrid or BabyAI")
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.observation_space = Text(MAX_OBSERVATION_CHARS, charset=OBSERVATION_CHARSET)
        self.action_space = Text(MAX_COMMAND_CHARS, charset=COMMAND_CHARSET)
        inside: Any = env.unwrapped
        self._numbers = {action.name: action.value for action in inside.actions}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """As the environment's, in words."""
        observation, info = self.env.reset(seed=seed, options=options)
        return view_in_words(observation), info | {"admissible_commands": tuple(self._numbers)}

    def step(self, action: str) -> tuple[str, Any, bool, bool, dict[str, Any]]:
        """As the environment's, in words."""
        number = self._numbers.get(action.strip().lower(), self._numbers["done"])
        observation, reward, terminated, truncated, info = self.env.step(number)
        info = info | {"admissible_commands": tuple(self._numbers)}
        return view_in_words(observation), reward, terminated, truncated, info
