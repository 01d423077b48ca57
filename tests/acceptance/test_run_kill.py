"""`selfparam run` killed in the middle and started again: each step is there once."""

import os
import signal
import subprocess
from pathlib import Path

from agent.cli import main
from agent.home import Home
from agent.household import ENVIRONMENT_ID
from tests.cli_fixtures import REPOSITORY, command
from tests.environment_fixtures import recorded, told

LIFE = ("run", "--env", ENVIRONMENT_ID, "--episodes", "12", "--steps", "60", "--session", "monday", "--seed", "2")


def test_a_killed_run_that_is_started_again_has_recorded_every_step_once(tmp_path: Path) -> None:
    home, whole = tmp_path / "home", tmp_path / "whole"
    process = subprocess.Popen(
        command(home, *LIFE), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=REPOSITORY, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert [line.split(":")[0] for line in lines] == ["episode 1", "episode 2", "episode 3"]
    with Home.open(home).open_log() as log:
        before = recorded(log)
    assert {f"monday/episode-{number}" for number in (1, 2, 3)} <= {one.session for one in before}, "told is recorded"
    for folder in (home, whole):
        assert main(["--home", str(folder), *LIFE]) == 0
    with Home.open(home).open_log() as log, Home.open(whole).open_log() as other:
        assert len(before) < len(recorded(log, "default"))
        assert recorded(log)[: len(before)] == before, "what was there is as it was"
        assert told(log) == told(other)
