"""The commands that need no model, run as a user runs them: output, exit codes, bad input, broken pipes."""

import argparse
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli_parser import build_parser
from agent.home import Home
from memory_log.records import Fact, NewExperience
from tests.cli_fixtures import MUG, REPOSITORY, command, run
from tests.log_fixtures import learn


def subcommands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def test_tell_prints_id_and_state_and_is_durable(tmp_path: Path) -> None:
    assert run(tmp_path, "tell", MUG).stdout == "experience 1 pending\n"
    result = run(tmp_path, "tell", "Anna likes pears.", "Ben is in the hall.")
    assert result.stdout == "experience 2 pending\nexperience 3 pending\n"
    with Home.open(tmp_path).open_log() as log:
        assert log.get(1).text == MUG


def test_tell_and_its_sisters_load_no_model_library(tmp_path: Path) -> None:
    program = (
        "import sys; from agent.cli import main\n"
        "for line in ('tell Hello.', 'log', 'versions', 'rollback 0', 'update --lineage other'):\n"
        f"    main(['--home', {str(tmp_path)!r}, *line.split()])\n"
        "print(sorted({'torch', 'transformers', 'peft', 'ray', 'numpy', 'gymnasium'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=REPOSITORY, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_facts_and_keys_are_stored_and_a_key_told_again_stores_nothing_new(tmp_path: Path) -> None:
    words = ["tell", MUG, "--fact", "red mug", "location", "kitchen drawer", "--key", "monday-1"]
    assert [run(tmp_path, *words).stdout for _ in range(2)] == ["experience 1 pending\n"] * 2
    with Home.open(tmp_path).open_log() as log:
        assert log.get(1).facts == (Fact(subject="red mug", relation="location", value="kitchen drawer"),)
    other = run(tmp_path, "tell", "Something else.", "--key", "monday-1")
    assert (other.returncode, other.stdout) == (2, "") and "another content" in other.stderr


def test_standard_input_gives_one_experience_a_line(tmp_path: Path) -> None:
    result = run(tmp_path, "tell", "-", stdin=f"{MUG}\n\nAnna likes pears.\r\n".encode())
    assert result.stdout == "experience 1 pending\nexperience 2 pending\n"


def test_global_options_stand_before_or_after_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--lineage", "a", "--home", "one", "tell", "Anna likes pears."]) == 0
    assert main(["tell", "Ben likes plums.", "--home", "one", "--lineage", "a"]) == 0
    assert main(["log", "--lineage", "a"], {"SELFPARAM_HOME": "one"}) == 0
    out = capsys.readouterr().out
    assert "Anna" in out and "Ben" in out
    assert main(["tell", "Cleo is in the hall."], {}) == 0
    assert (tmp_path / ".selfparam" / "log.sqlite3").exists()


@pytest.mark.parametrize(
    ("words", "stdin", "complaint"),
    [
        (["tell", ""], b"", "text is empty"),
        (["tell", " \n"], b"", "text is empty"),
        (["tell", b"caf\xe9"], b"", "not UTF-8"),
        (["tell", "-"], b"caf\xe9", "not UTF-8"),
        (["tell", "-"], b"\n", "standard input is empty"),
        (["tell", "-"], b"a" * 1_000_000, "1000000 bytes"),
        (["tell", "-"], b"a\0b", "NUL"),
        (["tell", "a", "b", "--key", "k"], b"", "one at a time"),
        (["tell", "a", "--key", b"\xff"], b"", "not UTF-8"),
        (["tell", "a", "--fact", "", "location", "drawer"], b"", "subject is empty"),
        (["tell", "a", "--fact", "mug", "location"], b"", "expected 3 arguments"),
        (["tell", "a", "--lineage", "../a"], b"", "--lineage"),
        (["tell", "a", "--model", "/nowhere"], b"", "not a model folder"),
        (["ask", b"caf\xe9"], b"", "not UTF-8"),
        (["ask", "Where?", "--device", "abacus"], b"", "--device"),
        (["ask", "Where?", "--version", "-1"], b"", "whole number"),
        (["update", "--limit", "0"], b"", "at least 1"),
        (["log", "--state", "gone"], b"", "invalid choice"),
        (["rollback", "3"], b"", "no memory"),
        (["log"], b"", "no memory"),
        ([], b"", "COMMAND"),
    ],
)
def test_bad_input_ends_with_2_one_clear_line_and_nothing_stored(
    tmp_path: Path, words: list[str | bytes], stdin: bytes, complaint: str
) -> None:
    result = run(tmp_path / "home", *words, stdin=stdin)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr and "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("selfparam")
    if (tmp_path / "home").exists():
        with Home.open(tmp_path / "home").open_log() as log:
            assert log.experiences("default") == []


def test_a_home_that_is_a_file_or_another_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(tmp_path / "file", "tell", MUG)
    assert result.returncode == 2 and "a file is in its place" in result.stderr
    run(tmp_path / "home", "tell", MUG)
    result = run(tmp_path / "home", "tell", MUG, "--model", "owner/name")
    assert result.returncode == 2 and "made with the embedded model" in result.stderr


def test_a_damaged_log_is_named_and_debug_shows_where(tmp_path: Path) -> None:
    Home.open(tmp_path)
    (tmp_path / "log.sqlite3").write_bytes(b"no database at all " * 100)
    result = run(tmp_path, "tell", MUG)
    assert result.returncode == 1 and "not a database" in result.stderr and len(result.stderr.splitlines()) == 1
    assert "Traceback" in run(tmp_path, "tell", MUG, "--debug").stderr


def test_nothing_pending_is_no_failure_and_says_how_to_add(tmp_path: Path) -> None:
    result = run(tmp_path, "update")
    assert result.returncode == 0 and "selfparam tell" in result.stdout


def test_log_shows_the_newest_last_by_state_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Home.open(tmp_path).open_log() as log:
        learn(log, NewExperience(text=MUG))
        log.append_many([NewExperience(text=f"Guest {number} likes pears.") for number in range(30)])
        log.forget(31)
    assert main(["--home", str(tmp_path), "log"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20 and lines[-1].endswith("(forgotten)") and lines[-2].endswith("Guest 28 likes pears.")
    assert main(["--home", str(tmp_path), "log", "--state", "learned", "--json"]) == 0
    (learned,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (learned["text"], learned["learned_in"], learned["state"]) == (MUG, 1, "learned")
    assert main(["--home", str(tmp_path), "log", "--state", "dead"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "no dead experiences" in captured.err


def test_versions_mark_the_one_that_serves_and_rollback_moves_the_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path)]
    with Home.open(tmp_path).open_log() as log:
        learn(log, NewExperience(text=MUG))
    assert main([*home, "versions"]) == 0
    base, first = capsys.readouterr().out.splitlines()
    assert base.split()[0] == "0" and first.split()[:4] == ["*", "1", "admitted", "0"]
    assert main([*home, "rollback", "0"]) == 0
    assert capsys.readouterr().out == "version 0 serves now; 1 experience pending\n"
    assert main([*home, "versions", "--json"]) == 0
    assert [json.loads(line)["serves"] for line in capsys.readouterr().out.splitlines()] == [True, False]
    assert main([*home, "rollback", "99"]) == 2
    assert "versions 0 to 1, got 99" in capsys.readouterr().err


def test_what_an_experience_says_cannot_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path), "tell", "a \x1b[31m[red]mug\nhere"]) == 0
    assert main(["--home", str(tmp_path), "log"]) == 0
    assert capsys.readouterr().out.endswith(r"a \x1b[31m[red]mug here" + "\n")


def test_a_terminal_gets_a_table_with_headings(tmp_path: Path) -> None:
    run(tmp_path, "tell", MUG)
    ours, theirs = pty.openpty()
    subprocess.run(command(tmp_path, "log"), stdout=theirs, cwd=REPOSITORY, timeout=120, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "time (UTC)" in shown and "red mug" in shown


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    with Home.open(tmp_path).open_log() as log:
        log.append_many([NewExperience(text=f"Guest {number} likes pears.") for number in range(5000)])
    process = subprocess.Popen(
        command(tmp_path, "log", "--limit", "5000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY
    )
    assert process.stdout is not None and process.stderr is not None
    with process.stderr:
        first = process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()
    assert (process.wait(timeout=60), complaint) == (141, b"") and b"Guest 0 " in first


def test_processes_that_tell_at_once_lose_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    processes = [
        subprocess.Popen(command(home, "tell", *(f"Guest {teller}-{number} is here." for number in range(20))),
                         stdout=subprocess.PIPE, cwd=REPOSITORY, text=True)
        for teller in range(3)
    ]  # fmt: skip
    told = [line for process in processes for line in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(int(line.split()[1]) for line in told) == list(range(1, 61))
    with Home.open(home, create=False).open_log() as log:
        assert len({experience.text for experience in log.experiences("default")}) == 60


def test_every_command_explains_itself_and_every_option_its_default() -> None:
    text = build_parser().format_help()
    for name, parser in subcommands():
        assert f"\n    {name} " in text and parser.description, name
        for action in parser._actions:
            assert action.help, (name, action.dest)
            if action.option_strings and action.dest not in ("help", "debug"):
                assert "(default" in action.help, (name, action.option_strings)
    assert {name for name, _ in subcommands()} == {
        "tell", "ask", "update", "log", "versions", "rollback", "demo", "explain", "pause", "resume", "filter",
        "export", "backup", "restore", "import", "disk", "doctor", "clean", "relearn", "settings",
        "check-model", "serve", "learn", "live", "keys", "run", "study",
    }  # fmt: skip


def test_the_help_of_update_names_the_batch_size_that_memory_uses() -> None:
    from agent.memory import DEFAULT_BATCH

    assert f"(default: {DEFAULT_BATCH})" in dict(subcommands())["update"].format_help()
