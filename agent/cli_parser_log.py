"""The arguments of `selfparam log` and its verbs. Knows argparse, as `cli_parser` does."""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeAlias

from agent import commands_log, commands_log_changes, commands_log_files
from agent.cli_arguments import (
    add_command,
    add_plain,
    figure,
    instant,
    name_and_value,
    positive,
    utf8,
    whole,
)
from agent.cli_parser_sessions import add_file_form
from agent.commands import Options
from memory_log.records import ExperienceState

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STATES = [state.value for state in ExperienceState]


def add_log(subparsers: Verbs) -> None:
    """Add `log` with its verbs; without one it lists."""
    log = add_command(
        subparsers, "log", commands_log.list_, "list, find, bring in and take out experiences",
        "Work with the experiences in the log. Without a verb it lists the newest, the latest at the end, with their\n"
        "state and the version that has learned them.\n\n"
        "  $ selfparam log --state pending\n"
        "  $ selfparam log search '\"red mug\" kitchen'\n"
        "  $ selfparam log export mine.jsonl.gz",
    )  # fmt: skip
    _add_listing(log, is_verb=False)
    verbs = log.add_subparsers(title="verbs", metavar="VERB", help="what to do (default: list)")
    _add_looking(verbs)
    _add_changing(verbs)
    _add_files(verbs)


def _add_verb(
    verbs: Verbs, name: str, run: Callable[[Options], int], summary: str, description: str, *examples: str
) -> argparse.ArgumentParser:
    lines = "\n".join(f"  $ selfparam log {example}" for example in examples)
    return add_command(verbs, name, run, summary, f"{description}\n\n{lines}")


def _add_listing(parser: argparse.ArgumentParser, *, is_verb: bool) -> None:
    _add_limits(parser, STATES, is_verb=is_verb)
    parser.add_argument(
        "--limit", type=positive, default=_default(20, is_verb), metavar="N", help="at most N experiences (default: 20)"
    )
    parser.add_argument(
        "--after", type=whole, default=_default(None, is_verb), metavar="ID",
        help="the first ones after this id, instead of the newest (default: the newest)",
    )  # fmt: skip
    _add_json(parser, "print one JSON object a line", is_verb=is_verb)


def _default(value: object, is_verb: bool) -> object:
    # What stands before the verb counts, unless it is said again after it.
    return argparse.SUPPRESS if is_verb else value


def _add_limits(parser: argparse.ArgumentParser, states: Sequence[str], *, is_verb: bool = True) -> None:
    default = _default(None, is_verb)
    parser.add_argument("--state", choices=states, default=default, help="only those in this state (default: all)")
    parser.add_argument(
        "--session", type=utf8, default=default, metavar="NAME", help="only those of this session (default: all)"
    )
    parser.add_argument(
        "--since", type=instant, default=default, metavar="TIME",
        help="lived then or later, such as 2026-03-01 or 2026-03-01T18:30+01:00; UTC unless it says (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--until", type=instant, default=default, metavar="TIME", help="lived before then (default: all)"
    )


def _add_json(parser: argparse.ArgumentParser, explanation: str, *, is_verb: bool = True) -> None:
    parser.add_argument(
        "--json", action="store_true", dest="is_json", default=_default(False, is_verb),
        help=f"{explanation} (default: text)",
    )  # fmt: skip


def _add_looking(verbs: Verbs) -> None:
    listing = _add_verb(
        verbs, "list", commands_log.list_, "list experiences",
        "List the newest experiences, the latest at the end, with their state and the version that has learned them;\n"
        "or page through the log with --after.",
        "list --state refused --limit 5", "list --session monday --after 120 --json",
    )  # fmt: skip
    _add_listing(listing, is_verb=True)
    show = _add_verb(
        verbs, "show", commands_log.show, "show all of one experience",
        "Print every field of an experience, what happened to it since, and the versions that know it. What was made\n"
        "of it, and how well a version knows it, is told by `selfparam explain`.",
        "show 7",
    )  # fmt: skip
    show.add_argument("experience_id", type=positive, metavar="ID", help="its number: see `log list`")
    _add_json(show, "print one JSON object")
    search = _add_verb(
        verbs, "search", commands_log.search, "find experiences by their words",
        "List the newest experiences whose text has all the words, in any case, the latest at the end. Words in\n"
        "quotation marks have to follow each other, and a star stands for the rest of a word.",
        "search red mug", "search '\"kitchen drawer\" gara*' --limit 5",
    )  # fmt: skip
    search.add_argument("words", nargs="+", type=utf8, metavar="WORDS", help="what to look for")
    search.add_argument(
        "--limit", type=positive, default=argparse.SUPPRESS, metavar="N", help="at most N experiences (default: 20)"
    )
    search.add_argument(
        "--before", type=positive, metavar="ID", help="only those with smaller ids, to page on (default: the newest)"
    )
    _add_json(search, "print one JSON object a line")
    stats = _add_verb(
        verbs, "stats", commands_log.stats, "show how a lineage stands",
        "Count the experiences of the lineage by state, and say which is learned next, which version serves, who\n"
        "updates it, whether updates are paused, and what the log takes on disk.",
        "stats --all-lineages",
    )  # fmt: skip
    _add_all_lineages(stats)
    _add_json(stats, "print one JSON object, sizes in bytes")


def _add_all_lineages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all-lineages", action="store_true", dest="is_all_lineages",
        help="every lineage of the log (default: the one that --lineage names)",
    )  # fmt: skip


def _add_changing(verbs: Verbs) -> None:
    append = _add_verb(
        verbs, "append", commands_log_changes.append, "store one experience with all of its fields",
        "Store one experience. It is on disk when this returns. `selfparam tell` is the short way.",
        'append "Anna took the red mug." --session monday --step 3 --action "watch Anna" --metadata room=kitchen',
    )  # fmt: skip
    append.add_argument(
        "one_text", type=utf8, metavar="TEXT", help="what happened, up to 16 KiB; - reads it from standard input"
    )
    append.add_argument("--agent", type=utf8, metavar="NAME", help="who lived it (default: agent)")
    append.add_argument(
        "--session", type=utf8, default=argparse.SUPPRESS, metavar="NAME", help="during what (default: default)"
    )
    append.add_argument("--step", type=whole, metavar="N", help="which step of the session (default: none)")
    append.add_argument(
        "--time", type=instant, metavar="TIME", help="when it was lived, UTC unless it says (default: now)"
    )
    append.add_argument("--observation", type=utf8, metavar="TEXT", help="what was seen (default: none)")
    append.add_argument("--action", type=utf8, metavar="TEXT", help="what was done (default: none)")
    append.add_argument("--reward", type=figure, metavar="FIGURE", help="what it was worth (default: none)")
    append.add_argument(
        "--fact", nargs=3, action="append", default=[], type=utf8, metavar=("SUBJECT", "RELATION", "VALUE"),
        help="what the text states; may be repeated (default: none)",
    )  # fmt: skip
    append.add_argument(
        "--priority", type=whole, metavar="N", help="higher is learned first where that order is chosen (default: 0)"
    )
    append.add_argument("--surprise", type=figure, metavar="FIGURE", help="how unexpected it was (default: none)")
    append.add_argument(
        "--metadata", action="append", default=[], dest="name_value", type=name_and_value, metavar="NAME=VALUE",
        help="for your own use: text, numbers, true or false; may be repeated (default: none)",
    )  # fmt: skip
    append.add_argument(
        "--key", type=utf8,
        help="makes appending twice harmless: a key that is there stores nothing new (default: none)",
    )  # fmt: skip
    _add_json(append, "print the stored experience as one JSON object")
    requeue = _add_verb(
        verbs, "requeue", commands_log_changes.requeue, "let refused and dead experiences wait again",
        "Make refused, dead and put-off experiences pending, as if no update had tried them. All that are named, or\n"
        "none.",
        "requeue 7 12", "requeue --all-dead",
    )  # fmt: skip
    requeue.add_argument("experience_ids", nargs="*", type=positive, metavar="ID", help="their numbers: see `log list`")
    for state in ("dead", "refused"):
        requeue.add_argument(
            f"--all-{state}", action="store_true", dest=f"is_all_{state}",
            help=f"every {state} one of the lineage (default: those named)",
        )  # fmt: skip
    forget = _add_verb(
        verbs, "forget", commands_log_changes.forget, "take experiences out of the log for good",
        "Erase the text of experiences, and all that was made from it: facts, target sentences, probes. Their numbers\n"
        "stay, as tombstones. Versions that have learned them still know them; you are told which, and what to do.",
        "forget 7", "forget 7 12 --yes",
    )  # fmt: skip
    forget.add_argument("experience_ids", nargs="+", type=positive, metavar="ID", help="their numbers: see `log list`")
    forget.add_argument("--yes", action="store_true", dest="is_sure", help="do not ask (default: ask at a terminal)")


def _add_files(verbs: Verbs) -> None:
    export = _add_verb(
        verbs, "export", commands_log_files.export, "write experiences into a file of JSON lines",
        "Write the lineage's experiences into FILE, a JSON object each, after a line that says what the file is. The\n"
        "file appears whole or not at all. What was forgotten is not in it; what is appended meanwhile may be.\n"
        "`selfparam log import` reads it; docs/log.md describes every field.",
        "export monday.jsonl --session monday", "export - --state refused | jq -r .text",
    )  # fmt: skip
    export.add_argument("file", type=utf8, metavar="FILE", help="compressed when it ends in .gz; - is standard output")
    exported = [state for state in STATES if state != ExperienceState.FORGOTTEN.value]
    _add_limits(export, exported)
    _add_all_lineages(export)
    export.add_argument(
        "--force", action="store_true", dest="is_forced", help="replace a file that is there (default: refuse)"
    )
    add_plain(export)
    import_ = _add_verb(
        verbs, "import", commands_log_files.import_, "append experiences from a file: JSON lines, chats, LoCoMo",
        "Append what FILE says, some hundred experiences at a time, to be learned: an export, or anybody's file of\n"
        'one JSON object a line, of which only "text" is needed; with --format, chats or a file of LoCoMo\'s, whose\n'
        "questions become probes (docs/sessions.md). Doing it again adds nothing, also after a kill. With --lineage\n"
        "all of it goes there, whatever the lines say.",
        "import monday.jsonl.gz", "import notes.jsonl --on-error skip", "import chats.jsonl --format chat",
        "import locomo10.json --format locomo --conversation conv-26",
        "import - < notes.jsonl --source notes-of-anna",
    )  # fmt: skip
    import_.add_argument("file", type=utf8, metavar="FILE", help="compressed when it ends in .gz; - is standard input")
    add_file_form(import_, default="experiences")
    import_.add_argument(
        "--on-error", choices=["stop", "skip"], default="stop",
        help="at a line that is no experience: stop there, or write it with the reason to FILE.rejected and go on "
        "(default: stop)",
    )  # fmt: skip
    import_.add_argument(
        "--source", type=utf8, metavar="NAME",
        help="what lines without key or header come from: the same line of the same source is stored once "
        "(default: FILE without its folder)",
    )  # fmt: skip
    import_.add_argument(
        "--dry-run", action="store_true", dest="is_dry_run", help="check every line, store nothing (default: store)"
    )
    add_plain(import_)
