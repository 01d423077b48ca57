"""Agents in environments: steps become experiences.

Importing this package registers `selfparam/Household-v0`, `selfparam/TextWorld-v0` and `selfparam/ScienceWorld-v0` with
Gymnasium; the last two need their extras.
"""

from gymnasium.envs.registration import register

import agent.household  # noqa: F401  # registers its environment

TEXTWORLD_ID = "selfparam/TextWorld-v0"
SCIENCEWORLD_ID = "selfparam/ScienceWorld-v0"

register(id=TEXTWORLD_ID, entry_point="agent.environments.textworld:TextWorldEnv")
register(id=SCIENCEWORLD_ID, entry_point="agent.environments.scienceworld:ScienceWorldEnv")
