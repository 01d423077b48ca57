"""What `selfparam` understands: commands, options, their defaults, and the help that teaches them.

Knows argparse. Refuses to know what a command does.
"""

import argparse
import importlib.metadata
from collections.abc import Sequence
from typing import NoReturn, get_args

from agent import commands
from agent.cli_arguments import (
    WideHelp,
    add_command,
    add_global_options,
    add_json,
    add_plain,
    positive,
    utf8,
    whole,
)
from agent.cli_parser_copies import add_copies
from agent.cli_parser_doctor import add_doctor
from agent.cli_parser_log import add_log
from agent.cli_parser_models import add_models
from agent.cli_parser_relearn import add_relearn
from agent.cli_parser_run import add_run
from agent.cli_parser_serve import add_serve
from agent.cli_parser_sessions import add_live
from agent.cli_parser_settings import add_settings, add_settings_options
from agent.cli_parser_study import add_study
from agent.cli_parser_versions import add_versions
from agent.cli_parser_why import add_why
from memory_log.records import ClaimOrder

DESCRIPTION = """\
An agent's memory that ends up in its weights. What you tell it goes into a durable log; an update turns what is new
in the log into a new version of the model (SELF-PARAM: the model learns to answer without its notes as it would have
with them); from then on it answers from its weights alone. Every version stays there to be asked, and to go back to.
"""

EPILOG = """\
an example session:
  $ selfparam tell "I put the red mug in the kitchen drawer."
  experience 1 pending
  $ selfparam ask "Where is the red mug?"
  the red mug is somewhere unknown   (version 0)
  $ selfparam update
  version 1 has learned 1 experience
  $ selfparam ask "Where can I find the red mug?"
  the red mug is in the kitchen drawer   (version 1)
  $ selfparam ask --version 0 "Where is the red mug?"
  the red mug is somewhere unknown   (version 0)
  $ selfparam rollback 0

environment variables:
  SELFPARAM_HOME    home folder when --home is not given
  OMP_NUM_THREADS   CPU threads that an update may use (default: one per core)
  HF_HOME           where Hugging Face keeps models that --model names by id
  HF_HUB_OFFLINE    1 uses only models that are there already

exit codes:
  0    done; also when there was nothing to update
  1    it failed: the update was refused or is paused, another one is running, a file is damaged, disk or memory is full
  2    wrong usage: bad input, no such version, not a model, another model than the home's
  130  interrupted with Ctrl-C; nothing is lost
  141  the reader of the output went away

`selfparam COMMAND --help` tells more about each command. The global options may stand before or after it.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; documentation tests walk it."""
    parser = argparse.ArgumentParser(
        prog="selfparam", description=DESCRIPTION, epilog=EPILOG, formatter_class=WideHelp, allow_abbrev=False
    )
    parser.add_argument("--version", action=_ShowRelease, help="print the release and exit")
    add_global_options(parser.add_argument_group("global options"), is_default=True)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_talking(subparsers)
    _add_learning(subparsers)
    add_log(subparsers)
    add_run(subparsers)
    add_live(subparsers)
    add_serve(subparsers)
    add_relearn(subparsers)
    add_versions(subparsers)
    add_why(subparsers)
    add_copies(subparsers)
    add_doctor(subparsers)
    add_models(subparsers)
    add_settings(subparsers)
    add_study(subparsers)
    _add_demo(subparsers)
    return parser


def _add_talking(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tell = add_command(
        subparsers, "tell", commands.tell, "store what happened",
        "Store experiences in the log. They are on disk when this returns, and pending until an update learns them.\n"
        "Either all texts are stored or none.",
    )  # fmt: skip
    tell.add_argument(
        "text", nargs="+", metavar="TEXT", help="one experience, up to 16 KiB; - reads one a line from standard input"
    )
    tell.add_argument(
        "--fact", nargs=3, action="append", default=[], type=utf8, metavar=("SUBJECT", "RELATION", "VALUE"),
        help='what the text states, if you know it, such as: --fact "red mug" location "kitchen drawer". Later facts '
        "about the same subject and relation replace earlier ones. May be repeated (default: none)",
    )  # fmt: skip
    tell.add_argument(
        "--key", type=utf8, help="makes telling twice harmless: a key that is there stores nothing new (default: none)"
    )
    ask = add_command(
        subparsers, "ask", commands.ask, "ask a question",
        "Answer a question from the weights alone, without looking anything up. The answer names its version.",
    )  # fmt: skip
    ask.add_argument("question", type=utf8, metavar="QUESTION", help="the question")
    ask.add_argument(
        "--version", type=whole, dest="number", metavar="N", help="ask version N (default: the one that serves)"
    )
    add_json(ask, "print one JSON object: question, answer, version, known")


def _add_learning(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    update = add_command(
        subparsers, "update", commands.update, "learn what is pending",
        "Turn what is pending into a new version of the weights, which serves if the gate admits it.\n"
        "Prints the efficacy (share of held-out sentences answered as they would be with notes), the KL divergence\n"
        "from the answers with notes before and after, in nats a token, and the seconds that it took.\n"
        "Ctrl-C is safe: the experiences wait for the next update.",
    )  # fmt: skip
    update.add_argument(
        "--limit", type=positive, metavar="N", help="learn at most N experiences (default: 8)"
    )
    update.add_argument(
        "--order", choices=get_args(ClaimOrder), default="oldest",
        help="which come first: the oldest, those of the highest priority, or the most surprising (default: oldest)",
    )  # fmt: skip
    update.add_argument(
        "--anchors", type=utf8, metavar="PATH",
        help="text file (.txt, .jsonl) or folder of unrelated text, on which the model must not move "
        "(default: what the home's config.json names, else what suits the model)",
    )  # fmt: skip
    update.add_argument(
        "--dry-run", action="store_true", dest="is_dry_run",
        help="show what this update would learn, refuse and replace, up to training; store nothing (default: update)",
    )  # fmt: skip
    add_settings_options(update)
    add_plain(update)
    rollback = add_command(
        subparsers, "rollback", commands.rollback, "let an earlier version serve again",
        "Let version N serve again. Experiences that only later versions know are pending again; the next update\n"
        "goes on from N. Nothing is deleted: a rollback to the later version brings it back.",
    )  # fmt: skip
    rollback.add_argument("number", type=whole, metavar="N", help="number of an admitted version: see `versions`")


def _add_demo(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = add_command(
        subparsers, "demo", commands.demo, "watch an agent come to know its house",
        "An agent lives in a made-up house, a worker turns what it experiences into weights, and a client keeps\n"
        "asking while new versions are swapped in. Takes some minutes on two cores. Ends with a table, the retention\n"
        "matrix as a picture and summary.json. It has a home of its own: --home and --lineage change nothing here.",
    )  # fmt: skip
    demo.add_argument("--updates", type=positive, default=8, metavar="N", help="number of updates (default: 8)")
    demo.add_argument(
        "--experiences-per-update", type=positive, default=5, metavar="N", help="experiences in each (default: 5)"
    )
    demo.add_argument("--seed", type=whole, default=0, help="seed of house, agent and updates (default: 0)")
    demo.add_argument("--out", metavar="DIR", help="folder for the results (default: chosen and printed)")
    add_plain(demo)


class _ShowRelease(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        try:
            release = importlib.metadata.version("selfparam")
        except importlib.metadata.PackageNotFoundError:
            release = "run from its sources, not installed"
        print(f"selfparam {release}")
        parser.exit()
