"""How well the agent comes to know its house: `python -m benchmarks.demo [--quick] [--json FILE] [--out DIR]`.

Runs the demo once a seed, with its defaults, and puts the summaries together. A seed whose summary lies in `--out`
already is not run again, so a long run can be interrupted and taken up.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.circumstances import utc_now
from agent.demo import DemoPlan, play
from agent.display import Display
from agent.intervals import Metric, measured
from benchmarks.results_file import report

FULL: Final = (8, 5)
QUICK: Final = (2, 2)
"""Updates and experiences in each; the quick form has one seed."""


class Reported(NamedTuple):
    """A figure of the summary: its unit, what it must reach, what it cannot leave."""

    unit: str
    target: str | None = None
    bounds: tuple[float, float] | None = None


SHARE: Final = (0.0, 1.0)
METRICS: Final[Mapping[str, Reported]] = {
    "ceiling": Reported("share", ">= 0.95", SHARE),
    "floor": Reported("share", "<= 0.05", SHARE),
    "efficacy": Reported("share", None, SHARE),
    "efficacy_ratio": Reported("ratio", ">= 0.9"),
    "retention": Reported("share", None, SHARE),
    "retention_ratio": Reported("ratio", ">= 0.9"),
    "retention_ratio_lag_ge_4": Reported("ratio"),
    "false_recall": Reported("share", "<= 0.05", SHARE),
    "num_probes": Reported("probes"),
    "num_probes_taught": Reported("probes", "== 0"),
    "num_near_misses": Reported("probes", ">= 200"),
    "num_refused": Reported("experiences"),
    "num_requests": Reported("requests", ">= 200"),
    "num_requests_during_updates": Reported("requests", ">= 50"),
    "min_in_flight_at_swap": Reported("requests", ">= 1"),
    "num_failed_requests": Reported("requests", "== 0"),
    "num_mixed_version_answers": Reported("answers", "== 0"),
    "num_near_ties": Reported("answers"),
    "update_seconds_median": Reported("seconds", "<= 15"),
    "swap_seconds_max": Reported("seconds"),
    "wall_seconds": Reported("seconds", "<= 240"),
}


def summary_of(folder: Path, plan: DemoPlan, *, plain: bool) -> dict[str, Any]:
    """The summary of a seed's demo, which is run unless a complete one of the same plan lies in the folder."""
    path = folder / "summary.json"
    if path.is_file():
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same = (plan.seed, plan.updates, plan.updates * plan.experiences_per_update)
        if (summary["seed"], summary["num_updates"], summary["num_experiences"]) != same:
            raise ValueError(f"{folder} holds a demo of another length or seed; choose another --out")
        return summary
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left here
    folder.mkdir(parents=True)
    return play(plan, Display(plain=plain))


def figure_of(summary: Mapping[str, Any], name: str) -> float | None:
    """A metric's value for one seed; None where this demo was too short to have it."""
    if name == "swap_seconds_max":
        return max(summary["swap_seconds"], default=None)
    figure: float | None = summary[name]
    return figure


def metrics_of(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    """Every figure that all of the summaries have, in the order of METRICS."""
    found = {}
    for name, reported in METRICS.items():
        values: list[float] = [figure for summary in summaries if (figure := figure_of(summary, name)) is not None]
        if len(values) == len(summaries):
            found[name] = measured(values, unit=reported.unit, target=reported.target, bounds=reported.bounds)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one seed, two updates of two experiences")
    parser.add_argument("--model", help="folder or Hugging Face id (default: the embedded model)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep every seed's results here, and take up from them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    seeds = range(1 if options.quick else options.seeds)
    updates, experiences_per_update = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="selfparam-demo-") as temporary:
        root: Path = options.out or Path(temporary)
        summaries = []
        for seed in seeds:
            folder = root / f"seed-{seed}"
            plan = DemoPlan(
                updates=updates, experiences_per_update=experiences_per_update, seed=seed, out=folder,
                model=options.model, device=options.device,
            )  # fmt: skip
            summaries.append(summary_of(folder, plan, plain=True))
    metrics = metrics_of(summaries)
    for name, metric in metrics.items():
        print(f"{name:30} {metric.mean:8.3f}  [{metric.low:.3f}, {metric.high:.3f}] {metric.unit}{metric.verdict}")
    if options.json is not None:
        words = ["python -m benchmarks.demo", *(["--quick"] if options.quick else []), "--json", str(options.json)]
        command = " ".join(words)
        report(
            "demo", command=command, seeds=list(seeds), metrics=metrics, now=utc_now(), quick=options.quick
        ).write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
