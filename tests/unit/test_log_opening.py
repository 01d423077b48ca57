"""Opening a log by URL, and what SQLite is told."""

from pathlib import Path

import pytest

from memory_log.database import Database
from memory_log.errors import BadInput, LogDamaged, LogUnavailable
from memory_log.log import MemoryLog


@pytest.mark.parametrize("url", ["", "not a url", "mysql://host/log", "sqlite://", "sqlite:///:memory:"])
def test_urls_that_cannot_hold_a_log_are_refused(url: str) -> None:
    with pytest.raises(BadInput, match="sqlite:///path"):
        MemoryLog(url)


def test_a_sqlite_log_makes_its_folders_and_syncs_every_commit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new/home/log.db")
    with database.reading() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    database.close()
    full = 2
    assert settings == {
        "journal_mode": "wal", "synchronous": full, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 30_000,
    }  # fmt: skip


def test_a_file_that_is_no_log_is_refused_at_once_and_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "log.db"
    note.write_text("my shopping list, which is long enough to be looked at as a header of a file " * 20)
    before = note.read_bytes()
    with pytest.raises(LogDamaged, match=r"file is not a database.*back-up"):
        MemoryLog(f"sqlite:///{note}")
    with pytest.raises(BadInput, match="cannot open the log"):
        MemoryLog(f"sqlite:///{note}/deeper/log.db")
    with pytest.raises(BadInput, match="unable to open"):
        MemoryLog(f"sqlite:///{tmp_path}")
    assert note.read_bytes() == before


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match=r"nothing was written.*that the server runs") as caught:
        MemoryLog(f"postgresql://me:secret@/log?host={tmp_path}")
    assert "secret" not in str(caught.value)
