"""kill -9 at random moments, servers that die and files that rot: what was acknowledged is there, and life goes on.

A small run of the benchmark that counts the same in full, in a process of its own, because it forks.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results_file import ResultsFile

PROMISES = (
    "num_lost", "num_learned_twice", "num_stored_twice", "num_torn", "num_tree_violations", "num_damage_unnoticed",
)  # fmt: skip


@pytest.mark.parametrize(
    ("only", "proofs"),
    [
        ("sqlite", {"num_kills_sqlite": 20, "num_acknowledged": 100, "num_admitted": 1}),
        ("postgresql", {"num_kills_postgresql": 20, "num_acknowledged": 100, "num_admitted": 1}),
        ("restarts", {"num_restarts_postgresql": 3, "num_acknowledged": 100, "num_admitted": 1}),
        ("files", {"num_disk_full": 2, "num_damaged_files": 14, "num_damaged_refused": 4}),
    ],
)
def test_whatever_dies_nothing_acknowledged_is_lost_or_learned_twice(
    only: str, proofs: dict[str, int], tmp_path: Path
) -> None:
    results = tmp_path / "log_faults.json"
    command = [sys.executable, "-m", "benchmarks.log_faults", "--quick", "--only", only, "--json", str(results)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = ResultsFile.read(results).metrics
    assert {name: metrics[name].mean for name in PROMISES} == dict.fromkeys(PROMISES, 0)
    assert all(metrics[name].mean >= least for name, least in proofs.items()), done.stdout
