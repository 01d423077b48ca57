"""What the parsers of all commands are built of: options that many commands share, and the types of arguments.

Knows argparse. Refuses to know any single command.
"""

import argparse
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime

from agent.commands import Options


def add_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str, run: Callable[[Options], int], summary: str, description: str,
) -> argparse.ArgumentParser:  # fmt: skip
    """A command's own parser, with the global options and what runs it."""
    parser = subparsers.add_parser(
        name, help=summary, description=description, formatter_class=WideHelp, allow_abbrev=False
    )
    parser.set_defaults(run=run)
    add_global_options(parser.add_argument_group("global options"), is_default=False)
    return parser


def add_global_options(group: "argparse._ArgumentGroup", *, is_default: bool) -> None:
    """The options that may stand before or after a command."""
    # After the command they have no default of their own, which would undo what stood before it.
    def default(value: object) -> object:
        return value if is_default else argparse.SUPPRESS

    group.add_argument(
        "--home", dest="home_option", default=default(None), metavar="DIR",
        help="folder of log, deltas and config (default: $SELFPARAM_HOME, else ./.selfparam)",
    )  # fmt: skip
    group.add_argument(
        "--model", type=utf8, default=default(None), metavar="PATH_OR_HF_ID",
        help="any Hugging Face causal LM; a new home remembers it (default: the home's, else the embedded one)",
    )  # fmt: skip
    group.add_argument(
        "--lineage", type=lineage_name, action=_StoreLineage, default=default("default"), metavar="NAME",
        help="whose memory (default: default)",
    )  # fmt: skip
    group.add_argument(
        "--device", type=device_name, default=default("auto"), metavar="NAME",
        help="auto, cpu, cuda or cuda:N; auto is a GPU where there is one (default: auto)",
    )  # fmt: skip
    group.add_argument("--debug", action="store_true", default=default(False), help="show tracebacks")


class _StoreLineage(argparse.Action):
    """Remembers that a lineage was named, for those who do without."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: object, *_: object
    ) -> None:
        namespace.lineage, namespace.is_lineage_given = value, True


def add_json(parser: argparse.ArgumentParser, explanation: str) -> None:
    """`--json`, which prints what the explanation says."""
    parser.add_argument("--json", action="store_true", dest="is_json", help=f"{explanation} (default: text)")


def add_plain(parser: argparse.ArgumentParser) -> None:
    """`--plain`, for logs."""
    parser.add_argument(
        "--plain", action="store_true", dest="is_plain", help="lines instead of a live display (default: when piped)"
    )


class WideHelp(argparse.RawDescriptionHelpFormatter):
    """Help as wide as this project's lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=110)


def utf8(text: str) -> str:
    """An argument that can be stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("not UTF-8 text; convert it to UTF-8") from None
    return text


def lineage_name(text: str) -> str:
    """The name of a lineage."""
    # The name is also that of the lineage's folder among the deltas.
    if not re.fullmatch(r"\w[\w.-]{,127}", utf8(text)):
        raise argparse.ArgumentTypeError(f"got {text!r}, needs letters, digits, '.', '_' and '-', 128 at most")
    return text


def device_name(text: str) -> str:
    """A device as torch names it, or auto."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"got {text!r}, needs auto, cpu, cuda or cuda:N")
    return text


def whole(text: str) -> int:
    """A number from 0."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"got {text!r}, needs a whole number from 0")
    return int(text)


def positive(text: str) -> int:
    """A number from 1."""
    number = whole(text)
    if number == 0:
        raise argparse.ArgumentTypeError("got 0, needs at least 1")
    return number


def figure(text: str) -> float:
    """A finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"got {text!r}, needs a number such as 0.5")
    return number


def not_negative(text: str) -> float:
    """A finite number from 0."""
    number = figure(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, needs a number from 0")
    return number


def instant(text: str) -> datetime:
    """A date, or a date and time; UTC unless it says."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, needs a time such as 2026-03-01 or 2026-03-01T18:30+01:00"
        ) from None


def name_and_value(text: str) -> tuple[str, str | int | float | bool]:
    """`NAME=VALUE`, where a number, true or false in JSON's spelling is that, and anything else is text."""
    name, equals, value = utf8(text).partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"got {text!r}, needs NAME=VALUE")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    return name, parsed if isinstance(parsed, str | int | float | bool) else value
