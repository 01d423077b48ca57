"""Logs of earlier and later schemas in files: full disks, places without rights, back-ups, and the command line."""

import hashlib
import io
import json
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.home import CONFIG_FILE, LOG_FILE, Home
from agent.home_backup import restore_backup, write_backup
from agent.home_import import import_experiences, opened_source
from memory_log.backup import examine_log
from memory_log.errors import BackupCorrupt, BadInput, DiskFull, SchemaTooNew
from memory_log.log import MemoryLog
from memory_log.tables import SCHEMA_VERSION
from tests import schema_dumps
from tests.cli_fixtures import run
from tests.home_fixtures import nothing, texts
from tests.rights import files_no_larger_than, locked
from tests.schema_dumps import account

EARLIER = range(1, SCHEMA_VERSION)


def old_log(path: Path, version: int) -> str:
    url = f"sqlite:///{path}"
    schema_dumps.load(url, version)
    return url


def statements(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def set_version(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE schema_version SET version = ?", (number,))
        connection.commit()


def test_a_migration_without_room_says_so_and_goes_through_when_there_is_some(tmp_path: Path) -> None:
    url, told = old_log(tmp_path / "log.sqlite3", 1), schema_dumps.told("sqlite", 1)["account"]
    before = statements(tmp_path / "log.sqlite3")
    with files_no_larger_than(50_000), pytest.raises(DiskFull, match=r"log\.sqlite3 is full.*free some room"):
        MemoryLog(url)
    assert statements(tmp_path / "log.sqlite3") == before
    with MemoryLog(url) as log:
        assert len(log.experiences("default")) == len(told["experiences"]["default"])


def test_an_old_log_with_a_row_that_names_a_missing_one_is_refused_and_left_alone(tmp_path: Path) -> None:
    url = old_log(tmp_path / "log.sqlite3", 2)
    with closing(sqlite3.connect(tmp_path / "log.sqlite3")) as connection:
        connection.execute("DELETE FROM experiences WHERE id = 3")
        connection.commit()
    before = statements(tmp_path / "log.sqlite3")
    for _ in range(2):
        with pytest.raises(BadInput, match=r"log\.sqlite3 cannot be brought up.*: a row of .* restore a back-up"):
            MemoryLog(url)
    assert statements(tmp_path / "log.sqlite3") == before


@pytest.mark.parametrize("version", EARLIER)
def test_an_old_log_that_cannot_be_written_is_refused_with_the_way_out(tmp_path: Path, version: int) -> None:
    home = Home.open(tmp_path / "home").path
    url = old_log(home / LOG_FILE, version)
    with locked(home), pytest.raises(BadInput, match=f"has schema version {version}.*open it once where it can be wri"):
        Home.open(home, create=False, to_write=False).open_log()
    MemoryLog(url).close()
    with locked(home), Home.open(home, create=False, to_write=False).open_log() as log:
        assert log.experiences("default")


def test_a_log_of_a_later_schema_is_refused_by_the_log_and_on_the_command_line(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    home.open_log().close()
    set_version(home.path / LOG_FILE, SCHEMA_VERSION + 1)
    before = statements(home.path / LOG_FILE)
    found = rf"schema version {SCHEMA_VERSION + 1}, this release reads up to {SCHEMA_VERSION}; install the newer rel"
    for is_readonly in (False, True):
        with pytest.raises(SchemaTooNew, match=found):
            MemoryLog(f"sqlite:///{home.path / LOG_FILE}", is_readonly=is_readonly)
    result = run(home.path, "log")
    assert result.returncode != 0 and "install the newer release" in result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert statements(home.path / LOG_FILE) == before


def old_backup(folder: Path, version: int) -> Path:
    """A back-up of a home with an old log, as the release of its time wrote it."""
    old_log(folder / LOG_FILE, version)
    told = schema_dumps.told("sqlite", version)["account"]
    members = {
        CONFIG_FILE: (Home.open(folder / "donor").path / CONFIG_FILE).read_bytes(),
        LOG_FILE: (folder / LOG_FILE).read_bytes(),
    }
    for lineage in told["lineages"].values():
        for one in lineage["versions"]:
            if one["delta"] is not None and one["state"] == "admitted":
                members[f"blobs/{one['delta']['path']}"] = one["delta"]["path"].encode()
    manifest = {
        "schema_version": 1,
        "created": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "model": None,
        "base_fingerprints": {"default": "base-model-fingerprint", schema_dumps.LINEAGES[1]: "another-base"},
        "num_experiences": sum(map(len, told["experiences"].values())),
        "members": [
            {"name": name, "num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        ],
    }
    with tarfile.open(folder / "old.tar", "w") as archive:
        for name, content in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder / "old.tar"


@pytest.mark.parametrize("version", EARLIER)
def test_a_back_up_of_an_old_log_is_restored_and_backed_up_again(tmp_path: Path, version: int) -> None:
    restore_backup(old_backup(tmp_path, version), tmp_path / "home", progress=nothing)
    home = Home.open(tmp_path / "home", create=False)
    with home.open_log() as log:
        told = account(log)
    assert len(told["lineages"]["default"]["versions"]) == 5
    again = write_backup(home, tmp_path / "new.tar", progress=nothing)
    assert again.num_deltas == 4
    restore_backup(tmp_path / "new.tar", tmp_path / "again", progress=nothing)
    with Home.open(tmp_path / "again", create=False).open_log() as log:
        assert account(log) == told


def test_what_an_old_back_up_was_told_can_be_imported(tmp_path: Path) -> None:
    file = old_backup(tmp_path, 1)
    home = Home.open(tmp_path / "home")
    with opened_source(file, progress=nothing) as source:
        import_experiences(source, home, name="old.tar", lineage="default", progress=nothing)
        assert set(texts(home)) <= set(texts(source)) and "Interrupted once." in texts(home)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIRTUAL TABLE strange USING fts5(words)",
        "CREATE VIEW strange AS SELECT 1",
        "CREATE TRIGGER strange AFTER INSERT ON facts BEGIN SELECT 1; END",
    ],
)
@pytest.mark.parametrize("version", [1, SCHEMA_VERSION])
def test_a_back_up_whose_log_holds_a_strangers_program_is_refused(
    tmp_path: Path, version: int, statement: str
) -> None:
    url = old_log(tmp_path / LOG_FILE, 1)
    if version == SCHEMA_VERSION:
        MemoryLog(url).close()
    assert examine_log(tmp_path / LOG_FILE).num_experiences > 10
    with closing(sqlite3.connect(tmp_path / LOG_FILE)) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(BackupCorrupt, match=r"programs that no log of ours has.*strange"):
        examine_log(tmp_path / LOG_FILE)
