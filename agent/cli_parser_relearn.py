"""The arguments of `selfparam relearn`. Knows argparse. Refuses to know what the command does."""

import argparse

from agent import commands_relearn
from agent.cli_arguments import add_command, add_plain, positive


def add_relearn(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `relearn`."""
    relearn = add_command(
        subparsers, "relearn", commands_relearn.relearn, "learn anew without an experience",
        "Bring the weights to where they would never have known an experience. Forgetting takes its text out of the\n"
        "log; what is in the weights stays there. This goes back to the last version that does not know it, learns\n"
        "anew what was learned since, batch by batch and without it, and retires the versions that know it. It says\n"
        "first what that costs and what it leaves, and asks. An experience that is not forgotten yet is forgotten.\n"
        "Ctrl-C is safe: what is not learned anew yet is pending.\n\n"
        "  $ selfparam relearn --without 3 --dry-run",
    )  # fmt: skip
    relearn.add_argument(
        "--without", type=positive, action="append", required=True, metavar="ID",
        help="the experience; may be repeated (default: none, give at least one)",
    )  # fmt: skip
    relearn.add_argument(
        "--dry-run", action="store_true", dest="is_dry_run",
        help="say what it costs and leaves, change nothing (default: no)",
    )  # fmt: skip
    relearn.add_argument("--yes", action="store_true", dest="is_sure", help="do not ask (default: ask)")
    add_plain(relearn)
