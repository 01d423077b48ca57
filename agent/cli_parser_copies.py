"""The arguments of the commands that take a memory in or out, and that show and bound what it takes on disk.

Knows argparse. Refuses to know what a command does.
"""

import argparse

from agent import commands_copies as commands
from agent.cli_arguments import add_command, add_json, add_plain, positive, utf8, whole


def add_copies(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add export, backup, restore, import, disk and clean."""
    _add_export(subparsers)
    _add_backups(subparsers)
    _add_disk(subparsers)


def _add_export(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = add_command(
        subparsers, "export", commands.export, "write a version as a folder that other programs load",
        "Write an admitted version into a folder that plain transformers (--format hf) or plain peft (--format peft)\n"
        "loads and that answers the same. It is read back and verified before the folder gets its name.\n"
        "hf is the whole model, float32, bit for bit what the version serves; peft is one LoRA adapter for the base\n"
        "model, the same up to rounding.",
    )  # fmt: skip
    export.add_argument(
        "number", type=whole, nargs="?", metavar="VERSION", help="an admitted version (default: the one that serves)"
    )
    export.add_argument("--format", choices=["hf", "peft"], default="hf", help="for which library (default: hf)")
    export.add_argument(
        "--out", type=utf8, metavar="DIR",
        help="a folder that is empty or not there yet (default: LINEAGE-VERSION-FORMAT in the working folder)",
    )  # fmt: skip
    add_plain(export)


def _add_backups(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    backup = add_command(
        subparsers, "backup", commands.backup, "write the home into one file",
        "Write config, log and deltas into one tar file with checksums, as they are at one instant. The home may be\n"
        "in use meanwhile. The base model is not in it. A log in PostgreSQL is backed up with pg_dump instead.",
    )  # fmt: skip
    backup.add_argument("file", type=utf8, metavar="FILE", help="a file that is not there yet")
    add_plain(backup)
    restore = add_command(
        subparsers, "restore", commands.restore, "make a home from a back-up",
        "Make the folder --home from a back-up: every checksum is verified, then the whole folder appears at once.\n"
        "An update that was running in the copy is tried again once its lease has expired.",
    )  # fmt: skip
    restore.add_argument("file", type=utf8, metavar="FILE", help="a file written by `selfparam backup`")
    add_plain(restore)
    import_ = add_command(
        subparsers, "import", commands.import_, "take another home's experiences over",
        "Append the experiences of another home, or of a back-up, to this one as pending, in the same order. Weights\n"
        "are never taken: they fit only the base model that they were made with. Doing it twice adds nothing.\n"
        "Forgotten, refused and dead experiences are left out.",
    )  # fmt: skip
    import_.add_argument("source", type=utf8, metavar="SOURCE", help="a home folder or a back-up file")
    import_.add_argument(
        "--relearn", action="store_true", dest="is_relearn",
        help="yes, learn them anew; without it nothing is taken over, and you are told what would be (default: no)",
    )  # fmt: skip
    add_plain(import_)


def _add_disk(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    disk = add_command(
        subparsers, "disk", commands.disk, "show what the home takes on disk",
        "Show what uses the disk: log, WAL, deltas by the state of their version, and the log's tables.",
    )  # fmt: skip
    add_json(disk, "print one JSON object, sizes in bytes")
    clean = add_command(
        subparsers, "clean", commands.clean_up, "remove what nothing needs any more",
        "Remove files among the deltas that no version names, once they are an hour old, and the deltas of rejected\n"
        "versions; take up the WAL. Nothing that an admitted version needs goes. The home may be in use. It is for\n"
        "all lineages.",
    )  # fmt: skip
    clean.add_argument(
        "--keep-rejected-days", type=whole, default=7, metavar="N",
        help="deltas of rejected versions stay N days (default: 7)",
    )  # fmt: skip
    clean.add_argument(
        "--keep-snapshots", type=whole, metavar="N",
        help="keep only the newest N snapshots on the line of each lineage's serving version; older versions then open "
        "more slowly (default: keep all)",
    )  # fmt: skip
    clean.add_argument(
        "--targets-per-experience", type=positive, metavar="N",
        help="keep at most N, 4 or more, of the target sentences of each learned experience; replay then draws from "
        "fewer (default: keep all)",
    )  # fmt: skip
    clean.add_argument(
        "--vacuum", action="store_true", dest="is_vacuum",
        help="give the room of deleted rows back to the disk; writers wait meanwhile (default: no)",
    )  # fmt: skip
    clean.add_argument(
        "--dry-run", action="store_true", dest="is_dry_run", help="remove nothing, say what would go (default: no)"
    )
    add_plain(clean)
