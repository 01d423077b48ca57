"""Back-up and restore: the same home again, or a clear word and nothing at all."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.home import Home
from agent.home_backup import restore_backup, write_backup
from agent.home_base import check_base
from memory_log.errors import BackupCorrupt, BadInput, BaseModelChanged, DeltaCorrupt, SchemaTooNew, SelfParamError
from tests.home_fixtures import learned_home, nothing, texts

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home of two versions and, in a folder of its own, its back-up."""
    folder = tmp_path_factory.mktemp("backed_up")
    (folder / "safe").mkdir()
    write_backup(learned_home(folder / "home"), folder / "safe" / "one.tar", progress=nothing)
    return folder


@pytest.fixture
def file(tmp_path: Path, backed_up: Path) -> Path:
    """A back-up beside its home, for one test to spoil."""
    shutil.copytree(backed_up, tmp_path, dirs_exist_ok=True)
    return tmp_path / "safe" / "one.tar"


def read(file: Path) -> Members:
    with tarfile.open(file) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def rewrite(file: Path, members: Members, *, is_sealed: bool = True) -> None:
    """Write an archive anew, with a manifest that fits, or with the one that it had."""
    if is_sealed:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = [
            {"name": name, "num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
            if name != "manifest.json"
        ]
        members = members | {"manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def with_log(members: Members, folder: Path, *statements: str) -> Members:
    """The members with a log in which somebody ran these statements."""
    path = folder / "changed.sqlite3"
    path.write_bytes(members["log.sqlite3"])
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return members | {"log.sqlite3": path.read_bytes()}


def test_a_restored_home_is_the_home(tmp_path: Path, file: Path) -> None:
    restore_backup(file, tmp_path / "again", progress=nothing)
    home, again = Home.open(tmp_path / "home"), Home.open(tmp_path / "again", create=False)
    assert again.config == home.config
    with home.open_log() as old, again.open_log() as new:
        assert new.experiences("default") == old.experiences("default")
        assert new.versions("default") == old.versions("default")
        assert new.replay_targets("default", limit=9, seed=0) == old.replay_targets("default", limit=9, seed=0)
        for version in new.chain("default", 2):
            assert version.delta is not None and again.blob_store().path_verified(version.delta)
    assert os.listdir(file.parent) == ["one.tar"]


def test_an_empty_folder_becomes_the_home_and_a_used_one_does_not(tmp_path: Path, file: Path) -> None:
    (tmp_path / "empty").mkdir()
    restore_backup(file, tmp_path / "empty", progress=nothing)
    assert texts(Home.open(tmp_path / "empty", create=False))
    with pytest.raises(BadInput, match="something in it"):
        restore_backup(file, tmp_path / "home", progress=nothing)
    with pytest.raises(BadInput, match="is a file"):
        restore_backup(file, file, progress=nothing)


def test_a_restore_that_was_killed_left_no_home_and_does_not_hinder_the_next(tmp_path: Path, file: Path) -> None:
    leftover = tmp_path / ".again.123.abcd.unfinished"
    leftover.mkdir()
    (leftover / "config.json").write_bytes(read(file)["config.json"])
    (leftover / "log.sqlite3").write_bytes(b"half")
    assert not (tmp_path / "again").exists()
    restore_backup(file, tmp_path / "again", progress=nothing)
    assert len(texts(Home.open(tmp_path / "again", create=False))) == 3


def test_a_back_up_overwrites_nothing_and_stays_away_from_the_deltas(tmp_path: Path, file: Path) -> None:
    home = Home.open(tmp_path / "home")
    before = file.read_bytes()
    for goal, complaint in (
        (file, "there already"),
        (tmp_path / "nowhere" / "one.tar", "no folder"),
        (home.path / "blobs" / "one.tar", "among the deltas"),
    ):
        with pytest.raises(BadInput, match=complaint):
            write_backup(home, goal, progress=nothing)
    assert file.read_bytes() == before and os.listdir(file.parent) == ["one.tar"]


def test_a_log_in_postgresql_is_sent_to_pg_dump(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    served = Home(home.path, home.config.model_copy(update={"log_url": "postgresql://host/log"}))
    with pytest.raises(BadInput, match="pg_dump"):
        write_backup(served, tmp_path / "one.tar", progress=nothing)


def test_a_damaged_delta_is_found_when_the_back_up_is_made(tmp_path: Path) -> None:
    home = learned_home(tmp_path / "home")
    (home.path / "blobs/default/1.safetensors").write_bytes(b"x")
    with pytest.raises(DeltaCorrupt):
        write_backup(home, tmp_path / "one.tar", progress=nothing)
    assert os.listdir(tmp_path) == ["home"]


def test_a_home_that_was_never_told_anything_can_be_backed_up(tmp_path: Path) -> None:
    write_backup(Home.open(tmp_path / "home"), tmp_path / "one.tar", progress=nothing)
    restore_backup(tmp_path / "one.tar", tmp_path / "again", progress=nothing)
    assert texts(Home.open(tmp_path / "again", create=False)) == []


def test_what_the_base_model_was_goes_along(tmp_path: Path) -> None:
    home = learned_home(tmp_path / "home")
    check_base(home.path, "default", "a-model", {"tokenizer": "1f0c"})
    assert write_backup(home, tmp_path / "b.tar", progress=nothing).num_deltas == 2
    restore_backup(tmp_path / "b.tar", tmp_path / "again", progress=nothing)
    check_base(tmp_path / "again", "default", "a-model", {"tokenizer": "1f0c"})
    with pytest.raises(BaseModelChanged, match="tokenizer"):
        check_base(tmp_path / "again", "default", "a-model", {"tokenizer": "another"})


def refused(file: Path, home: Path) -> SelfParamError:
    with pytest.raises(SelfParamError) as caught:
        restore_backup(file, home, progress=nothing)
    assert not home.exists() and not list(home.parent.glob("*.unfinished")) and not list(home.parent.glob(".*"))
    return caught.value


def test_every_way_of_being_cut_off_is_found(tmp_path: Path, file: Path) -> None:
    whole = file.read_bytes()
    content = whole.rstrip(b"\0")
    for length in (0, 1, 100, 512, 700, 5000, len(content) // 2, len(content) - 600, len(content) - 1):
        file.write_bytes(whole[:length])
        assert isinstance(refused(file, tmp_path / "again"), BackupCorrupt), length


def test_a_changed_byte_in_any_member_is_found(tmp_path: Path, file: Path) -> None:
    members = read(file)
    for name in members:
        content = bytearray(members[name])
        content[len(content) // 2] ^= 1
        rewrite(file, members | {name: bytes(content)}, is_sealed=False)
        assert isinstance(refused(file, tmp_path / "again"), BackupCorrupt), name


Change = Callable[[Members, Path], Members]
LOG_ELSEWHERE = {"log_url": "postgresql://elsewhere/log"}


def changed_config(members: Members, **fields: object) -> Members:
    config = json.loads(members["config.json"]) | fields
    return members | {"config.json": json.dumps(config).encode()}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m, _: m | {"../evil": b"x"}, "no place in a home"),
        (lambda m, _: m | {"blobs/../../evil": b"x"}, "no place in a home"),
        (lambda m, _: m | {"blobs//evil": b"x"}, "no place in a home"),
        (lambda m, _: m | {"/tmp/evil": b"x"}, "no place in a home"),
        (lambda m, _: m | {"blobs/.evil": b"x"}, "no place in a home"),
        (lambda m, _: m | {"notes.txt": b"x"}, "no place in a home"),
        (lambda m, _: changed_config(m, **LOG_ELSEWHERE), "tells of"),
        (lambda m, _: changed_config(m, model="owner/other"), "tells of"),
        (lambda m, _: changed_config(m, colour="red"), "damaged"),
        (lambda m, _: {k: v for k, v in m.items() if k != "blobs/default/2.safetensors"}, "lacks the delta"),
        (lambda m, _: m | {"blobs/default/2.safetensors": b"3"}, "lacks the delta"),
        (lambda m, _: {k: v for k, v in m.items() if k != "log.sqlite3"}, "config and log once"),
        (lambda m, _: m | {"log.sqlite3": b"no database at all" * 99}, "no database"),
        (lambda m, f: with_log(m, f, "DROP TABLE schema_version"), "not a log"),
        (lambda m, f: with_log(m, f, "DELETE FROM batches"), "damaged"),
        (lambda m, f: with_log(m, f, "UPDATE lineages SET base_fingerprint = 'x'"), "different base models"),
        (
            lambda m, f: with_log(m, f, "CREATE TRIGGER t AFTER INSERT ON facts BEGIN DELETE FROM experiences; END"),
            "programs",
        ),
    ],
)
def test_an_archive_that_was_tampered_with_is_refused_though_its_checksums_fit(
    tmp_path: Path, file: Path, change: Change, complaint: str
) -> None:
    rewrite(file, change(read(file), file.parent))
    error = refused(file, tmp_path / "again")
    assert isinstance(error, BackupCorrupt) and complaint in str(error)
    assert not (tmp_path / "evil").exists() and not Path("/tmp/evil").exists()


def test_a_link_in_place_of_a_member_is_refused(tmp_path: Path, file: Path) -> None:
    members = read(file)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if name.startswith("blobs/"):
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert "is not the file" in str(refused(file, tmp_path / "again"))


def test_a_member_that_the_manifest_does_not_name_is_refused(tmp_path: Path, file: Path) -> None:
    rewrite(file, read(file) | {"blobs/more": b"x"}, is_sealed=False)
    assert "does not name" in str(refused(file, tmp_path / "again"))


def test_what_a_newer_release_wrote_asks_for_that_release(tmp_path: Path, file: Path) -> None:
    members = read(file)
    manifest = json.loads(members["manifest.json"]) | {"schema_version": 2, "colour": "red"}
    rewrite(file, members | {"manifest.json": json.dumps(manifest).encode()}, is_sealed=False)
    assert isinstance(refused(file, tmp_path / "again"), SchemaTooNew)
    rewrite(file, with_log(members, file.parent, "UPDATE schema_version SET version = 1000"))
    assert isinstance(refused(file, tmp_path / "again"), SchemaTooNew)
    rewrite(file, changed_config(members, schema_version=1000))
    assert isinstance(refused(file, tmp_path / "again"), SchemaTooNew)


def test_something_else_than_a_back_up_is_named(tmp_path: Path, file: Path) -> None:
    with pytest.raises(BadInput, match="no back-up file"):
        restore_backup(tmp_path / "nothing", tmp_path / "again", progress=nothing)
    file.write_text("my shopping list " * 99)
    assert isinstance(refused(file, tmp_path / "again"), BackupCorrupt)
    with tarfile.open(file, "w") as archive:
        archive.addfile(tarfile.TarInfo("holiday.jpg"))
    assert "does not begin with" in str(refused(file, tmp_path / "again"))
