"""Live in the household for a while and print what is experienced.

    python examples/household_gym.py --steps 20 --seed 0

Shows the environment as Gymnasium users know it: first a policy that picks any sensible command, then the scripted
explorer. What the explorer yields are the arguments of `memory_log.records.NewExperience`.
"""

import argparse
import random

import gymnasium

import agent.household  # noqa: F401  # registers the environment
from agent.household.explorer import explore
from memory_log.records import NewExperience


def wander(num_steps: int, seed: int) -> None:
    """The ordinary loop: reset, choose, step."""
    rng = random.Random(seed)
    env = gymnasium.make("selfparam/Household-v0", max_steps=num_steps)
    observation, info = env.reset(seed=seed, options={"num_rooms": 4, "num_things": 20})
    print(observation, end="\n\n")
    ended = False
    while not ended:
        command = rng.choice(info["admissible_commands"])
        observation, reward, terminated, truncated, info = env.step(command)
        ended = terminated or truncated
        print(f"> {command}    [{reward:.0f} news]\n{observation}\n")


def follow_the_explorer(num_steps: int, seed: int) -> None:
    """The most informative experience of each step, with the facts it states."""
    env = gymnasium.make("selfparam/Household-v0", max_steps=num_steps)
    for fields in explore(env, seed=seed):
        experience = NewExperience(**fields)
        facts = "; ".join(f"{fact.subject} / {fact.relation} / {fact.value}" for fact in experience.facts)
        print(f"{experience.step:4}  {experience.text}   ({facts})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="steps of each of the two policies")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wander(options.steps, options.seed)
    follow_the_explorer(options.steps, options.seed)
