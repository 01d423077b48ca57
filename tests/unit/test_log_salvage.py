"""Getting out of a damaged SQLite file what stands on its whole pages."""

import random
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from memory_log.records import Experience, NewExperience
from memory_log.salvage import Salvaged, salvage
from tests.log_fixtures import experience, learn, mug

PAGE_BYTES = 4096
LEAST_ROW_BYTES = 80


def salvaged(path: Path) -> tuple[Salvaged, dict[int, Experience]]:
    lines: list[str] = []
    result = salvage(path, lines.append)
    found = [Experience.model_validate_json(line) for line in lines]
    assert [one.id for one in found] == sorted(one.id for one in found)
    return result, {one.id: one for one in found}


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, dict[int, Experience]]:
    """A closed log with short and long texts, facts, versions, a tombstone, and what it holds."""
    path = tmp_path / "whole.db"
    with MemoryLog(f"sqlite:///{path}") as log:
        learn(log, mug("drawer"), experience("A long day. " * 1200, key="long", reward=0.5, observation="ö" * 300))
        log.append_many([NewExperience(text=f"Event {index}.", step=index) for index in range(299)])
        log.append(experience("All fields.", priority=3, surprise=0.25, metadata={"room": "küche", "lamps": 2}))
        log.forget(7)
        return path, {one.id: one for one in log.experiences("default", limit=1000)}


def test_a_whole_file_gives_back_everything(whole: tuple[Path, dict[int, Experience]]) -> None:
    path, stored = whole
    before = path.read_bytes()
    result, found = salvaged(path)
    assert found == stored and result == Salvaged(num_found=302, num_lost=0)
    assert path.read_bytes() == before


def test_rows_from_before_a_column_was_added_are_read_too(whole: tuple[Path, dict[int, Experience]]) -> None:
    path, stored = whole
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE experiences ADD COLUMN later TEXT")
    connection.close()
    assert salvaged(path)[1] == stored


def test_a_log_that_is_in_use_gives_back_what_is_in_its_wal(tmp_path: Path) -> None:
    path = tmp_path / "used.db"
    with MemoryLog(f"sqlite:///{path}") as log:
        log.append_many([mug(f"drawer {index}") for index in range(50)])
        log.forget(3)
        subprocess.run(["cp", "-r", str(tmp_path), f"{tmp_path}-copy"], check=True)
        result, found = salvaged(Path(f"{tmp_path}-copy") / path.name)
        assert result == Salvaged(num_found=50, num_lost=0)
        assert found == {one.id: one for one in log.experiences("default", limit=100)} and found[3].text == ""


@pytest.mark.parametrize("seed", range(12))
def test_a_ruined_page_costs_its_own_rows_only(
    whole: tuple[Path, dict[int, Experience]], tmp_path: Path, seed: int
) -> None:
    path, stored = whole
    rng = random.Random(seed)
    ruined = tmp_path / "ruined.db"
    shutil.copy(path, ruined)
    page = seed if seed < 6 else rng.randrange(path.stat().st_size // PAGE_BYTES)
    with ruined.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(rng.randbytes(PAGE_BYTES))
    result, found = salvaged(ruined)
    assert {number: one.text for number, one in found.items()}.items() <= {
        number: one.text for number, one in stored.items()
    }.items()
    assert len(stored) - len(found) <= PAGE_BYTES // LEAST_ROW_BYTES
    assert result.num_found == len(found) and result.num_lost in (None, len(stored) - len(found))


def test_a_file_whose_end_is_gone_gives_back_what_stands_before(
    whole: tuple[Path, dict[int, Experience]], tmp_path: Path
) -> None:
    path, stored = whole
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3 * PAGE_BYTES)
    _, found = salvaged(path)
    assert 0 < len(found) < len(stored)
    assert all(stored[number].text == one.text for number, one in found.items())


def test_what_is_no_database_gives_back_nothing(tmp_path: Path) -> None:
    for name, content in (("empty.db", b""), ("note.db", b"my shopping list " * 1000)):
        (tmp_path / name).write_bytes(content)
        assert salvaged(tmp_path / name) == (Salvaged(num_found=0, num_lost=None), {})
    with pytest.raises(BadInput, match="there is no file"):
        salvage(tmp_path / "missing.db", print)
