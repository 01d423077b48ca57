"""A disk without room: said plainly, nothing half stored, and on again when there is room."""

import os
import sqlite3
from pathlib import Path

import pytest

from agent.home import Home
from memory_log.blobs import BlobStore
from memory_log.disk import says_full
from memory_log.errors import DiskFull
from memory_log.log import MemoryLog
from memory_log.records import NewExperience
from tests.rights import files_no_larger_than

LONG = "x" * 16_000


def test_a_log_without_room_keeps_what_it_acknowledged_and_goes_on_when_there_is_some(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    def tell_for_ever(log: MemoryLog) -> None:
        while True:
            told = log.append_many([NewExperience(text=f"{len(acknowledged)} {part} {LONG}") for part in "ab"])
            acknowledged.extend(one.text for one in told)

    with MemoryLog(f"sqlite:///{tmp_path}/log.sqlite3") as log:
        with files_no_larger_than(600_000), pytest.raises(DiskFull, match=r"log\.sqlite3 is full.*free some room"):
            tell_for_ever(log)
        assert acknowledged
        assert [one.text for one in log.experiences("default", limit=1000)] == acknowledged
        assert log.append(NewExperience(text="There is room again.")).id == len(acknowledged) + 1
    with MemoryLog(f"sqlite:///{tmp_path}/log.sqlite3") as again:
        assert len(again.experiences("default", limit=1000)) == len(acknowledged) + 1


def test_a_log_that_has_no_room_to_begin_says_so(tmp_path: Path) -> None:
    with files_no_larger_than(5_000), pytest.raises(DiskFull):
        MemoryLog(f"sqlite:///{tmp_path}/log.sqlite3")


def test_what_sqlite_says_when_a_file_may_not_grow_is_known(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("PRAGMA max_page_count = 3")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("CREATE TABLE long AS SELECT ?", (LONG,))
    connection.close()
    assert says_full(caught.value)
    assert says_full(OSError(os.strerror(28), 28)) is False and says_full(OSError(28, os.strerror(28)))
    assert not says_full(ValueError()) and not says_full(sqlite3.OperationalError("database is locked"))


def test_a_blob_without_room_leaves_nothing_behind(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with files_no_larger_than(1_000):
        for content in (LONG.encode(), lambda path: path.write_bytes(LONG.encode())):
            with pytest.raises(DiskFull, match="blobs is full"):
                blobs.put("default/1.safetensors", content)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert blobs.put("default/1.safetensors", LONG.encode())[1] == len(LONG)


def test_a_home_without_room_is_not_half_made(tmp_path: Path) -> None:
    with files_no_larger_than(10), pytest.raises(DiskFull, match="home is full"):
        Home.open(tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []
    Home.open(tmp_path / "home")
