"""The arguments of `selfparam run`. Knows argparse, as `cli_parser` does."""

import argparse

from agent import commands_run
from agent.cli_arguments import add_command, add_json, add_plain, name_and_value, not_negative, positive, utf8, whole


def add_run(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this command."""
    parser = add_command(
        subparsers, "run", commands_run.run, "let an agent live in an environment",
        "Let an agent act in a Gymnasium environment, and store what it experiences as it goes. Each step is on disk\n"
        "before the next is taken. Learns nothing by itself: see --learn-every, and `learn`.\n\n"
        "  $ selfparam run --env selfparam/Household-v0 --episodes 2 --steps 100\n"
        "  $ selfparam run --env BabyAI-GoToLocal-v0 --episodes 50 --same-world   (needs selfparam[minigrid])\n"
        "  $ selfparam run --env mypackage:MyEnv-v0 --describe mypackage:describe",
    )  # fmt: skip
    _add_environment(parser)
    _add_life(parser)
    add_json(parser, "print one JSON object at the end: environment, policy, session, counts, episodes")
    add_plain(parser)


def _add_environment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env", dest="env_id", required=True, type=utf8, metavar="ID",
        help="the environment's id as Gymnasium takes it, also module:ID (default: none, it must be given)",
    )  # fmt: skip
    parser.add_argument(
        "--import", dest="imports", action="append", default=[], type=utf8, metavar="MODULE",
        help="import a module first, which registers environments. May be repeated (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--env-arg", dest="env_arguments", action="append", default=[], type=name_and_value, metavar="NAME=VALUE",
        help="an argument of the environment, such as task=boil. May be repeated (default: the environment's)",
    )  # fmt: skip
    parser.add_argument(
        "--option", dest="reset_options", action="append", default=[], type=name_and_value, metavar="NAME=VALUE",
        help="an option of every reset, such as num_things=20. May be repeated (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--describe", dest="describer", type=utf8, metavar="MODULE:FUNCTION",
        help="puts steps into words (default: what fits the environment, and only news)",
    )  # fmt: skip
    parser.add_argument(
        "--video", type=utf8, metavar="DIR",
        help="a new folder for a film of each episode; needs selfparam[video] (default: no films)",
    )  # fmt: skip


def _add_life(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--episodes", type=positive, default=1, metavar="N", help="episodes to live (default: 1)")
    parser.add_argument(
        "--steps", dest="max_steps", type=positive, metavar="M",
        help="end an episode after M steps (default: when the environment does)",
    )  # fmt: skip
    parser.add_argument(
        "--policy", choices=["explorer", "random", "model"],
        help="who acts: the household's scripted explorer, chance, or the language model, which chooses among the "
        "commands that the environment offers (default: explorer in the household, random elsewhere)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=not_negative, default=0.0, metavar="T",
        help="of the policy model: 0 takes the likeliest command, more draws (default: 0)",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole, default=0, help="seed of environment and policy (default: 0)")
    parser.add_argument(
        "--same-world", action="store_true", dest="is_same_world",
        help="begin every episode with the same seed, in the same world (default: each in a world of its own)",
    )  # fmt: skip
    parser.add_argument(
        "--session", type=utf8, metavar="NAME",
        help="name of this run; the same command with the same name again, such as after a crash, stores each step "
        "once (default: a new name)",
    )  # fmt: skip
    parser.add_argument(
        "--first-episode", type=positive, default=1, metavar="N",
        help="number of the first episode, to go on in a session with another seed (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--learn-every", type=positive, metavar="K",
        help="after every K episodes, learn all that is pending, in this process (default: only record)",
    )  # fmt: skip
