"""The arguments of the commands that say why: explain, pause, resume, filter. Knows argparse, as `cli_parser` does."""

import argparse

from agent import commands_why
from agent.cli_arguments import add_command, add_json, positive, utf8, whole


def add_why(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands."""
    _add_explain(subparsers)
    pause = add_command(
        subparsers, "pause", commands_why.pause, "let no new update begin",
        "Keep updates of the lineage from beginning, whoever starts them, until `selfparam resume`. One that runs\n"
        "ends as usual; telling and asking go on. Lasts over restarts.",
    )  # fmt: skip
    pause.add_argument(
        "--reason", type=utf8, default="", metavar="TEXT", help="why, for others to read (default: none)"
    )
    add_command(
        subparsers, "resume", commands_why.resume, "let updates begin again",
        "End a pause: what waits is learned by the next update. Harmless where nothing is paused.",
    )  # fmt: skip
    _add_filter(subparsers)


def _add_explain(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    explain = add_command(
        subparsers, "explain", commands_why.explain, "say what became of an experience, and why",
        "Show an experience with its state, the batches that it was in, the target sentences made from it with their\n"
        "context gain, how well a version's weights know each of them, and the answers to probes about it.",
    )  # fmt: skip
    explain.add_argument("experience_id", type=positive, metavar="ID", help="its number: see `log`")
    explain.add_argument(
        "--version", type=whole, dest="number", metavar="N",
        help="measure the weights of version N (default: the one that serves)",
    )  # fmt: skip
    explain.add_argument(
        "--no-model", action="store_false", dest="has_model",
        help="leave out what needs the model, which takes seconds to load (default: measure)",
    )  # fmt: skip
    add_json(explain, "print one JSON object")


def _add_filter(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(
        subparsers, "filter", commands_why.filter_show, "choose what may be learned",
        "Show or set the filter through which this home's experiences go before anything is learned from them. It\n"
        "counts for every lineage and from the next update on, also in processes that run already. The log keeps what\n"
        "was told.",
    )  # fmt: skip
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, help="show or set")
    add_command(actions, "show", commands_why.filter_show, "show the filter", "Show the filter of this home.")
    chosen = add_command(
        actions, "set", commands_why.filter_set, "set the filter",
        "redact puts words such as [e-mail] in place of e-mail addresses, phone and card numbers, IBANs, IP addresses\n"
        "and secrets; off learns texts as they were told.",
    )  # fmt: skip
    chosen.add_argument("filter_name", choices=["redact", "off"], help="redact, or off")
    chosen.add_argument(
        "--trust", action="append", dest="trusted", type=utf8, metavar="NAME",
        help="learn only what this agent experienced, refuse the rest; `selfparam tell` tells as the agent `agent`. "
        "May be repeated (default: everybody is trusted)",
    )  # fmt: skip
