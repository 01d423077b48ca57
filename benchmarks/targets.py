"""Prints every committed result against its target: `python -m benchmarks.targets`.

Knows how to lay out a table. Refuses to know how anything is measured: it reads results files only.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from agent.intervals import Metric
from benchmarks.results_file import ResultsFile

RESULTS = Path(__file__).parent / "results"


def targets_table(results: Sequence[ResultsFile]) -> Table:
    """One row a metric: measured mean with its 95% interval, target, and whether the interval's worse end meets it."""
    table = Table(caption="mean [95% interval over seeds]; met = the interval's worse end meets the target")
    for heading in ("benchmark", "metric", "measured", "unit", "target", "met"):
        table.add_column(heading, no_wrap=heading in ("metric", "measured"))
    for result in results:
        label = f"{result.benchmark} (quick)" if result.quick else result.benchmark
        for name, metric in result.metrics.items():
            table.add_row(label, name, _interval(metric), metric.unit, metric.target or "", _verdict(metric))
        table.add_section()
    return table


def _interval(metric: Metric) -> str:
    if metric.low == metric.high:
        return f"{metric.mean:.4g}"
    return f"{metric.mean:.4g} [{metric.low:.4g}, {metric.high:.4g}]".replace("[", "\\[")


def _verdict(metric: Metric) -> str:
    if metric.met is None:
        return ""
    return "[green]yes[/green]" if metric.met else "[red]no[/red]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table. Exit code: 0, with `--strict` 1 when a target is missed, 2 for a file that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.targets", description="results against targets")
    parser.add_argument("files", nargs="*", type=Path, help="results files (default: all of benchmarks/results)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)

    files = options.files or sorted(RESULTS.glob("*.json"))
    if not files:
        print(f"no results yet in {RESULTS}: run 'make bench', or one benchmark with --json FILE")
        return 0
    try:
        results = [ResultsFile.read(file) for file in files]
    except (OSError, ValidationError) as error:
        print(f"a results file cannot be read: {error}", file=sys.stderr)
        return 2
    Console().print(targets_table(results))
    missed = [name for result in results for name, metric in result.metrics.items() if metric.met is False]
    return 1 if options.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())
