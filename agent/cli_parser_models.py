"""What `selfparam check-model` understands."""

import argparse

from agent import commands_models
from agent.cli_arguments import add_command, add_json, add_plain, utf8


def add_models(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands about models to the parser."""
    check = add_command(
        subparsers, "check-model", commands_models.check_model, "measure whether a model can be used",
        "Measure what a model can do here, in under a minute for a small one: whether it reads notes in its prompt,\n"
        "lets the latest count, asks about them, says `unknown` when it does not know, and how far short updates at\n"
        "three learning rates move it. Ends with the settings to use. Leaves nothing behind; --home and --lineage\n"
        "change nothing here. Exit code 1 says that the model cannot be used.",
    )  # fmt: skip
    check.add_argument(
        "checked_model", nargs="?", type=utf8, metavar="MODEL",
        help="folder or Hugging Face id of a causal LM (default: --model, else the embedded one)",
    )  # fmt: skip
    check.add_argument(
        "--without-updates", action="store_true", dest="is_without_updates",
        help="ask only, for a large model whose updates would take long (default: ask and update)",
    )  # fmt: skip
    add_json(check, "print one JSON object: every figure, verdicts, settings, usable")
    add_plain(check)
