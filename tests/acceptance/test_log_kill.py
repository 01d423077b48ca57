"""kill -9 at random moments: what was acknowledged is there, and the next process carries on (SQLite)."""

import random
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from memory_log.log import MemoryLog
from tests.log_fixtures import assert_learned_once, experience, start_worker

ROUNDS = 4


def lines_before_death(process: subprocess.Popen[str], seconds: float) -> list[str]:
    """Kill the process some time after its first line. The whole lines that it wrote."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    return (first + process.communicate()[0]).split("\n")[:-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def test_an_acknowledged_append_survives_kill_9(path: Path) -> None:
    rng = random.Random(0)
    acknowledged: dict[int, str] = {}
    for seed in range(ROUNDS):
        process = start_worker("append", f"sqlite:///{path}", seed)
        for line in lines_before_death(process, rng.uniform(0.0, 0.6)):
            number, text = line.split(" ", 1)
            acknowledged[int(number)] = text
    with MemoryLog(f"sqlite:///{path}") as log:
        stored = {one.id: one.text for one in log.experiences("default", limit=1_000_000)}
        assert len(log.append_many([experience("Life goes on.")])) == 1
    assert len(acknowledged) > ROUNDS and acknowledged.items() <= stored.items()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_an_update_killed_anywhere_leaves_the_old_or_the_new_state(path: Path) -> None:
    rng = random.Random(1)
    admitted: set[int] = set()
    with MemoryLog(f"sqlite:///{path}") as log:
        for seed in range(ROUNDS):
            log.append_many([experience(f"Event {index}.") for index in range(40)])
            process = start_worker("update", f"sqlite:///{path}", seed)
            admitted |= {int(line) for line in lines_before_death(process, rng.uniform(0.0, 0.3))}
            assert_learned_once(log, admitted)
        heir = start_worker("update", f"sqlite:///{path}", 99)
        said, _ = heir.communicate(timeout=120)
        assert_learned_once(log, admitted | {int(line) for line in said.split()})
        counts = log.count_by_state("default")
        assert counts["learned"] == 40 * ROUNDS, counts
