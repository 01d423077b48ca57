"""What `selfparam run` does: an agent lives in an environment, and what it experiences goes into the log.

Knows: putting environment, recorder, policy and display together. Refuses to know: how any of them works.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.cli_display import UpdateProgress, count
from agent.commands import Options
from agent.home import Home
from memory_log.errors import NothingPending

if TYPE_CHECKING:  # Gymnasium and torch take seconds to load, which `--help` need not wait for
    import gymnasium

    from agent.environments.living import Episode
    from agent.environments.policies import Policy, PolicyName
    from agent.environments.recorder import ExperienceRecorder
    from agent.memory import AgentMemory


class _Life(NamedTuple):
    """All that acts and records."""

    recorder: "ExperienceRecorder"
    policy: "Policy"
    policy_name: "PolicyName"
    outside: "Sequence[type[gymnasium.Wrapper[Any, Any, Any, Any]]]"
    """Wrappers around the recorder, for the policy's eyes."""
    memory: "AgentMemory | None"
    """Of a policy that asks it, or where there is learning."""


def run(options: Options) -> int:
    """Live the episodes; print a line for each and the sum."""
    from agent.environments.living import live

    with ExitStack() as stack, _kept_stdout() as say:
        life = _prepared(options, stack)
        progress = stack.enter_context(UpdateProgress(is_plain=options.is_plain or not say.is_terminal))
        watch = _watch(progress, options.episodes, _limit(life.recorder, options))
        episodes: list[Episode] = []
        for episode in live(
            life.recorder, life.policy, num_episodes=options.episodes, seed=options.seed,
            is_same_world=options.is_same_world, options=dict(options.reset_options), outside=life.outside, watch=watch,
        ):  # fmt: skip
            episodes.append(episode)
            watch(len(episodes) + 1, 0)  # an episode that ended early is over too
            if not options.is_json:
                say(_in_words(episode))
            if life.memory is not None and options.learn_every and len(episodes) % options.learn_every == 0:
                _learn(life.memory, progress, lambda line: None if options.is_json else say(line))
        life.recorder.flush()
        _print_sum(say, options, life.policy_name, life.recorder, episodes)
    return 0


def _prepared(options: Options, stack: ExitStack) -> _Life:
    from agent.environments.describers import describer_for
    from agent.environments.living import find_describer, import_module, make_environment
    from agent.environments.minigrid import MiniGridInWords, is_minigrid
    from agent.environments.policies import check_policy, fitting_policies
    from agent.environments.recorder import ExperienceRecorder

    for module in options.imports:
        import_module(module)
    describe = None if options.describer is None else find_describer(options.describer)
    video = None if options.video is None else Path(options.video).expanduser()
    env = make_environment(
        options.env_id, arguments=dict(options.env_arguments), max_steps=options.max_steps, video=video
    )
    stack.callback(env.close)
    policy_name: PolicyName = options.policy or fitting_policies(env)[0]
    check_policy(env, policy_name)
    describe = describe or describer_for(env, is_same_world=options.is_same_world)
    home = Home.open(options.home, model=options.model)
    memory = _memory(options, stack) if policy_name == "model" or options.learn_every else None
    log = memory.log if memory is not None else stack.enter_context(home.open_log())
    recorder = ExperienceRecorder(
        env, log, describe, lineage=options.lineage, session=options.session, first_episode=options.first_episode
    )
    stack.callback(recorder.close)
    is_read = policy_name == "model" and is_minigrid(env)
    policy = _policy(policy_name, recorder, memory, options)
    return _Life(recorder, policy, policy_name, [MiniGridInWords] if is_read else [], memory)


class _Say:
    """Prints lines where standard output was before environments were kept from it."""

    def __init__(self) -> None:
        self._stdout = sys.stdout
        self.is_terminal = self._stdout.isatty()

    def __call__(self, line: str) -> None:
        # On a terminal the live display takes over sys.stdout, and prints above itself what is written there.
        print(line, file=sys.stdout if self.is_terminal else self._stdout, flush=True)


@contextmanager
def _kept_stdout() -> Iterator[_Say]:
    """Some environments print; what this command says must stay readable by programs."""
    say = _Say()
    with redirect_stdout(sys.stderr):
        yield say


def _memory(options: Options, stack: ExitStack) -> "AgentMemory":
    from agent.memory import AgentMemory

    return stack.enter_context(
        AgentMemory.open(options.home, model=options.model, lineage=options.lineage, device=options.device)
    )


def _policy(
    name: "PolicyName", recorder: "ExperienceRecorder", memory: "AgentMemory | None", options: Options
) -> "Policy":
    from agent.environments.policies import ExplorerPolicy, RandomPolicy

    if name == "explorer":
        return ExplorerPolicy(options.seed)
    if name == "random":
        return RandomPolicy(recorder.action_space, options.seed)
    from agent.environments.model_policy import ModelPolicy

    assert memory is not None, "opened for this policy"
    return ModelPolicy(memory, temperature=options.temperature, seed=options.seed)


def _limit(env: "gymnasium.Env[Any, Any]", options: Options) -> int | None:
    """The most steps of an episode, where they are known."""
    named = options.max_steps or (env.spec.max_episode_steps if env.spec is not None else None)
    own = getattr(env.unwrapped, "max_steps", None)
    limits = [limit for limit in (named, own) if isinstance(limit, int) and limit > 0]
    return min(limits, default=None)


def _watch(progress: UpdateProgress, num_episodes: int, limit: int | None) -> Callable[[int, int], None]:
    def watch(episode: int, step: int) -> None:
        if limit is None:
            progress("living (episodes)", episode - 1, num_episodes)
        else:
            progress("living (steps)", (episode - 1) * limit + min(step, limit), num_episodes * limit)

    return watch


def _learn(memory: "AgentMemory", progress: UpdateProgress, say: Callable[[str], None]) -> None:
    """Learn all that is pending, in as many updates as that takes."""
    while True:
        try:
            report = memory.update(progress=progress)
        except NothingPending:
            return
        learned = report.num_experiences - report.num_refused
        version = f"version {report.version} has learned" if report.version is not None else "no new version:"
        say(f"{version} {count(learned, 'experience')}, {report.num_refused} refused, efficacy {report.efficacy:.2f}")
        if report.leaves_all_waiting:
            say(f"what is pending waits, since the same update would come next: {report.reason}")
            return


def _in_words(episode: "Episode") -> str:
    known = f", {episode.num_known} of them known" if episode.num_known else ""
    return (
        f"episode {episode.number}: {count(episode.num_steps, 'step')}, {episode.ended}, reward {episode.reward:g}, "
        f"{count(episode.num_experiences, 'experience')}{known}"
    )


def _print_sum(
    say: _Say, options: Options, policy: str, recorder: "ExperienceRecorder", episodes: "list[Episode]"
) -> None:
    counts = recorder.counts
    num_steps = sum(episode.num_steps for episode in episodes)
    if options.is_json:
        fields = {
            "environment": options.env_id, "policy": policy, "seed": options.seed, "lineage": options.lineage,
            "session": recorder.session, "steps": num_steps, "experiences": counts.num_experiences,
            "known": counts.num_known, "episodes": [episode._asdict() for episode in episodes],
        }  # fmt: skip
        say(json.dumps(fields))
        return
    known = f", {counts.num_known} of them known from an earlier run" if counts.num_known else ""
    say(
        f"{count(len(episodes), 'episode')}, {count(num_steps, 'step')}: {count(counts.num_experiences, 'experience')} "
        f"recorded{known} in lineage {options.lineage!r}, session {recorder.session!r}"
    )
    if not counts.num_experiences:
        say("nothing was worth recording; see docs/environments.md about describers")


