"""The commands that need the model, from telling to knowing, with the embedded weights.

Updates are few, because each takes seconds.
"""

import json
import runpy
import signal
import subprocess
from pathlib import Path

import pytest

from agent.cli import main
from agent.home import Home
from memory_log.records import ExperienceState
from tests.cli_fixtures import MUG, REPOSITORY, command, run


@pytest.fixture(scope="module")
def learned_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was told one thing and has learned it, through the real commands."""
    home = tmp_path_factory.mktemp("learned") / "home"
    assert run(home, "tell", MUG).stdout == "experience 1 pending\n"
    before = run(home, "ask", "Where is the red mug?")
    assert before.returncode == 0 and "unknown" in before.stdout and before.stdout.endswith("   (version 0)\n")
    update = run(home, "update")
    assert update.returncode == 0 and update.stdout.startswith("version 1 has learned 1 experience\n"), update
    assert all(word in update.stdout for word in ("efficacy", "KL", "nats a token", "seconds"))
    assert "training" in update.stderr and "Traceback" not in update.stderr
    return home


def test_what_was_told_is_known_in_other_words_after_an_update(learned_home: Path) -> None:
    answer = run(learned_home, "ask", "Where can I find the red mug?")
    assert "kitchen drawer" in answer.stdout and answer.stdout.endswith("   (version 1)\n")


def test_an_earlier_version_can_be_asked_and_json_keeps_the_fields_apart(
    learned_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(learned_home), "ask", "Where is the red mug?", "--json"]
    assert main([*words, "--version", "0"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["version"], first["known"]) == (0, False) and "unknown" in first["answer"]
    assert main(words) == 0
    now = json.loads(capsys.readouterr().out)
    assert (now["version"], now["known"]) == (1, True) and "kitchen drawer" in now["answer"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ask", "Where?", "--version", "99"], "only version 0, got 99"),
        (["ask", ""], "empty"),
        (["ask", "Where? " * 10_000], "longer than"),
    ],
)
def test_a_question_that_cannot_be_answered_ends_with_2(
    tmp_path: Path, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path), *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and complaint in captured.err and len(captured.err.splitlines()) == 1


def test_a_folder_that_only_looks_like_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    assert main(["--home", str(tmp_path / "home"), "--model", str(tmp_path / "model"), "ask", "Where?"]) == 2
    assert str(tmp_path / "model") in capsys.readouterr().err


def test_an_update_beside_another_one_fails_and_says_who_holds_the_lease(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(tmp_path)]
    assert main([*words, "ask", "Where is the red mug?"]) == 0 and main([*words, "tell", MUG]) == 0
    with Home.open(tmp_path).open_log() as log:
        log.acquire_updater_lease("default", owner="somebody", lease_seconds=600)
    assert main([*words, "update"]) == 1
    assert "somebody" in capsys.readouterr().err


def test_ctrl_c_in_an_update_loses_nothing(tmp_path: Path) -> None:
    run(tmp_path, "tell", MUG, "Anna likes pears.")
    # A test runner in the background may ignore SIGINT, and its children would inherit that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command(tmp_path, "update", "--plain"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY, text=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, previous)
    assert process.stderr is not None
    while "loading the model" not in (line := process.stderr.readline()):
        assert line, "the update ended before it was interrupted"
    process.send_signal(signal.SIGINT)
    out, complaint = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "") and "Traceback" not in complaint
    assert "nothing is lost: 2 experiences pending" in complaint
    with Home.open(tmp_path).open_log() as log:
        assert log.count_by_state("default")[ExperienceState.PENDING] == 2
        assert log.head("default").number == 0 and log.updater_lease("default") is None


def test_the_ten_lines_of_python_end_with_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(REPOSITORY / "examples" / "ten_lines.py"))
    before, after = capsys.readouterr().out.splitlines()
    assert before.startswith("version 0: ") and "unknown" in before
    assert after.startswith("version 1: ") and "kitchen drawer" in after
