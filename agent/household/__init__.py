"""A household to live in: its language, its simulation and its Gymnasium environment.

Importing this package registers `selfparam/Household-v0`, so that `gymnasium.make` finds it.
"""

from gymnasium.envs.registration import register

ENVIRONMENT_ID = "selfparam/Household-v0"

register(id=ENVIRONMENT_ID, entry_point="agent.household.env:HouseholdEnv")
