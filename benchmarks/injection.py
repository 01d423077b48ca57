"""Knowledge injected by every method, in the paper's three protocols: `python -m benchmarks.injection --protocol ...`.

single      each of 20 experiences alone into the base model
batch       20, and 100, experiences at once into the base model
sequential  updates one after the other, 20 x 5 unless said otherwise; some experiences change an earlier fact

Experiences are about unseen entities of the household, and are asked about in phrasings that no update is taught with;
with --data they come from a file. With --work a run can be killed at any point and taken up by the same command: each
method and seed goes on after its last finished update.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.circumstances import utc_now
from agent.cli_arguments import positive
from agent.intervals import Metric
from agent.seed_model import WEIGHTS_FOLDER
from agent.study.contestants import METHODS, ONLY_SEQUENTIAL
from agent.study.courses import LONG
from agent.study.lines import ITEMS_FILE
from agent.study.running import finished_lines
from agent.study.scores import Outcome
from benchmarks.injection_pictures import draw_all
from benchmarks.injection_plan import Plan, folder_of, parsed_settings
from benchmarks.injection_pool import run_all
from benchmarks.injection_report import metrics_of
from benchmarks.results_file import report
from memory_log.errors import BadInput, SelfParamError

BATCHES: Final = (20, 100)
CHANGED_SHARE: Final = 0.15
QUICK: Final = (2, 2, (3,))
"""Updates, experiences of each, and batches of the quick form, which has one seed."""
QUICK_METHODS: Final = ("ours", "none", "in_context", "bm25")
TOP: Final = 4
EPILOG: Final = "methods:\n" + "\n".join(f"  {name:14} {what}" for name, what in METHODS.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    try:
        return _run(options, words)
    except SelfParamError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan that the command line asks for.

    Raises:
        BadInput: a setting or the file is no good.
    """
    updates, per_update, batches = QUICK if options.quick else (options.updates, options.per_update, BATCHES)
    plan = Plan(
        protocol=options.protocol, updates=updates, per_update=per_update, batches=tuple(options.batches or batches),
        changed_share=CHANGED_SHARE, top=options.top, model=options.model, device=options.device,
        data=None if options.data is None else str(options.data), form=options.format,
        settings=parsed_settings(options.set), quick=options.quick,
    )  # fmt: skip
    plan.stream(options.first_seed)  # a file that is no good is better known now than in a worker
    return plan


def methods_of(text: str | None, plan: Plan) -> list[str]:
    """The methods to run: those named, or all that mean something in the plan's protocol.

    Raises:
        BadInput: one is unknown, or means nothing there.
    """
    fitting = [name for name in METHODS if not (plan.course.fresh and name in ONLY_SEQUENTIAL)]
    if text is None and plan.quick:
        return list(QUICK_METHODS)
    if text in (None, "all"):
        return fitting
    named = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in named if name not in METHODS]
    if unknown:
        raise BadInput(f"--methods got {', '.join(map(repr, unknown))}; there are: all, {', '.join(METHODS)}")
    without_sense = [name for name in named if name not in fitting]
    if without_sense:
        raise BadInput(f"{', '.join(without_sense)} is the same as ours with a single update; use it with sequential")
    return named


def name_of(plan: Plan) -> str:
    """The results file's name for a protocol: `injection_long` for a sequence of fifty updates or more."""
    return f"injection_{'long' if not plan.course.fresh and plan.updates >= LONG else plan.protocol}"


def _run(options: argparse.Namespace, words: Sequence[str]) -> int:
    plan = plan_of(options)
    methods = methods_of(options.methods, plan)
    seeds = range(options.first_seed, options.first_seed + (1 if options.quick else options.seeds))
    if plan.data is not None:
        print(f"{plan.data}: no near misses, and no changed facts but those that lines state; neither is measured")
    with tempfile.TemporaryDirectory(prefix="selfparam-injection-") as temporary:
        work: Path = options.work or Path(temporary)
        plan.settle_in(work)
        run_all(plan, methods, seeds, work, jobs=options.jobs)
        outcomes = {
            method: {
                seed: Outcome(finished_lines(folder_of(work, method, seed) / ITEMS_FILE), plan.course.fresh)
                for seed in seeds
            }
            for method in methods
        }
    metrics = metrics_of(outcomes, plan.course, plan.protocol)
    for name, metric in metrics.items():
        print(_shown(name, metric))
    if options.plots is not None:
        for path in draw_all(outcomes, options.plots, name=name_of(plan)):
            print(path)
    if options.json is not None:
        command = " ".join(["python -m benchmarks.injection", *words])
        made = report(
            name_of(plan), command=command, seeds=list(seeds), metrics=metrics, now=utc_now(), quick=plan.quick
        )
        made.write(options.json)
    return 0


def _shown(name: str, metric: Metric) -> str:
    return f"{name:44} {metric.mean:10.4g}  [{metric.low:.4g}, {metric.high:.4g}] {metric.unit}{metric.verdict}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.injection",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run = parser.add_argument_group("what is run")
    run.add_argument("--protocol", choices=["single", "batch", "sequential"], required=True)
    run.add_argument("--updates", type=positive, default=20, metavar="U", help="of single and sequential (20)")
    run.add_argument("--per-update", type=positive, default=5, metavar="P", help="experiences, of sequential (5)")
    run.add_argument("--batches", type=positive, nargs="+", metavar="B", help="experiences at once, of batch (20 100)")
    run.add_argument("--methods", metavar="A,B", help="all that mean something in the protocol, unless named")
    run.add_argument("--seeds", type=positive, default=5, metavar="N", help="how many (5)")
    run.add_argument("--first-seed", type=int, default=0, metavar="K", help="seeds K to K + N - 1 (0)")
    run.add_argument("--quick", action="store_true", help="one seed, two small updates, four methods: a smoke test")
    world = parser.add_argument_group("on what")
    world.add_argument("--model", default=str(WEIGHTS_FOLDER), help="folder or Hugging Face id (the embedded model)")
    world.add_argument("--device", default="cpu", help="auto, cpu or cuda (cpu)")
    world.add_argument("--data", type=Path, metavar="FILE", help="contexts and questions, instead of the household's")
    world.add_argument("--format", choices=["jsonl", "pwc", "squad"], default="jsonl", help="of --data (jsonl)")
    world.add_argument(
        "--top", type=positive, default=TOP, metavar="K", help=f"experiences that retrieval reads ({TOP})"
    )
    world.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of updates; again for more"
    )
    out = parser.add_argument_group("how, and where to")
    out.add_argument("--jobs", type=positive, default=1, metavar="J", help="processes, of one thread each (1)")
    out.add_argument("--work", type=Path, metavar="DIR", help="keep everything here, and go on with what is there")
    out.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    out.add_argument("--plots", type=Path, metavar="DIR", help="write pictures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
