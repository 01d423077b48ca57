"""The arguments about settings: of commands that use them, and of `settings`. Knows argparse, as `cli_parser` does."""

import argparse
import math

from agent import commands_settings
from agent.cli_arguments import add_command, add_json, name_and_value, utf8
from agent.home_settings import writer_names


def add_settings(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `settings`."""
    settings = add_command(
        subparsers, "settings", commands_settings.show_settings, "list the settings of updates",
        "List every setting of updates with its value, where the value comes from, and what it means. You write those\n"
        "of a home into its selfparam.toml: update.num_steps is num_steps under [update] there.",
    )  # fmt: skip
    add_settings_options(settings)
    add_json(settings, "print one JSON object a line")


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """The options that change settings for one command."""
    parser.add_argument(
        "--writer", action="append", dest="writers", type=_writer_and_share, default=[], metavar="NAME[=SHARE]",
        help="who writes about experiences: model, templates (from --fact) or endpoint (any OpenAI-compatible one, "
        "which gets the texts). Repeated, several do, by their shares (default: selfparam.toml's, else model)",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", dest="changes", type=name_and_value, default=[], metavar="NAME=VALUE",
        help="change a setting for this command, such as --set update.num_steps=80; see `selfparam settings`. May be "
        "repeated (default: selfparam.toml's)",
    )  # fmt: skip
    parser.add_argument(
        "--settings", dest="settings_file", type=utf8, metavar="FILE",
        help="read settings from this TOML file (default: selfparam.toml in the home)",
    )  # fmt: skip


def _writer_and_share(text: str) -> tuple[str, float]:
    name, equals, share = text.partition("=")
    if name not in writer_names():
        raise argparse.ArgumentTypeError(f"got {text!r}, needs one of {', '.join(writer_names())}, such as model=0.5")
    try:
        number = float(share) if equals else 1.0
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, needs a share from 0, such as {name}=0.5")
    return name, number
