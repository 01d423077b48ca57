"""Describers that work for many environments, and which describer fits which environment.

Knows: texts, and the household's own experiences. What knows MiniGrid, TextWorld or ScienceWorld lies in their modules.
"""

from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.spaces import Text

from agent.environments.minigrid import describe_minigrid, is_minigrid
from agent.environments.scienceworld import ScienceWorldEnv, describe_scienceworld
from agent.environments.steps import Describe, Described, OnlyNews, Step
from agent.environments.text import describe_text
from agent.environments.textworld import TextWorldEnv, describe_textworld
from agent.household.env import HouseholdEnv
from memory_log.errors import BadInput
from memory_log.records import Fact


def describe_household(step: Step) -> Iterator[Described]:
    """All that was perceived in a step of the household, with the facts that it states."""
    for event in step.info["experiences"]:
        yield Described(text=event["text"], facts=tuple(Fact(**fact) for fact in event["facts"]))


def describer_for(env: gymnasium.Env[Any, Any], *, is_same_world: bool = False) -> Describe:
    """The describer that fits an environment; it says only news.

    Household, MiniGrid and BabyAI, TextWorld and ScienceWorld have their own; other environments with texts as
    observations get `describe_text`.

    Args:
        env: a single environment.
        is_same_world: whether what was said in earlier episodes is no news, because they were in the same world.

    Raises:
        BadInput: what this environment's observations mean, only its user can say.
    """
    return OnlyNews(_describer_for(env), over_episodes=is_same_world)


def _describer_for(env: gymnasium.Env[Any, Any]) -> Describe:
    inside = env.unwrapped
    if isinstance(inside, HouseholdEnv):
        return describe_household
    if isinstance(inside, TextWorldEnv):
        return describe_textworld
    if isinstance(inside, ScienceWorldEnv):
        return describe_scienceworld
    if is_minigrid(env):
        return describe_minigrid
    if isinstance(env.observation_space, Text):
        return describe_text
    raise BadInput(
        f"nobody knows how to put the observations of {type(inside).__name__} into words ({env.observation_space}); "
        "write a function from a Step to a text and give it as describe (on the command line, --describe "
        "module:function)"
    )
