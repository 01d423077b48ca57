"""The arguments of `selfparam versions` and its verbs. Knows argparse. Refuses to know what a command does."""

import argparse

from agent import commands, commands_versions
from agent.cli_arguments import add_command, add_json, add_plain, whole


def add_versions(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `versions` with its verbs; without one it lists."""
    versions = add_command(
        subparsers, "versions", commands.versions, "list versions, verify them, store snapshots",
        "List every version with its parent and its figures; * marks the one that serves. The last line says what\n"
        "deltas, snapshots and stored targets weigh.",
    )  # fmt: skip
    add_json(versions, "print one JSON object a line")
    verbs = versions.add_subparsers(title="verbs", metavar="VERB", help="what to do (default: list)")
    verify = add_command(
        verbs, "verify", commands_versions.verify, "refold versions and compare them with the log",
        "Fold a version anew from the base model and its deltas alone, without snapshots, and compare the weights'\n"
        "hash with the recorded one. On another device or processor a few weights at a rounding border may fall on\n"
        "the other side; then it says how many can, and by how much they differ. A snapshot of the version is read\n"
        "and compared too. Ends with 1 where a version is not what was recorded.\n\n"
        "  $ selfparam versions verify --all",
    )  # fmt: skip
    verify.add_argument(
        "number", type=whole, nargs="?", metavar="N", help="an admitted version (default: the one that serves)"
    )
    verify.add_argument(
        "--all", action="store_true", dest="is_all", help="every admitted version, one after the other (default: one)"
    )
    add_json(verify, "print one JSON object a line")
    add_plain(verify)
    snapshot = add_command(
        verbs, "snapshot", commands_versions.snapshot, "store a version's sums, so that it opens sooner",
        "Store the sums of a version, from which it and later versions are folded without reading all deltas before\n"
        "it. Updates store one by themselves every 20 versions. Whatever a snapshot holds follows from the deltas:\n"
        "losing one costs time and nothing else, and `selfparam clean --keep-snapshots N` removes old ones.\n\n"
        "  $ selfparam versions snapshot",
    )  # fmt: skip
    snapshot.add_argument(
        "number", type=whole, nargs="?", metavar="N", help="an admitted version (default: the one that serves)"
    )
    snapshot.add_argument(
        "--anew", action="store_true", dest="is_anew",
        help="replace one that is there, such as a damaged one (default: no)",
    )  # fmt: skip
