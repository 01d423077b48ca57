"""How fast the log is: `python -m benchmarks.log_throughput [--quick] [--json FILE] [--folder DIR]`.

Appending with 1 and 4 writers, singly and in batches of 64; claiming and acknowledging; drawing for replay; bytes on
disk. On SQLite and on a real PostgreSQL, with few rows stored and with many, each beside the bare SQL of the raw driver
at equal durability and beside a peer. All take turns within a round; a ratio is of one round, and the rounds are the
seeds of the results file. A ratio above 1 means that ours is faster.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.circumstances import utc_now
from agent.intervals import Metric, measured
from benchmarks.log_throughput_engine import FULL, QUICK, Plan, Samples, measure
from benchmarks.log_throughput_places import PostgresqlDatabases, SqliteFiles
from benchmarks.postgresql_server import postgresql_server
from benchmarks.results_file import report

RATIO: Final = (0.0, math.inf)
PEERS: Final = {"sqlite": "sqlite_queue", "postgresql": "procrastinate"}


def metrics_of(samples: dict[str, Samples]) -> dict[str, Metric]:
    """Those with a target first, each the worst of what it stands for; then every part of them, and rates."""
    headline: dict[str, Metric] = {}
    parts: dict[str, Metric] = {}
    for engine, sample in samples.items():
        raw = {f"append_vs_raw_{engine}_{case}": values for case, values in sample.ratios("raw", "append").items()}
        claims = {f"claim_vs_raw_{engine}_{case}": values for case, values in sample.ratios("raw", "claim").items()}
        peer = PEERS[engine]
        beside = {
            f"vs_{peer}_{kind}_{case}": values
            for kind in ("append", "claim")
            for case, values in sample.ratios("peer", kind).items()
        }
        headline[f"append_vs_raw_{engine}"] = measured(_least(raw), unit="ratio", target=">= 0.7", bounds=RATIO)
        headline[f"claim_vs_raw_{engine}"] = measured(_least(claims), unit="ratio", target=">= 0.7", bounds=RATIO)
        headline[f"vs_{peer}"] = measured(_least(beside), unit="ratio", target=">= 2", bounds=RATIO)
        for name, values in (raw | claims | beside).items():
            parts[name] = measured(values, unit="ratio", bounds=RATIO)
        for name, values, unit in sample.informative():
            parts[f"{engine}_{name}"] = measured(values, unit=unit, bounds=RATIO)
    growth = max((sample.growth("claim_p99") for sample in samples.values()), key=_mean)
    headline["claim_p99_growth"] = measured(growth, unit="ratio", target="<= 1.5", bounds=RATIO)
    overhead = max(sample.overhead.worse for sample in samples.values())
    headline["overhead_bytes"] = measured([overhead], unit="bytes", target="<= 1000")
    return headline | parts


def _least(ratios: dict[str, list[float]]) -> list[float]:
    return min(ratios.values(), key=_mean)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def run(plan: Plan, disk: Path | None = None) -> dict[str, Samples]:
    """Everything that was measured, by engine, with a line a step meanwhile.

    Args:
        plan: how much and how often.
        disk: a folder on the disk to measure (default: that of temporary files).
    """
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="selfparam-throughput-", dir=disk) as folder,
        postgresql_server(disk) as url,
    ):
        places = (SqliteFiles(Path(folder)), PostgresqlDatabases(url))
        return {place.engine: measure(place, plan, Path(folder), say) for place in places}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_throughput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds: a smoke test")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="on the disk to measure (default: temporary files')")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    metrics = metrics_of(run(plan, options.folder))
    for name, metric in metrics.items():
        print(f"{name:60} {metric.mean:10.2f}  [{metric.low:.2f}, {metric.high:.2f}] {metric.unit}{metric.verdict}")
    if options.json is not None:
        quick = ["--quick"] if options.quick else []
        command = " ".join(["python -m benchmarks.log_throughput", *quick, "--json", str(options.json)])
        seeds = list(range(plan.num_rounds))
        report(
            "log_throughput", command=command, seeds=seeds, metrics=metrics, now=utc_now(), quick=options.quick
        ).write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
