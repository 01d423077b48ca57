"""How soon who waits learns of an append: `python -m benchmarks.log_wakeup [--quick] [--json FILE]`.

One process waits at a bell, another appends: on SQLite, and on a real PostgreSQL. A wake-up is counted from the call of
`append` to the return of `wait`, so that it holds the append with its commit. Then: what waiting costs the processor,
and what it costs an append that somebody waits. The rounds are the seeds of the results file.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

from agent.circumstances import utc_now
from agent.intervals import Metric, measured, quantile
from benchmarks.postgresql_server import postgresql_server
from benchmarks.results_file import report
from memory_log.bells import Bell
from memory_log.log import MemoryLog
from memory_log.records import NewExperience

SETTLE_SECONDS: Final = 0.5
"""After which a new bell has rung for what was before, and the other process sleeps."""
LOST_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0


class Plan(NamedTuple):
    """How much is measured."""

    num_rounds: int
    num_wakeups: int
    """In each round."""
    num_appends: int
    """In each round, to measure their rate."""
    idle_seconds: float
    """Of waiting in each round."""


FULL: Final = Plan(num_rounds=5, num_wakeups=300, num_appends=1000, idle_seconds=10)
QUICK: Final = Plan(num_rounds=1, num_wakeups=20, num_appends=50, idle_seconds=1)


class Round(NamedTuple):
    """What one round measured on one engine."""

    wakeups_ms: list[float]
    cpu_share: float
    """CPU seconds for each second of waiting, with a look at the log every LOOK_SECONDS beneath."""
    rate_alone: float
    """Appends a second while nobody waits."""
    rate_waited_for: float
    """Appends a second while another process waits, and wakes at each."""


def _append_when_told(url: str, orders: Connection) -> None:
    with MemoryLog(url) as log:
        log.append(NewExperience(text="The first append prepares what all others use."))
        orders.send("ready")
        while orders.recv() == "append":
            called_at = time.monotonic()  # of the machine, not of the process
            log.append(NewExperience(text="I put the red mug in the kitchen drawer."))
            orders.send(called_at)


def _wait_when_told(url: str, orders: Connection) -> None:
    with MemoryLog(url) as log, log.bell("default") as bell:
        orders.send("ready")
        while not orders.poll():
            bell.wait(LOOK_SECONDS)


def _wait_idle(url: str, orders: Connection) -> None:
    seconds: float = orders.recv()
    with MemoryLog(url) as log, log.bell("default") as bell:
        _settle(bell)
        began, used = time.monotonic(), time.process_time()
        while time.monotonic() - began < seconds:
            bell.wait(LOOK_SECONDS)
            log.num_waiting("default", at_most=5)
        orders.send((time.process_time() - used) / (time.monotonic() - began))


def _settle(bell: Bell) -> None:
    while bell.wait(SETTLE_SECONDS):
        pass


@contextmanager
def _process(target: Callable[[str, Connection], None], url: str) -> Iterator[Connection]:
    """Another process, and the pipe to it; it ends when it is told `end`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(url, theirs))
    process.start()
    try:
        yield ours
    finally:
        ours.send("end")
        process.join()


def _wakeups_ms(url: str, count: int) -> list[float]:
    found = []
    with _process(_append_when_told, url) as orders, MemoryLog(url) as log, log.bell("default") as bell:
        orders.recv()
        _settle(bell)
        for _ in range(count):
            orders.send("append")
            if not bell.wait(LOST_SECONDS):
                raise RuntimeError(f"an append did not ring within {LOST_SECONDS:.0f} s")
            woken_at = time.monotonic()
            found.append((woken_at - orders.recv()) * 1000)
            bell.wait(0.01)  # both processes sleep before the next one
    return found


def _appends_per_second(url: str, count: int) -> float:
    with MemoryLog(url) as log:
        log.append(NewExperience(text="The first append prepares what all others use."))
        began = time.monotonic()
        for _ in range(count):
            log.append(NewExperience(text="I put the red mug in the kitchen drawer."))
        return count / (time.monotonic() - began)


def measure(url: str, plan: Plan) -> Round:
    """One round on the log at this URL."""
    wakeups_ms = _wakeups_ms(url, plan.num_wakeups)
    with _process(_wait_idle, url) as orders:
        orders.send(plan.idle_seconds)
        cpu_share: float = orders.recv()
    rate_alone = _appends_per_second(url, plan.num_appends)
    with _process(_wait_when_told, url) as orders:
        orders.recv()
        time.sleep(SETTLE_SECONDS)
        rate_waited_for = _appends_per_second(url, plan.num_appends)
    return Round(wakeups_ms, cpu_share, rate_alone, rate_waited_for)


def metrics_of(engine: str, rounds: Sequence[Round]) -> dict[str, Metric]:
    """The metrics of one engine over its rounds."""
    return {
        f"wakeup_p50_ms_{engine}": measured([quantile(one.wakeups_ms, 0.5) for one in rounds], unit="ms"),
        f"wakeup_p99_ms_{engine}": measured(
            [quantile(one.wakeups_ms, 0.99) for one in rounds], unit="ms", target="<= 100"
        ),
        f"waiter_cpu_share_{engine}": measured(
            [one.cpu_share for one in rounds], unit="share", target="<= 0.01", bounds=(0, 1)
        ),
        f"append_rate_{engine}": measured([one.rate_alone for one in rounds], unit="appends a second"),
        f"append_rate_waited_for_ratio_{engine}": measured(
            [one.rate_waited_for / one.rate_alone for one in rounds], unit="ratio"
        ),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_wakeup", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="on the disk to measure (default: temporary files')")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    metrics: dict[str, Metric] = {}
    with tempfile.TemporaryDirectory(prefix="selfparam-wakeup-", dir=options.folder) as folder:
        urls = [f"sqlite:///{folder}/{number}.db" for number in range(plan.num_rounds)]
        metrics |= metrics_of("sqlite", [measure(url, plan) for url in urls])
    with postgresql_server(options.folder) as url:
        metrics |= metrics_of("postgresql", [measure(url, plan) for _ in range(plan.num_rounds)])
    for name, metric in metrics.items():
        print(f"{name:40} {metric.mean:9.4f}  [{metric.low:.4f}, {metric.high:.4f}] {metric.unit}{metric.verdict}")
    if options.json is not None:
        quick = ["--quick"] if options.quick else []
        words = ["python -m benchmarks.log_wakeup", *quick, "--json", str(options.json)]
        seeds = list(range(plan.num_rounds))
        report(
            "log_wakeup", command=" ".join(words), seeds=seeds, metrics=metrics, now=utc_now(), quick=options.quick
        ).write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
