"""A SQLite log whose files lost something: refused by name, again and again, and left as they are."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memory_log.errors import LogDamaged
from memory_log.log import MemoryLog
from tests.log_fixtures import experience

NUM_EXPERIENCES = 30
KILLED_WHILE_OPEN = """
import os, sys
from memory_log.log import MemoryLog
from memory_log.records import NewExperience
log = MemoryLog(sys.argv[1])
for index in range(int(sys.argv[2])):
    log.append(NewExperience(text=f"Event {index}."))
os._exit(0)
"""


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a log whose process died: everything is in the WAL."""
    folder = tmp_path_factory.mktemp("left")
    command = [sys.executable, "-c", KILLED_WHILE_OPEN, f"sqlite:///{folder}/log.db", str(NUM_EXPERIENCES)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3])
    return folder


@pytest.fixture
def path(left_behind: Path, tmp_path: Path) -> Path:
    shutil.copytree(left_behind, tmp_path / "copy")
    return tmp_path / "copy" / "log.db"


def contents(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.parent.iterdir()}


def wal_of(path: Path) -> Path:
    return Path(f"{path}-wal")


def cut(path: Path, num_bytes: int) -> None:
    with path.open("r+b") as file:
        file.truncate(num_bytes)


def garble(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"?" * 100)


def test_what_a_killed_process_left_in_its_wal_is_whole(path: Path) -> None:
    for _ in range(2):
        with MemoryLog(f"sqlite:///{path}") as log:
            assert len(log.experiences("default")) == NUM_EXPERIENCES


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: cut(wal_of(path), wal_of(path).stat().st_size - 1),
        lambda path: cut(wal_of(path), 5000),
        lambda path: cut(wal_of(path), 0),
        lambda path: wal_of(path).unlink(),
        lambda path: garble(wal_of(path), 0),
        lambda path: garble(wal_of(path), 20_000),
        lambda path: garble(wal_of(path), wal_of(path).stat().st_size - 100),
        lambda path: cut(path, 0),
        lambda path: path.unlink(),
    ],
    ids=[
        "WAL one byte short", "WAL cut", "WAL emptied", "WAL gone", "head of WAL", "middle of WAL", "end of WAL",
        "emptied", "gone",
    ],
)  # fmt: skip
def test_a_log_that_lost_something_is_refused_and_left_as_it_is(path: Path, harm: Callable[[Path], None]) -> None:
    harm(path)
    before = contents(path)
    for _ in range(2):
        with pytest.raises(LogDamaged, match=r"log\.db is damaged.*selfparam doctor"):
            MemoryLog(f"sqlite:///{path}")
        assert contents(path) == before


def test_a_log_closed_in_peace_and_emptied_since_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with MemoryLog(f"sqlite:///{path}") as log:
        log.append(experience("Something."))
    cut(path, 0)
    with pytest.raises(LogDamaged, match="the file is empty"):
        MemoryLog(f"sqlite:///{path}")
    assert path.stat().st_size == 0


def test_damage_that_is_met_later_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with MemoryLog(f"sqlite:///{path}") as log:
        log.append_many([experience(f"Event {index}. " + "x" * 500) for index in range(200)])
    num_pages = path.stat().st_size // 4096
    for page in range(num_pages - 10, num_pages):
        garble(path, page * 4096)
    with MemoryLog(f"sqlite:///{path}") as log:
        with pytest.raises(LogDamaged, match="malformed"):
            log.experiences("default", limit=1000)
        with pytest.raises(LogDamaged):
            log.append(experience("More. " + "x" * 500))


def test_a_text_whose_page_was_wiped_is_not_served(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with MemoryLog(f"sqlite:///{path}") as log:
        log.append(experience("x" * 16_000))
    content = path.read_bytes()
    middle = content.index(b"x" * 4092) // 4096  # the whole page of a text goes on on the next one
    with path.open("r+b") as file:
        file.seek(middle * 4096 + 4)
        file.write(bytes(4092))
    with MemoryLog(f"sqlite:///{path}") as log, pytest.raises(LogDamaged, match=r"experience 1 is damaged.*NUL"):
        log.get(1)


def test_a_time_that_is_none_is_named_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with MemoryLog(f"sqlite:///{path}") as log:
        log.append(experience("Something."))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE experiences SET time = '2026-?'")
    connection.close()
    with MemoryLog(f"sqlite:///{path}") as log, pytest.raises(LogDamaged, match="an experience is damaged"):
        log.experiences("default")
