"""The demo as a user runs it: a whole one, one whose processes are killed in the middle, one that is interrupted."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.home import Home
from memory_log.records import ExperienceState
from tests.cli_fixtures import REPOSITORY

pytestmark = pytest.mark.timeout(1200)

MODEL = os.environ.get("SELFPARAM_TEST_MODEL")
"""Another base model than the embedded one, for trying a new one."""

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
REQUIRED = (
    "model", "seed", "num_updates", "num_experiences", "ceiling", "floor", "efficacy", "retention", "false_recall",
    "num_requests", "num_failed_requests", "num_mixed_version_answers", "update_seconds", "swap_seconds",
)  # fmt: skip


class RunningDemo:
    """`selfparam demo --plain` with updates of two experiences, two of them by default, line by line."""

    def __init__(self, out: Path, *, num_updates: int = 2) -> None:
        model = [] if MODEL is None else ["--model", MODEL]
        sizes = ["--updates", str(num_updates), "--experiences-per-update", "2"]
        command = [sys.executable, "-m", "agent.cli", "demo", *sizes, "--plain", "--out", str(out), *model]
        self.out = out
        self.lines: list[str] = []
        self.pids: dict[str, list[int]] = {"update worker": [], "serving actor": []}
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
        )  # fmt: skip

    def read_until(self, words: str) -> None:
        """Read lines until one holds the words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._keep(line)
            if words in line:
                return
        pytest.fail(f"the demo ended before it said {words!r}: {self.lines} {self.process.communicate()[1]}")

    def finish(self) -> int:
        """Read the rest; the exit code."""
        rest, self.errors = self.process.communicate(timeout=900)
        for line in rest.splitlines():
            self._keep(line)
        return self.process.returncode

    def _keep(self, line: str) -> None:
        self.lines.append(line.rstrip())
        if found := re.search(r"the (update worker|serving actor) .* process (\d+)", line):
            self.pids[found[1]].append(int(found[2]))

    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "summary.json").read_text())


@pytest.fixture
def demo(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningDemo]:
    running = RunningDemo(tmp_path / "demo", num_updates=getattr(request, "param", 2))
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate()


def listening_addresses(pid: int) -> set[str]:
    """The addresses, as the kernel writes them, on which a process listens."""
    opened = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in opened}


def assert_nothing_was_lost(demo: RunningDemo, num_experiences: int = 4) -> None:
    with Home.open(demo.out / "home", create=False).open_log() as log:
        counts = log.count_by_state("default")
    assert counts[ExperienceState.LEARNED] + counts[ExperienceState.REFUSED] == num_experiences, counts
    assert counts[ExperienceState.LEARNED] > 0


def test_a_demo_whose_processes_are_killed_ends_with_figures_and_every_single_result(demo: RunningDemo) -> None:
    demo.read_until("has woken")
    demo.read_until("version 1 serves")
    demo.read_until("has woken")
    time.sleep(1.0)
    os.kill(demo.pids["update worker"][0], signal.SIGKILL)
    demo.read_until("the update worker is back")
    demo.read_until("has woken")
    os.kill(demo.pids["serving actor"][0], signal.SIGKILL)
    assert demo.finish() == 0, demo.errors
    assert {name: len(set(pids)) for name, pids in demo.pids.items()} == {"update worker": 2, "serving actor": 2}
    summary = demo.summary()
    assert set(REQUIRED) <= set(summary)
    assert (summary["num_updates"], summary["num_experiences"], summary["seed"]) == (2, 4, 0)
    assert summary["num_failed_requests"] == summary["num_mixed_version_answers"] == summary["num_probes_taught"] == 0
    assert max(summary["in_flight_at_swaps"]) >= 1
    assert summary["num_requests"] > summary["num_requests_during_updates"] > 0
    rows = [json.loads(line) for line in (demo.out / "probes.jsonl").read_text().splitlines()]
    final = [row["correct"] for row in rows if row["is_final"] and row["kind"] == "question"]
    assert summary["retention"] == pytest.approx(sum(final) / len(final))
    assert (demo.out / "retention.png").stat().st_size > 1000
    with Home.open(demo.out / "home", create=False).open_log() as log:
        recorded = {(one.probe_id, one.version): one.correct for one in log.probe_results("default")}
    asked = {(row["probe_id"], row["version"]): row["correct"] for row in rows if row["condition"] != "ceiling"}
    assert recorded == asked
    assert_nothing_was_lost(demo)
    assert "Traceback" not in demo.errors and "Warning" not in demo.errors


@pytest.mark.parametrize("demo", [1], indirect=True)
def test_ctrl_c_ends_a_demo_cleanly(demo: RunningDemo) -> None:
    demo.read_until("has woken")
    for pid in (demo.process.pid, *(pids[0] for pids in demo.pids.values())):
        heard = listening_addresses(pid)
        assert heard and heard <= LOOPBACK, "nothing listens to other computers"
    demo.process.send_signal(signal.SIGINT)
    assert demo.finish() == 130, demo.errors
    assert "nothing that was acknowledged is lost" in demo.errors and "Traceback" not in demo.errors
    for pid in (pids[0] for pids in demo.pids.values()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with Home.open(demo.out / "home", create=False).open_log() as log:
        assert log.updater_lease("default") is None
        counts = log.count_by_state("default")
    assert counts[ExperienceState.PENDING] + counts[ExperienceState.LEARNED] == sum(counts.values()) >= 2
    assert not (demo.out / "summary.json").exists()


def test_a_demo_does_not_write_over_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    running = RunningDemo(tmp_path)
    assert running.finish() == 2
    assert "not an empty folder" in running.errors and (tmp_path / "summary.json").read_text() == "{}"
