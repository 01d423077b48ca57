"""`selfparam relearn` and the verbs of `selfparam versions`: what they say and refuse, without an update."""

import json
import pty
import subprocess
from pathlib import Path

import pytest

from agent.cli import main
from agent.home import Home
from memory_log.records import ExperienceState, NewExperience
from tests.cli_fixtures import REPOSITORY, command, run
from tests.home_fixtures import learned_home, texts


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two versions of one experience each, and a third experience pending."""
    return learned_home(tmp_path / "home").path


def said(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["--home", str(home), *arguments]) == code
    return capsys.readouterr()


def test_a_dry_run_says_what_relearning_costs_and_leaves_and_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home.open(home).open_log() as log:
        log.append(NewExperience(text="Everybody likes the red mug."))
    before = texts(Home.open(home))
    out, _ = said(capsys, home, "relearn", "--without", "1", "--dry-run")
    assert "1  learned  1" in out and "known by     versions 1, 2\n" in out
    assert "back to version 0, then 1 update with 1 experience again: about 0 s" in out
    assert "(2 B of deltas)" in out and "cannot be undone" in out
    assert "selfparam clean --keep-rejected-days 0" in out and "back-ups" in out
    assert "the same subjects are named by: experience 2, 4\n" in out
    assert texts(Home.open(home)) == before
    out, _ = said(capsys, home, "versions")
    assert "rejected" not in out


def test_what_no_version_knows_is_said_and_nothing_is_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, home, "relearn", "--without", "3")
    assert out.startswith("no version knows experience 3") and "selfparam log forget 3" in out


def test_relearning_is_refused_where_it_makes_no_sense(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, home, "relearn", "--without", "9", code=2)
    assert "9" in err
    _, err = said(capsys, home, "--lineage", "other", "relearn", "--without", "1", code=2)
    assert "of lineage 'default', not of 'other'" in err
    assert main(["--home", str(home), "pause", "--reason", "exam"]) == 0
    capsys.readouterr()
    _, err = said(capsys, home, "relearn", "--without", "1", "--yes", code=1)
    assert "exam" in err and "drawer 1" in texts(Home.open(home))[0]


def test_without_a_terminal_it_needs_a_yes_and_at_one_it_asks(home: Path) -> None:
    result = run(home, "relearn", "--without", "2")
    assert result.returncode == 2 and "say --yes if you are sure" in result.stderr
    ours, theirs = pty.openpty()
    with open(ours, "wb", buffering=0) as terminal:
        process = subprocess.Popen(
            command(home, "relearn", "--without", "2"), stdin=theirs, stdout=subprocess.PIPE, cwd=REPOSITORY
        )
        terminal.write(b"n\n")
        out = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 0 and out.endswith("Relearn? [y/N] nothing was changed\n")
    assert "drawer 2" in texts(Home.open(home))[1]


def test_forgetting_says_how_to_relearn(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, home, "log", "forget", "2", "--yes")
    assert "selfparam relearn --without 2" in out


def test_the_list_of_versions_says_what_they_weigh(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, home, "versions")
    assert len(out.splitlines()) == 3 and err == "deltas 2 B, snapshots 0 B, stored targets 28 B\n"
    out, err = said(capsys, home, "versions", "--json")
    assert [json.loads(line)["number"] for line in out.splitlines()] == [0, 1, 2] and err == ""


def test_verify_and_snapshot_refuse_what_there_is_not(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = said(capsys, home, "versions", "verify", "1", "--all", code=2)
    assert "give one of them" in err
    for verb in ("verify", "snapshot"):
        _, err = said(capsys, tmp_path / "none", "versions", verb, code=2)
        assert "there is no memory" in err


def test_versions_of_another_base_model_are_not_verified(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, home, "versions", "verify", "--all", code=2)
    assert "base model" in err
    with Home.open(home).open_log() as log:
        assert log.count_by_state("default")[ExperienceState.LEARNED] == 2
