"""Who acts: a scripted explorer, or chance. The language model is in `model_policy.py`.

Knows: Gymnasium's action spaces and `info["admissible_commands"]`. Refuses to know: what is recorded.
"""

import random
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import gymnasium
from gymnasium.spaces import Text

from agent.environments.minigrid import is_minigrid
from agent.household.env import HouseholdEnv
from agent.household.explorer import Explorer
from memory_log.errors import BadInput

PolicyName = Literal["explorer", "random", "model"]
COMMANDS: Final = "admissible_commands"


class Policy(Protocol):
    """Chooses actions."""

    def choose(self, observation: object, info: Mapping[str, Any]) -> object:
        """The next action."""
        ...


class ExplorerPolicy:
    """The household's scripted explorer: equal for equal seeds."""

    def __init__(self, seed: int) -> None:
        self._explorer = Explorer(seed)

    def choose(self, observation: object, info: Mapping[str, Any]) -> object:
        """The next command."""
        return self._explorer.choose(dict(info))


class RandomPolicy:
    """Chance: one of `info["admissible_commands"]` where the environment names them, else a sample of its actions.

    Args:
        action_space: of the environment.
        seed: decides every choice.
    """

    def __init__(self, action_space: gymnasium.Space[Any], seed: int) -> None:
        self._rng = random.Random(seed)
        self._space = action_space
        self._space.seed(seed)

    def choose(self, observation: object, info: Mapping[str, Any]) -> object:
        """Any action."""
        commands = info.get(COMMANDS) if isinstance(self._space, Text) else None
        return self._rng.choice(commands) if commands else self._space.sample()


def fitting_policies(env: gymnasium.Env[Any, Any]) -> list[PolicyName]:
    """The policies that can act in an environment, the best first."""
    names: list[PolicyName] = ["explorer"] if isinstance(env.unwrapped, HouseholdEnv) else []
    names.append("random")
    return [*names, "model"] if isinstance(env.action_space, Text) or is_minigrid(env) else names


def check_policy(env: gymnasium.Env[Any, Any], name: PolicyName) -> None:
    """Say so when a policy cannot act in an environment.

    Raises:
        BadInput: it cannot; the message names those that can.
    """
    fitting = fitting_policies(env)
    if name not in fitting:
        needs = {
            "explorer": "knows its way about in the household only",
            "model": "needs commands in words: texts as actions, or MiniGrid's",
        }[name]
        inside = type(env.unwrapped).__name__
        raise BadInput(f"the policy {name} {needs}; in {inside} these can act: {', '.join(fitting)}")
