"""Whether memory pays off: an agent fetches what it saw in earlier episodes: `python -m benchmarks.fetch [--quick]`.

The agent lives through episodes in a world that persists and changes, writes down what it saw, and is then asked to
fetch things. It asks its memory where they are, goes there, and searches where the answer was wrong or unknown. Worlds:
the household, and a maze of MiniGrid. With --work a run can be killed at any point and taken up by the same command.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from agent.circumstances import utc_now
from agent.cli_arguments import positive
from agent.intervals import Metric
from agent.study.lines import ITEMS_FILE, whole_lines
from benchmarks.fetch_household import HouseholdPlan
from benchmarks.fetch_minigrid import MiniGridPlan
from benchmarks.fetch_picture import draw
from benchmarks.fetch_plan import METHODS, WORLDS, FetchPlan, WorldName, folder_of, run_part
from benchmarks.fetch_records import FetchLine
from benchmarks.fetch_report import metrics_of
from benchmarks.injection_plan import parsed_settings
from benchmarks.injection_pool import Piece, run_pieces
from benchmarks.results_file import report
from memory_log.errors import BadInput, SelfParamError

ROUNDS: Final = 3
NUM_QUESTIONS: Final = 5
QUICK_EPISODES: Final = 3
QUICK_SETTINGS: Final[dict[str, Any]] = {
    "num_steps": 26, "batch_about": 8, "batch_anchors": 3, "questions_per_experience": 8,
    "near_misses_per_experience": 4, "min_samples": 8, "num_anchors": 24,
}  # fmt: skip
"""Updates of the quick form: so short that they show that all parts work, and nothing about how well."""
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


def plan_of(options: argparse.Namespace) -> FetchPlan:
    """The plan that the command line asks for.

    Raises:
        BadInput: a setting is none.
    """
    settings = parsed_settings(options.set)
    if options.quick:
        return FetchPlan(
            household=HouseholdPlan(episodes=QUICK_EPISODES, notes_per_episode=1, per_update=QUICK_EPISODES),
            minigrid=MiniGridPlan(episodes=QUICK_EPISODES, per_update=QUICK_EPISODES),
            rounds=1, num_questions=2, settings={**QUICK_SETTINGS, **settings},
        )  # fmt: skip
    return FetchPlan(
        household=HouseholdPlan(episodes=options.episodes), minigrid=MiniGridPlan(episodes=options.episodes),
        rounds=ROUNDS, num_questions=NUM_QUESTIONS, settings=settings,
    )  # fmt: skip


def _run(options: argparse.Namespace, words: Sequence[str]) -> int:
    plan, worlds = plan_of(options), _worlds(options.worlds)
    seeds = range(options.first_seed, options.first_seed + (1 if options.quick else options.seeds))
    metrics: dict[str, Metric] = {}
    with tempfile.TemporaryDirectory(prefix="selfparam-fetch-") as temporary:
        work: Path = options.work or Path(temporary)
        plan.settle_in(work)
        run_pieces("fetch", pieces_of(plan, worlds, seeds, work), jobs=options.jobs)
        for world in worlds:
            metrics |= metrics_of(world, _outcomes(work, world, seeds), plan)
    for name, metric in metrics.items():
        verdict = "" if metric.met is None else f"   {metric.target}: {'met' if metric.met else 'MISSED'}"
        print(f"{name:44} {metric.mean:10.4g}  [{metric.low:.4g}, {metric.high:.4g}] {metric.unit}{verdict}")
    if options.json is not None:
        command = " ".join(["python -m benchmarks.fetch", *words])
        made = report("fetch", command=command, seeds=list(seeds), metrics=metrics, now=utc_now(), quick=options.quick)
        made.write(options.json)
    if options.plot is not None:
        draw(metrics, options.plot)
    return 0


def _outcomes(work: Path, world: WorldName, seeds: Sequence[int]) -> dict[str, dict[int, list[FetchLine]]]:
    def lines(method: str, seed: int) -> list[FetchLine]:
        return whole_lines(folder_of(work, world, method, seed) / ITEMS_FILE, FetchLine)

    return {method: {seed: lines(method, seed) for seed in seeds} for method in METHODS}


def pieces_of(plan: FetchPlan, worlds: Sequence[WorldName], seeds: Sequence[int], work: Path) -> list[Piece]:
    """Every world, method and seed as a part that goes on by itself."""
    pieces = []
    for world in worlds:
        for seed in seeds:
            num_stops = len(plan.life(world, seed).stops)
            for method in METHODS:
                folder = folder_of(work, world, method, seed)
                pieces.append(Piece(folder, num_stops, partial(run_part, plan, world, method, seed, work)))
    return pieces


def _worlds(text: str) -> list[WorldName]:
    named = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in named if name not in WORLDS]
    if unknown:
        raise BadInput(f"--worlds got {', '.join(map(repr, unknown))}; there are: {', '.join(WORLDS)}")
    return cast(list[WorldName], named)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fetch",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--episodes", type=positive, default=50, metavar="N", help="of a life (50)")
    parser.add_argument("--worlds", default=",".join(WORLDS), metavar="A,B", help=f"({','.join(WORLDS)})")
    parser.add_argument("--seeds", type=positive, default=5, metavar="N", help="how many (5)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="K", help="seeds K to K + N - 1 (0)")
    parser.add_argument("--quick", action="store_true", help="one seed, three episodes, short updates: a smoke test")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of updates")
    parser.add_argument("--jobs", type=positive, default=1, metavar="J", help="processes, of one thread each (1)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep everything here, and go on with what is there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the picture")
    return parser


if __name__ == "__main__":
    sys.exit(main())
