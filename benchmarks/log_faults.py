"""What the log keeps when everything around it dies: `python -m benchmarks.log_faults [--quick] [--json FILE]`.

Writers and workers are killed with kill -9 at random moments on SQLite and on a real PostgreSQL, which is itself
restarted and killed under load; clocks jump, disks fill up, and database files are damaged. Whatever was acknowledged
is looked for afterwards. Every violation is printed in full; the same seed chooses the same victims and moments, though
what a process was doing just then is chance.
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.circumstances import utc_now
from agent.intervals import Metric, measured
from benchmarks.log_faults_files import damage_files, fill_disks
from benchmarks.log_faults_kills import Fleet, kill_at_random, restart_at_random
from benchmarks.log_faults_ledger import Findings
from benchmarks.log_faults_server import Server
from benchmarks.results_file import report
from memory_log.log import MemoryLog


class Size(NamedTuple):
    """How many of each fault."""

    num_kills: int
    num_restarts: int
    num_disks: int
    num_files: int


FULL: Final = Size(num_kills=320, num_restarts=24, num_disks=12, num_files=210)
QUICK: Final = Size(num_kills=24, num_restarts=3, num_disks=2, num_files=14)
KINDS: Final = ("files", "sqlite", "postgresql", "restarts")

TARGETS: Final = {
    "num_kills_sqlite": ("kills", ">= 300"),
    "num_kills_postgresql": ("kills", ">= 300"),
    "num_lost": ("acknowledgements", "== 0"),
    "num_learned_twice": ("experiences", "== 0"),
    "num_stored_twice": ("experiences", "== 0"),
    "num_torn": ("calls and sessions", "== 0"),
    "num_tree_violations": ("violations", "== 0"),
    "num_damage_unnoticed": ("files", "== 0"),
    "num_acknowledged": ("experiences", None),
    "num_admitted": ("versions", None),
    "num_restarts_postgresql": ("restarts", None),
    "num_outcomes_unknown": ("calls", None),
    "num_outcomes_unknown_stored": ("calls", None),
    "num_errors_seen_in_restarts": ("errors", None),
    "num_clock_jumps": ("jumps", None),
    "num_rollbacks": ("rollbacks", None),
    "num_disk_full": ("errors", None),
    "num_damaged_files": ("files", None),
    "num_damaged_refused": ("files", None),
    "num_damaged_whole": ("files", None),
}
"""Every metric: its unit and what it must reach."""


@dataclass
class Run:
    """What one run has counted so far, by the names of TARGETS, and the violations in words."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TARGETS, 0))
    violations: list[str] = field(default_factory=list)

    def take_looks(self, looks: Sequence[Findings]) -> None:
        """Add what the looks at one log found. Each sees the whole log again: the worst look counts, not the sum."""
        for name in ("num_lost", "num_learned_twice", "num_stored_twice", "num_torn", "num_tree_violations"):
            self.counts[name] += max(getattr(look, name) for look in looks)
        self.violations += dict.fromkeys(violation for look in looks for violation in look.violations)

    def take_fleet(self, fleet: Fleet) -> None:
        """Add what the processes of one log have written into their diaries."""
        ledger = fleet.ledger
        with MemoryLog(fleet.url) as log:
            self.counts["num_outcomes_unknown_stored"] += ledger.num_unknown_stored(log)
        self.counts["num_acknowledged"] += ledger.num_acknowledged
        self.counts["num_admitted"] += len(ledger.admitted)
        self.counts["num_outcomes_unknown"] += len(ledger.unknown)
        self.counts["num_errors_seen_in_restarts"] += ledger.counts["unavailable"] + ledger.counts["unknown"]
        self.counts["num_clock_jumps"] += ledger.counts["jump"]
        self.counts["num_rollbacks"] += ledger.counts["rollback"]


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error that draws itself only when called: a thread of its own would not be forked."""
    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
    with progress:
        task = progress.add_task(what, total=total)

        def show(done: int) -> None:
            progress.update(task, completed=min(done, total), refresh=True)

        yield show


def kill_on_sqlite(run: Run, folder: Path, size: Size, rng: random.Random) -> None:
    """Kill the users of one SQLite log."""
    with Fleet(f"sqlite:///{folder}/log.sqlite3", _diaries(folder, "sqlite"), rng) as fleet:
        with bar("kill -9 on SQLite", size.num_kills) as progress:
            run.take_looks(kill_at_random(fleet, size.num_kills, rng, server=None, progress=progress))
        run.take_fleet(fleet)
        run.counts["num_kills_sqlite"] += fleet.num_kills


def kill_on_postgresql(run: Run, folder: Path, size: Size, rng: random.Random, server: Server) -> None:
    """Kill the users of one log on PostgreSQL."""
    with Fleet(server.new_log_url("kills"), _diaries(folder, "kills"), rng) as fleet:
        with bar("kill -9 on PostgreSQL", size.num_kills) as progress:
            run.take_looks(kill_at_random(fleet, size.num_kills, rng, server=server, progress=progress))
        run.take_fleet(fleet)
        run.counts["num_kills_postgresql"] += fleet.num_kills


def restart_postgresql(run: Run, folder: Path, size: Size, rng: random.Random, server: Server) -> None:
    """Restart and kill the server beneath the users of one log."""
    with Fleet(server.new_log_url("restarts"), _diaries(folder, "restarts"), rng) as fleet:
        with bar("restarts of PostgreSQL", size.num_restarts) as progress:
            run.take_looks(restart_at_random(fleet, size.num_restarts, rng, server, progress))
        run.take_fleet(fleet)
        run.counts["num_kills_postgresql"] += fleet.num_kills
        run.counts["num_restarts_postgresql"] += size.num_restarts


def hurt_files(run: Run, folder: Path, size: Size, rng: random.Random) -> None:
    """Fill disks and damage files."""
    with bar("full disks", size.num_disks) as progress:
        found, num_full = fill_disks(folder, size.num_disks, rng, progress)
    run.take_looks([found])
    run.counts["num_disk_full"] += num_full
    with bar("damaged files", size.num_files) as progress:
        outcomes, remarks = damage_files(folder, size.num_files, rng, progress)
    run.counts["num_damaged_files"] += size.num_files
    run.counts["num_damaged_refused"] += outcomes["refused"]
    run.counts["num_damaged_whole"] += outcomes["whole"]
    # An error that is not ours is a refusal too, but not one that says what to do.
    run.counts["num_damage_unnoticed"] += outcomes["unnoticed"] + outcomes["unclear"]
    run.violations += remarks


def _diaries(folder: Path, name: str) -> Path:
    diaries = folder / f"diaries-{name}"
    diaries.mkdir()
    return diaries


def measure(size: Size, seed: int, folder: Path, only: str | None) -> Run:
    """All faults, one kind after the other, or those of one kind."""
    run = Run()
    if only in (None, "files"):
        hurt_files(run, folder, size, random.Random(seed))
    if only in (None, "sqlite"):
        kill_on_sqlite(run, folder, size, random.Random(seed))
    if only in (None, "postgresql", "restarts"):
        with Server(folder) as server:
            if only != "restarts":
                kill_on_postgresql(run, folder, size, random.Random(seed), server)
            if only != "postgresql":
                restart_postgresql(run, folder, size, random.Random(seed), server)
    return run


def metrics_of(run: Run) -> dict[str, Metric]:
    """Every count, with its target."""
    return {name: measured([run.counts[name]], unit=unit, target=target) for name, (unit, target) in TARGETS.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric and violation, write the file when asked to. The exit code: 1 for a violation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each fault, in about a minute")
    parser.add_argument("--only", choices=KINDS, help="one kind of fault; a full measurement has all")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="chooses victims and moments (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="selfparam-faults-") as temporary:
        os.chmod(temporary, 0o755)  # run by root, the server is another user's
        run = measure(QUICK if options.quick else FULL, options.seed, Path(temporary), options.only)
    metrics = metrics_of(run)
    for name, metric in metrics.items():
        print(f"{name:30} {metric.mean:8.0f} {metric.unit}{metric.verdict}")
    for violation in run.violations:
        print(f"seed {options.seed}: {violation}")
    if options.json is not None:
        words = ["python -m benchmarks.log_faults", *(["--quick"] if options.quick else [])]
        words += [*(["--only", options.only] if options.only else [])]
        words += [*(["--seed", str(options.seed)] if options.seed else []), "--json", str(options.json)]
        report(
            "log_faults", command=" ".join(words), seeds=[options.seed], metrics=metrics, now=utc_now(),
            quick=options.quick or options.only is not None,
        ).write(options.json)  # fmt: skip
    return 1 if run.violations else 0


if __name__ == "__main__":
    sys.exit(main())
