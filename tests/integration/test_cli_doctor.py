"""`selfparam doctor` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.home import Home
from agent.home_backup import write_backup
from memory_log.records import ExperienceState
from tests.cli_fixtures import REPOSITORY, run
from tests.home_fixtures import nothing, texts
from tests.log_fixtures import experience, lease_of

PAGE_BYTES = 4096


def damage(home: Path) -> None:
    """Overwrite the page of a log that holds experience 200."""
    log = home / "log.sqlite3"
    whole = log.read_bytes()
    start = whole.index(b"Box 200 is in") // PAGE_BYTES * PAGE_BYTES
    log.write_bytes(whole[:start] + b"\xa5" * PAGE_BYTES + whole[start + PAGE_BYTES :])


def test_a_sound_home_ends_with_zero_and_says_what_was_checked(tmp_path: Path) -> None:
    run(tmp_path, "tell", "I put the red mug in the kitchen drawer.")
    result = run(tmp_path, "doctor")
    assert (result.returncode, result.stdout) == (0, "19 checks, 0 errors, 0 warnings\n")
    assert "checking rows\n" in result.stderr


def test_a_damaged_home_ends_with_one_and_every_finding_says_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home.open(tmp_path).open_log() as log:
        log.append_many([experience(f"Box {number} is in the attic.") for number in range(500)])
    damage(tmp_path)
    assert main(["--home", str(tmp_path), "doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("  help: ") for line in lines[:-1]] == [False, True] * (len(lines) // 2)
    assert main(["--home", str(tmp_path), "doctor", "--mend", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["mended"] == [] and {one["severity"] for one in found["findings"]} == {"error"}


def test_mending_says_what_it_did_and_a_second_look_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home.open(tmp_path).open_log() as log:
        log.append(experience("Anna likes pears."))
        log.open_batch(lease_of(log, seconds=1e-6), limit=1)
    assert main(["--home", str(tmp_path), "doctor"]) == 0  # an expired lease is no damage
    assert "1 warning\n" in capsys.readouterr().out
    assert main(["--home", str(tmp_path), "doctor", "--mend"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mended: ended the lease of 'worker'") and out.endswith("0 errors, 0 warnings\n")


def test_what_is_salvaged_fills_up_a_home_restored_from_an_older_back_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, again = Home.open(tmp_path / "home"), tmp_path / "again"
    with home.open_log() as log:
        log.append_many([experience(f"Box {number} is in the attic.") for number in range(500)])
    write_backup(home, tmp_path / "old.tar", progress=nothing)
    with home.open_log() as log:
        log.append(experience("Anna likes pears."))
        log.forget(3)
    before = texts(home)
    damage(home.path)
    saved = str(tmp_path / "saved.jsonl")
    assert main(["--home", str(home.path), "doctor", "--salvage", saved]) == 0
    assert "1 forgotten, left out" in capsys.readouterr().out
    assert main(["--home", str(again), "restore", str(tmp_path / "old.tar")]) == 0
    assert main(["--home", str(again), "log", "import", saved]) == 0
    with Home.open(again).open_log() as log:
        assert log.count_by_state("default")[ExperienceState.PENDING] == 501
    assert texts(Home.open(again))[3:] == before[3:]
    assert main(["--home", str(again), "doctor"]) == 0


def test_salvage_replaces_no_file_and_needs_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "saved.jsonl"
    file.write_text("mine")
    assert main(["--home", str(tmp_path / "nowhere"), "doctor", "--salvage", str(tmp_path / "new")]) == 2
    Home.open(tmp_path / "home").open_log().close()
    assert main(["--home", str(tmp_path / "home"), "doctor", "--salvage", str(file)]) == 2
    assert "is there" in capsys.readouterr().err and file.read_text() == "mine"
    assert main(["--home", str(tmp_path / "home"), "doctor", "--salvage", "x", "--mend"]) == 2


def test_the_doctor_loads_no_torch() -> None:
    script = "import sys, agent.commands_doctor; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False).returncode == 0
