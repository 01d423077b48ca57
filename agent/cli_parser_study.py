"""The arguments of `study`. Knows argparse. Refuses to know what a study is made of."""

import argparse

from agent import commands_study
from agent.cli_arguments import add_command, add_json, add_plain, positive, utf8

_STUDY = """\
A retention study: a stream of experiences is learned update by update, by one or several methods, and after the
updates each method is asked what it knows. One folder holds all that came of it, with a page to read.

  $ selfparam study init house.toml
  $ selfparam study run house.toml --jobs 2
  $ selfparam study resume house            after an interruption
  $ selfparam study compare house other-house"""


def add_study(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `study` with its verbs."""
    study = subparsers.add_parser(
        "study", help="study what is remembered over time", description=_STUDY,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    verbs = study.add_subparsers(title="verbs", metavar="VERB", required=True, help="what to do")
    init = add_command(
        verbs, "init", commands_study.init, "write a study's file",
        "Write a TOML file that says what a study is made of, with a comment over every part. Existing files stay.",
    )  # fmt: skip
    init.add_argument("file", nargs="?", default="study.toml", type=utf8, metavar="FILE", help="(default: study.toml)")
    run = add_command(
        verbs, "run", commands_study.run, "run a study in a new folder",
        "Run a study. Every finished update is on disk: after Ctrl-C, or kill -9, `study resume` goes on from there\n"
        "and ends with the same results.",
    )  # fmt: skip
    run.add_argument("file", type=utf8, metavar="FILE", help="the study's TOML file, see `study init`")
    run.add_argument(
        "--out", type=utf8, metavar="DIR", help="new folder for everything (default: FILE without its ending)"
    )
    _add_running(run)
    resume = add_command(
        verbs, "resume", commands_study.resume, "go on with a study",
        "Go on with a study after its last finished updates. A study that has ended is only reported anew.",
    )  # fmt: skip
    _add_folder(resume)
    _add_running(resume)
    report = add_command(
        verbs, "report", commands_study.report, "write tables, pictures and the page anew",
        "Write everything that follows from the finished updates anew: items.jsonl, matrix.csv, summary.json,\n"
        "summary.csv, table.tex, figures/ and report.html. Also of a study that is not finished, and then says so.",
    )  # fmt: skip
    _add_folder(report)
    report.add_argument(
        "--tensorboard", type=utf8, metavar="DIR",
        help="write scalars for TensorBoard there too; needs: pip install 'selfparam[tensorboard]' (default: none)",
    )  # fmt: skip
    compare = add_command(
        verbs, "compare", commands_study.compare, "compare two studies, or two methods of one",
        "Print each figure of both, and their difference seed by seed with its 95% interval; * where that leaves\n"
        "out 0. Both must have lived through the same experiences.\n\n"
        "  $ selfparam study compare house other-house\n"
        "  $ selfparam study compare house --method ours --with kl_no_replay",
    )  # fmt: skip
    _add_folder(compare)
    compare.add_argument(
        "other_folder", nargs="?", type=utf8, metavar="OTHER", help="the second study (default: the first one)"
    )
    compare.add_argument("--method", default="ours", type=utf8, metavar="NAME", help="of the first (default: ours)")
    compare.add_argument(
        "--with", dest="other_method", type=utf8, metavar="NAME", help="of the second (default: the same)"
    )
    add_json(compare, "print one JSON object: by figure first, second, change and its interval")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=utf8, metavar="DIR", help="the study's folder")


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N",
        help="parts (a method with a seed) at a time, each of one thread, on Ray; 1 does without Ray (default: 1)",
    )  # fmt: skip
    add_plain(parser)
