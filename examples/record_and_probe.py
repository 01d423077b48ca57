"""Record a life in an environment, and get questions with known answers for free.

    python examples/record_and_probe.py                                          # the household, by its explorer
    python examples/record_and_probe.py --env BabyAI-GoToLocal-v0                # needs selfparam[minigrid]

Any Gymnasium environment takes the place of these two with a function of your own from a `Step` to a text. What is
recorded in ./my-agent is learned by `selfparam --home my-agent update`, or by `selfparam learn` as it comes.
"""

import argparse
from collections import Counter

from agent.environments.living import live, make_environment
from agent.environments.policies import ExplorerPolicy, Policy, RandomPolicy, fitting_policies
from agent.environments.probing import probes_of
from agent.environments.recorder import ExperienceRecorder
from agent.home import Home

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--env", default="selfparam/Household-v0")
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

env = make_environment(options.env, arguments={}, max_steps=options.steps, video=None)
has_explorer = "explorer" in fitting_policies(env)
policy: Policy = ExplorerPolicy(options.seed) if has_explorer else RandomPolicy(env.action_space, options.seed)

with Home.open("my-agent").open_log() as log, ExperienceRecorder(env, log) as recorder:
    for episode in live(recorder, policy, num_episodes=1, seed=options.seed):
        print(f"episode {episode.number}: {episode.num_steps} steps, {episode.num_experiences} experiences")
    lived = log.experiences("default", limit=10_000)
    lived = [one for one in lived if one.session.startswith(recorder.session)]
    probes = probes_of(lived, seed=options.seed)
    log.add_probes(probes)

print(f"{len(probes)} probes, by relation: {dict(Counter(probe.relation for probe in probes))}")
for experience in lived[:3]:
    print(f"  {experience.text}")
for probe in probes[:3]:
    print(f"  {probe.question}   {probe.answer}")
