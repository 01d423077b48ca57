"""Back-up under load, kill -9 in the middle, and the commands as a user runs them."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.cli import main
from agent.home import Home
from agent.home_backup import restore_backup, write_backup
from memory_log.records import ExperienceState
from tests.cli_fixtures import REPOSITORY
from tests.home_fixtures import learned_home, nothing
from tests.log_fixtures import start_worker


class Acknowledged:
    """A worker process, and the lines that it has printed so far, read by a thread for as long as it lives."""

    def __init__(self, role: str, url: str, seed: int) -> None:
        self.lines: list[str] = []
        self._process = start_worker(role, url, seed)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self.lines.extend(self._process.stdout or ())

    def kill(self) -> None:
        self._process.kill()
        self._reader.join()
        with self._process:  # closes its pipes
            pass


def wait_for_words(workers: Sequence[Acknowledged]) -> None:
    while not all(worker.lines for worker in workers):
        time.sleep(0.05)


def test_back_ups_made_while_others_append_and_update_hold_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    home.open_log().close()
    home.blob_store().put("default/1.safetensors", b"1")  # the delta that every version of the workers names
    url = f"sqlite:///{home.path}/log.sqlite3"
    writers, told = [Acknowledged("append", url, seed) for seed in (1, 2)], []
    workers = [*writers]
    try:
        wait_for_words(workers)  # the updater ends where nothing is pending
        workers.append(Acknowledged("update", url, 3))
        wait_for_words(workers)
        for number in range(3):
            told.append({int(line.split()[0]) for writer in writers for line in list(writer.lines)})
            write_backup(home, tmp_path / f"{number}.tar", progress=nothing)
    finally:
        for worker in workers:
            worker.kill()
    with home.open_log() as log:
        everything = [(one.id, one.text) for one in log.experiences("default", limit=100_000)]
    num_held = []
    for number, before in enumerate(told):
        restore_backup(tmp_path / f"{number}.tar", tmp_path / f"{number}", progress=nothing)
        with Home.open(tmp_path / f"{number}", create=False).open_log() as log:
            held = log.experiences("default", limit=100_000)
            assert [(one.id, one.text) for one in held] == everything[: len(held)]
            assert before <= {one.id for one in held}
            learned = {one.learned_in for one in held if one.state is ExperienceState.LEARNED}
            assert learned == {version.number for version in log.chain("default", log.head("default").number)}
            num_held.append(len(held))
    assert num_held == sorted(num_held) and num_held[0] < num_held[-1] < len(everything)


PROGRAM = """
import os, signal, sys
from pathlib import Path
from agent.home import Home
from agent.home_backup import restore_backup, write_backup

home, file, fatal = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]

def die(stage, done, total):
    if stage == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "backup":
    write_backup(Home.open(home), file, progress=die)
else:
    restore_backup(file, home, progress=die)
"""


def killed(*words: str) -> bool:
    result = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=REPOSITORY, check=False)
    return result.returncode == -signal.SIGKILL


def test_a_kill_in_the_middle_leaves_no_half_file_and_no_half_home(tmp_path: Path) -> None:
    home, file, again = learned_home(tmp_path / "home"), tmp_path / "one.tar", tmp_path / "again"
    assert killed("backup", str(home.path), str(file), "writing the archive") and not file.exists()
    write_backup(home, file, progress=nothing)
    for stage in ("reading the archive", "checking the log"):
        assert killed("restore", str(again), str(file), stage) and not again.exists()
    restore_backup(file, again, progress=nothing)
    with home.open_log() as old, Home.open(again, create=False).open_log() as new:
        assert new.experiences("default") == old.experiences("default")


class Said(NamedTuple):
    """What a command ended with and printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a command in this process."""

    def run(home: Path, *words: str) -> Said:
        try:
            code = main(["--home", str(home), *words])
        except SystemExit as exc:  # as argparse does
            code = int(exc.code or 0)
        return Said(code, *capsys.readouterr())

    return run


def test_backup_restore_import_disk_and_clean_from_the_command_line(
    tmp_path: Path, say: Callable[..., Said]
) -> None:
    home, file = tmp_path / "home", tmp_path / "one.tar"
    learned_home(home)
    made = say(home, "backup", str(file))
    assert made.code == 0 and made.out.startswith(f"{file} holds 3 experiences and 2 deltas, "), made
    assert "writing the archive 4/4" in made.err
    again = say(home, "backup", str(file))
    assert again.code == 2 and "there already" in again.err
    restored = say(tmp_path / "restored", "restore", str(file))
    assert restored.code == 0 and "3 experiences, base model the embedded one" in restored.out, restored
    assert say(tmp_path / "restored", "versions").out == say(home, "versions").out != ""
    refused = say(tmp_path / "new", "import", str(file), "--model", "owner/name")
    assert refused.code == 2 and "fits only its own base model" in refused.err
    assert "--relearn takes its 3 experiences over as pending" in refused.err
    taken = say(tmp_path / "new", "import", str(file), "--relearn")
    assert (taken.code, taken.out) == (0, "3 experiences taken over, pending\n")
    again = say(tmp_path / "new", "import", str(home), "--relearn")
    assert again.out == "0 experiences taken over, pending\n  3 here already\n"
    use = json.loads(say(home, "disk", "--json").out)
    assert use["num_bytes"] == sum(files["num_bytes"] for files in use["files"])
    assert "deltas, admitted" in say(home, "disk").out
    cleaned = say(home, "clean", "--targets-per-experience", "4", "--vacuum")
    assert cleaned.code == 0, cleaned
    assert cleaned.out.startswith("0 files removed, 0 B\n0 target sentences removed")


def test_another_model_for_a_home_is_refused_with_the_way_out(tmp_path: Path, say: Callable[..., Said]) -> None:
    learned_home(tmp_path / "home")
    result = say(tmp_path / "home", "--model", "owner/name", "update")
    assert result.code == 2 and f"--model owner/name import {tmp_path}/home --relearn" in result.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["backup", "one.tar"], "no memory"),
        (["restore", "nowhere.tar"], "no back-up file"),
        (["import", "nowhere"], "no back-up file"),
        (["disk"], "no memory"),
        (["clean"], "no memory"),
        (["clean", "--keep-rejected-days", "x"], "whole number"),
        (["export", "1", "--out", "out"], "no memory"),
        (["export", "one"], "whole number"),
        (["export", "1", "--out", "out", "--format", "gguf"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_leaves_nothing(
    tmp_path: Path, say: Callable[..., Said], words: list[str], complaint: str
) -> None:
    result = say(tmp_path / "home", *words)
    assert (result.code, result.out) == (2, "")
    assert complaint in result.err and not list(tmp_path.iterdir())


def test_a_damaged_back_up_ends_with_1(tmp_path: Path, say: Callable[..., Said]) -> None:
    write_backup(learned_home(tmp_path / "home"), tmp_path / "one.tar", progress=nothing)
    content = (tmp_path / "one.tar").read_bytes()
    (tmp_path / "one.tar").write_bytes(content[: len(content) // 2])
    result = say(tmp_path / "again", "restore", str(tmp_path / "one.tar"))
    assert result.code == 1 and "one.tar" in result.err and not (tmp_path / "again").exists()
