"""The arguments of `selfparam doctor`. Knows argparse. Refuses to know what the command does."""

import argparse

from agent import commands_doctor as commands
from agent.cli_arguments import add_command, add_json, add_plain, utf8


def add_doctor(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add doctor."""
    doctor = add_command(
        subparsers, "doctor", commands.doctor, "examine the home and say how to mend it",
        "Examine config, log, base records, deltas and the disk: rows and what they say of each other, checksums,\n"
        "orphans, stuck leases. Each finding says what helps. The home may be in use; it is for all lineages. Ends\n"
        "with 1 where something is damaged.",
    )  # fmt: skip
    doctor.add_argument(
        "--quick", action="store_true", dest="is_quick",
        help="leave out what reads every byte: checksums, every page and every row of the log (default: all)",
    )  # fmt: skip
    doctor.add_argument(
        "--mend", action="store_true", dest="is_mend",
        help="first put right what can be derived for certain: expired leases, what replay draws, the index of words, "
        "what is left of forgotten experiences, unfinished files older than an hour (default: change nothing)",
    )  # fmt: skip
    doctor.add_argument(
        "--salvage", type=utf8, metavar="FILE",
        help="write what can still be read of a damaged log into a new file, one experience a line, for `log import` "
        "(default: examine)",
    )  # fmt: skip
    add_json(doctor, "print one JSON object: home, checks, findings, mended")
    add_plain(doctor)
