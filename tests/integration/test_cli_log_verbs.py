"""The verbs of `selfparam log`, run as a user runs them."""

import argparse
import gzip
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli_parser import build_parser
from agent.home import Home
from memory_log.records import ExperienceState, NewExperience
from tests.cli_fixtures import MUG, REPOSITORY, command, run
from tests.home_fixtures import learned_home, texts
from tests.log_fixtures import lease_of, mug

CHAT = b'{"text": "Anna likes pears."}\n{"prompt": "Who?"}\n{"text": "Ben likes plums.", "session": "b"}\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two learned experiences and a pending one, of session monday and with a key."""
    return learned_home(tmp_path / "home").path


def said(capsys: pytest.CaptureFixture[str], home: Path, *words: str, code: int = 0) -> str:
    """What a command in this process prints."""
    assert main(["--home", str(home), "log", *words]) == code
    return capsys.readouterr().out


def verbs() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    def children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
        (actions,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        return dict(actions.choices)

    yield from children(children(build_parser())["log"]).items()


def test_every_verb_shows_an_example_and_every_option_its_default() -> None:
    found = dict(verbs())
    for name, parser in found.items():
        assert f"$ selfparam log {name}" in str(parser.description), name
        for action in parser._actions:
            assert action.help, (name, action.dest)
            if action.option_strings and action.dest not in ("help", "debug", "yes"):
                assert "(default" in action.help, (name, action.option_strings)
    assert set(found) == {
        "append", "list", "show", "search", "stats", "export", "import", "requeue", "forget",
    }  # fmt: skip


def test_list_pages_and_selects_and_options_may_stand_before_the_verb(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, home, "list") == said(capsys, home)
    assert [line[0] for line in said(capsys, home, "list", "--after", "1", "--limit", "2").splitlines()] == ["2", "3"]
    (line,) = said(capsys, home, "--session", "monday", "list", "--json").splitlines()
    assert json.loads(line)["key"] == "pears"
    assert said(capsys, home, "--state", "pending", "list", "--state", "learned").count("learned") == 2
    assert said(capsys, home, "--until", "2001-01-01") == ""
    assert said(capsys, home, "--since", "2001-01-01").count("\n") == 3


def test_append_stores_every_field_and_show_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "append", MUG, "--agent", "mira", "--session", "monday", "--step", "3", "--time", "2026-03-01T18:30+01:00",
        "--observation", "seen", "--action", "done", "--reward", "-0.5", "--fact", "red mug", "location", "drawer",
        "--key", "k", "--priority", "7", "--surprise", "1.5", "--metadata", "room=kitchen", "--metadata", "n=12",
    )  # fmt: skip
    assert said(capsys, tmp_path, *words) == said(capsys, tmp_path, *words) == "experience 1 pending\n"
    stored = json.loads(said(capsys, tmp_path, "show", "1", "--json"))["experience"]
    assert stored["time"] == "2026-03-01T17:30:00Z" and stored["metadata"] == {"room": "kitchen", "n": 12}
    assert (stored["agent"], stored["step"], stored["reward"], stored["priority"], stored["surprise"]) == (
        "mira", 3, -0.5, 7, 1.5,
    )  # fmt: skip
    shown = said(capsys, tmp_path, "show", "1")
    for expected in ("red mug | location | drawer", "monday", "2026-03-01 17:30:00 UTC", '"room": "kitchen"', "seen"):
        assert expected in shown
    result = run(tmp_path, "log", "append", "-", stdin=b"Two\nlines.\n")
    assert result.stdout == "experience 2 pending\n" and texts(Home.open(tmp_path))[1] == "Two\nlines."


def test_stats_count_every_lineage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Home.open(home).open_log() as log:
        log.append(NewExperience(text="Ben is here.", lineage="second"))
        log.pause("second", by="mira")
    shown = said(capsys, home, "stats")
    assert "lineage default: 3 experiences" in shown and "learned     2" in shown and "version 2" in shown
    shown = said(capsys, home, "stats", "--all-lineages")
    assert "lineage second: 1 experience\n" in shown and "paused since" in shown
    found = json.loads(said(capsys, home, "stats", "--json", "--all-lineages"))
    assert [one["counts"]["pending"] for one in found["lineages"]] == [1, 1] and found["num_bytes"] > 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_what_is_exported_is_imported_once(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out, new = tmp_path / name, tmp_path / "new"
    assert said(capsys, home, "export", str(out)) == f"{out} holds 3 experiences\n"
    packed = out.read_bytes()
    lines = (gzip.decompress(packed) if name.endswith(".gz") else packed).splitlines()
    assert json.loads(lines[0])["format"] == "selfparam-experiences" and len(lines) == 4
    assert said(capsys, new, "import", str(out)) == "3 experiences stored, pending\n"
    assert said(capsys, new, "import", str(out)) == "0 experiences stored, pending\n  3 here already\n"
    assert texts(Home.open(new)) == texts(Home.open(home))
    assert said(capsys, home, "import", str(out)) == "0 experiences stored, pending\n  3 here already\n"
    assert main(["--home", str(new), "import", str(home), "--relearn"]) == 0
    assert capsys.readouterr().out == "0 experiences taken over, pending\n  3 here already\n"
    assert main(["--home", str(new), "--lineage", "copy", "log", "import", str(out)]) == 0
    capsys.readouterr()
    assert said(capsys, new, "--lineage", "copy", "list").count("\n") == 3


def test_export_replaces_nothing_unless_forced_and_leaves_nothing_behind(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "folder" / "out.jsonl"
    assert main(["--home", str(home), "log", "export", str(out)]) == 2
    assert "cannot be made" in capsys.readouterr().err
    out.parent.mkdir()
    out.write_text("mine")
    assert main(["--home", str(home), "log", "export", str(out)]) == 2
    assert "--force" in capsys.readouterr().err and out.read_text() == "mine"
    said(capsys, home, "export", str(out), "--force", "--session", "monday")
    assert out.read_text().count("\n") == 2 and [path.name for path in out.parent.iterdir()] == ["out.jsonl"]


def test_export_and_import_through_pipes(home: Path, tmp_path: Path) -> None:
    exported = run(home, "log", "export", "-")
    assert exported.stdout.count("\n") == 4 and "- holds 3 experiences" in exported.stderr
    imported = run(tmp_path / "new", "log", "import", "-", stdin=exported.stdout.encode())
    assert imported.stdout == "3 experiences stored, pending\n"


def test_import_stops_at_a_bad_line_and_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chat, home = tmp_path / "chat.jsonl", tmp_path / "home"
    chat.write_bytes(CHAT)
    assert main(["--home", str(home), "log", "import", str(chat)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "1 experience stored, pending\n"
    assert f"{chat}, line 2: has no text; unknown field 'prompt'" in captured.err and "--on-error skip" in captured.err
    chat.write_bytes(CHAT.replace(b"prompt", b"text"))
    assert said(capsys, home, "import", str(chat)) == "2 experiences stored, pending\n  1 here already\n"
    assert texts(Home.open(home)) == ["Anna likes pears.", "Who?", "Ben likes plums."]


def test_import_can_leave_bad_lines_out_and_keeps_them_with_their_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat, home = tmp_path / "chat.jsonl", tmp_path / "home"
    chat.write_bytes(CHAT + b'{"text": "caf\xe9"}\n')
    shown = said(capsys, home, "import", str(chat), "--on-error", "skip")
    assert shown == f"2 experiences stored, pending\n  2 lines left out, see: {chat}.rejected\n"
    rejected = [json.loads(line) for line in Path(f"{chat}.rejected").read_text().splitlines()]
    assert [one["line"] for one in rejected] == [2, 4] and rejected[0]["content"] == '{"prompt": "Who?"}'
    assert "has no text" in rejected[0]["reason"] and "not UTF-8" in rejected[1]["reason"]


def test_a_dry_run_names_bad_lines_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chat = tmp_path / "chat.jsonl"
    chat.write_bytes(CHAT)
    assert main(["--home", str(tmp_path / "home"), "log", "import", str(chat), "--dry-run"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "2 experiences could be stored, 1 line could not; nothing was stored\n"
    assert "line 2: has no text" in captured.err and not (tmp_path / "home").exists()


def test_search_lists_what_has_all_the_words_newest_last(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, home, "search", "drawer", "RED")
    assert [line.split("  ")[-1] for line in found.splitlines()] == [
        "The red mug is in drawer 1.", "The red mug is in drawer 2.",
    ]  # fmt: skip
    (line,) = said(capsys, home, "search", '"red mug" draw*', "--limit", "1", "--json").splitlines()
    assert json.loads(line)["id"] == 2
    assert said(capsys, home, "search", "red", "--before", "2").startswith("1 ")
    assert said(capsys, home, "search", '"mug red"') == ""
    ours, theirs = pty.openpty()
    subprocess.run(command(home, "log", "search", "pears"), stdout=theirs, cwd=REPOSITORY, timeout=120, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "\x1b[1;7mpears\x1b[0m" in shown


def test_show_tells_the_story_and_who_knows_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, home, "show", "1")
    assert "version 1, version 2" in shown
    assert [line.split()[2] for line in shown.splitlines()[-3:]] == ["appended", "claimed", "learned"]
    found = json.loads(said(capsys, home, "show", "1", "--json"))
    assert found["versions_knowing"] == [1, 2] and [one["kind"] for one in found["history"]][-1] == "learned"


def test_requeue_lets_what_was_set_aside_wait_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Home.open(home).open_log() as log:
        log.append_many([mug("hall"), mug("attic")])
        lease = lease_of(log)
        batch = log.open_batch(lease, limit=3)
        log.reject_batch(lease, batch.id, reason="no good", refuse_experiences=True)
        log.release_updater_lease(lease)
    assert said(capsys, home, "requeue", "4") == "experience 4 pending\n"
    assert said(capsys, home, "requeue", "--all-dead").startswith("0 experiences pending again")
    assert said(capsys, home, "requeue", "--all-refused").startswith("2 experiences pending again")
    with Home.open(home).open_log() as log:
        assert log.count_by_state("default")[ExperienceState.PENDING] == 3


def test_forget_needs_a_yes_and_says_who_still_knows(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "log", "forget", "1").returncode == 2
    assert "drawer 1" in texts(Home.open(home))[0]
    shown = said(capsys, home, "forget", "2", "3", "--yes")
    assert shown.splitlines()[0] == "experience 2 forgotten" and shown.splitlines()[-1] == "experience 3 forgotten"
    assert "version 2 still knows it" in shown and "selfparam rollback 1" in shown
    assert texts(Home.open(home))[1:] == ["", ""] and said(capsys, home, "search", "pears") == ""
    assert main(["--home", str(home), "rollback", "0"]) == 0
    shown = said(capsys, home, "forget", "1", "--yes")
    assert "version 1, version 2 still know it, none of which serves" in shown


def test_forget_asks_at_a_terminal(home: Path) -> None:
    for answer, left in ((b"n\n", "The red mug is in drawer 1."), (b"y\n", "")):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command(home, "log", "forget", "1"), stdin=theirs, stdout=subprocess.PIPE, cwd=REPOSITORY
        )
        os.close(theirs)
        os.write(ours, answer)
        shown = process.communicate(timeout=120)[0].decode()
        os.close(ours)
        assert process.returncode == 0 and "Forget them? [y/N]" in shown and texts(Home.open(home))[0] == left


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["import", "nowhere.jsonl"], "no file nowhere.jsonl"),
        (["import", "."], "no file ."),
        (["export", "."], "is a folder"),
        (["export", "x", "--state", "forgotten"], "invalid choice"),
        (["list", "--since", "yesterday"], "needs a time such as"),
        (["append", "a", "--reward", "nan"], "needs a number"),
        (["append", "a", "--metadata", "room"], "needs NAME=VALUE"),
        (["append", " "], "text is empty"),
        (["show", "99"], "no experience 99"),
        (["requeue"], "--all-dead"),
        (["requeue", "99"], "no experience 99"),
        (["requeue", "1"], "experience 1 is learned"),
        (["forget", "99", "--yes"], "no experience 99"),
        (["forget", "3"], "--yes"),
        (["search", "?!"], "terms to search for"),
        (["fetch"], "invalid choice"),
    ],
)
def test_bad_input_ends_with_2_and_one_clear_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    monkeypatch.chdir(home)
    try:
        code: object = main(["--home", str(home), "log", *words])
    except SystemExit as exc:  # argparse's own way
        code = exc.code
    captured = capsys.readouterr()
    assert (code, captured.out.replace("0 experiences stored, pending\n", "")) == (2, "")
    assert complaint in captured.err.splitlines()[-1]
