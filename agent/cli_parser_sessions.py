"""The arguments that say what a file of experiences is, and those of `live`. Knows argparse, as `cli_parser` does."""

import argparse
from typing import get_args

from agent import commands_live
from agent.cli_arguments import add_command, add_plain, instant, positive, utf8
from agent.cli_parser_settings import add_settings_options
from agent.sessions.files import Format
from agent.sessions.turns import GROUP_BYTES, Shape

_LIVE = """\
Live through FILE day by day: take in what was said on its first day, update until nothing is pending, go on to the
next day. Each day ends with a version that knows what had happened until then, and that can be asked ever after:
selfparam ask --version N. The same command goes on where it was stopped, also by a kill, and learns nothing twice.

  $ selfparam live diary.jsonl
  2026-03-02  2 experiences, 2 learned   version 1
  2026-03-03  1 experience, 1 learned   version 2
  $ selfparam live locomo10.json --format locomo --conversation conv-26 --until 2023-06-01"""


def add_file_form(parser: argparse.ArgumentParser, *, default: Format) -> None:
    """The options that say what a file is."""
    parser.add_argument(
        "--format", choices=get_args(Format), default=default, dest="file_format",
        help="what FILE holds: the log's own JSON lines, chats as JSON lines, or one object such as locomo10.json "
        f"(default: {default})",
    )  # fmt: skip
    parser.add_argument(
        "--as", choices=get_args(Shape), dest="shape",
        help="what of a conversation is an experience: each turn of the user's in its own words, or turns that follow "
        "each other as a transcript with date and speakers (default: turns for chat, transcript for locomo)",
    )  # fmt: skip
    parser.add_argument(
        "--group-bytes", type=positive, default=GROUP_BYTES, metavar="N",
        help=f"most bytes of a transcript of several turns (default: {GROUP_BYTES})",
    )  # fmt: skip
    parser.add_argument(
        "--conversation", type=utf8, metavar="NAME", help="only this one of LoCoMo's, such as conv-26 (default: all)"
    )


def add_live(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `live`."""
    live = add_command(subparsers, "live", commands_live.live, "learn a conversation day by day", _LIVE)
    live.add_argument("file", type=utf8, metavar="FILE", help="compressed when it ends in .gz")
    add_file_form(live, default="chat")
    live.add_argument(
        "--until", type=instant, metavar="TIME",
        help="only what was said before then, such as 2023-06-01 (default: all)",
    )  # fmt: skip
    live.add_argument("--limit", type=positive, metavar="N", help="most experiences of an update (default: 8)")
    live.add_argument(
        "--source", type=utf8, metavar="NAME",
        help="what lines without a key come from, as for `log import` (default: FILE without its folder)",
    )  # fmt: skip
    live.add_argument(
        "--json", action="store_true", dest="is_json", help="print one JSON object a day (default: text)"
    )
    add_settings_options(live)
    add_plain(live)
