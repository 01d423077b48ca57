"""Examining a home: what its files can lack, what a dead process leaves, and a log that cannot be opened."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from agent.home import Home
from agent.home_base import BaseRecord, check_base
from agent.home_doctor import Examination, examine_home
from memory_log.errors import BadInput
from memory_log.findings import MEND, Finding
from memory_log.records import DeltaRef
from tests.home_fixtures import nothing
from tests.log_fixtures import BASE, experience, lease_of
from tests.rights import locked

HEAD = json.dumps({"w.A": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
DELTA = len(HEAD).to_bytes(8, "little") + HEAD + b"\0\0\0\0"
NAME = "default/1.safetensors"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with one version, its delta and its base record."""
    made = Home.open(tmp_path / "home")
    check_base(made.path, "default", "embedded", {"weights": BASE})
    with made.open_log() as log:
        log.append(experience("Anna likes pears."))
        lease = lease_of(log)
        batch = log.open_batch(lease, limit=1)
        sha256, num_bytes = made.blob_store().put(NAME, DELTA)
        ref = DeltaRef(path=NAME, sha256=sha256, kind="lowrank", num_bytes=num_bytes)
        log.admit(lease, log.add_candidate(lease, batch.id, delta=ref, weights_hash="hash", metrics={}).number)
        log.release_updater_lease(lease)
    return made


def examined(home: Home, *, is_quick: bool = False, is_mend: bool = False) -> Examination:
    return examine_home(home.path, is_quick=is_quick, is_mend=is_mend, progress=nothing)


def only(found: Examination) -> Finding:
    assert len(found.findings) == 1, found.findings
    return found.findings[0]


def make_old(path: Path) -> None:
    two_hours_ago = time.time() - 7200
    os.utime(path, (two_hours_ago, two_hours_ago))


def test_a_sound_home_has_nothing_to_find_and_is_not_changed(home: Home) -> None:
    before = sorted(path.name for path in home.path.rglob("*"))
    assert examined(home).findings == () and examined(home, is_quick=True).findings == ()
    assert examined(home, is_mend=True).mended == ()
    assert sorted(path.name for path in home.path.rglob("*")) == before


def test_the_quick_form_makes_fewer_checks(home: Home) -> None:
    assert set(examined(home).checks) - set(examined(home, is_quick=True).checks) == {"rows"}


def test_a_folder_without_a_home_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no memory"):
        examine_home(tmp_path / "nowhere", progress=nothing)


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_delta_that_is_gone_or_cut_off_is_found(home: Home, is_quick: bool) -> None:
    path = home.blob_store().root / NAME
    path.write_bytes(DELTA[:-1])
    assert (only(examined(home, is_quick=is_quick)).check, examined(home).num_errors) == ("deltas", 1)
    path.unlink()
    finding = only(examined(home, is_quick=is_quick))
    assert "version 1 of lineage 'default'" in finding.what and "rollback 0" in finding.mend


def test_only_the_full_form_sees_a_delta_with_another_content(home: Home) -> None:
    (home.blob_store().root / NAME).write_bytes(DELTA[:-1] + b"\1")
    assert examined(home, is_quick=True).findings == ()
    assert "sha256" in only(examined(home)).what


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, (30).to_bytes(8, "little") + b"[" * 40, DELTA + b"\0"])
def test_a_delta_that_was_written_wrong_is_found_by_its_head(home: Home, content: bytes) -> None:
    sha256, num_bytes = home.blob_store().put("default/2.safetensors", content)
    with closing(sqlite3.connect(home.path / "log.sqlite3")) as log, log:
        values = ("default/2.safetensors", sha256, num_bytes)
        log.execute("UPDATE versions SET delta_path = ?, delta_sha256 = ?, delta_bytes = ? WHERE number = 1", values)
    assert "2.safetensors" in only(examined(home)).what


def test_unfinished_files_go_once_they_are_old_and_orphans_are_left_to_clean(home: Home) -> None:
    unfinished = home.path / "blobs" / "default" / "3.safetensors.1.ab.unfinished"
    orphan, stranger = home.path / "blobs" / "orphan.safetensors", home.path / "notes.txt"
    for path in (unfinished, orphan, stranger):
        path.write_bytes(b"x")
    assert [one.severity for one in examined(home).findings] == ["note"]  # young ones may be in use
    make_old(unfinished)
    make_old(orphan)
    found = examined(home).findings
    assert [(one.severity, one.mend) for one in found][:2] == [("warning", MEND), ("warning", "selfparam clean")]
    assert "notes.txt" in found[2].what
    mended = examined(home, is_mend=True)
    assert "unfinished" in mended.mended[0] and len(mended.findings) == 2, mended
    assert orphan.exists() and stranger.exists() and not unfinished.exists()


def test_bells_at_which_nobody_waits_go_and_the_others_stay(home: Home) -> None:
    folder = home.path / "log.sqlite3-bells"
    folder.mkdir()
    stale, heard, young = (folder / f"{name}.fifo" for name in ("stale", "heard", "young"))
    for path in (stale, heard, young):
        os.mkfifo(path)
    make_old(stale)
    make_old(heard)
    waiter = os.open(heard, os.O_RDONLY | os.O_NONBLOCK)
    try:
        finding = only(examined(home))
        assert finding.severity == "note" and finding.what.endswith("bells/stale.fifo")
        assert examined(home, is_mend=True).findings == ()
    finally:
        os.close(waiter)
    assert (stale.exists(), heard.exists(), young.exists()) == (False, True, True)


def test_a_base_record_that_disagrees_or_cannot_be_read_is_found(home: Home) -> None:
    path = home.path / "bases" / "default.json"
    path.write_text(BaseRecord(model="other", parts={"weights": "else"}).model_dump_json())
    assert "names weights else" in only(examined(home)).what
    path.write_text("{")
    assert "is damaged" in only(examined(home)).what


def test_a_base_model_that_is_gone_is_found(home: Home, tmp_path: Path) -> None:
    config = home.config.model_copy(update={"model": str(tmp_path / "gone")})
    (home.path / "config.json").write_text(config.model_dump_json())
    assert "lacks its folder" in only(examined(home)).what


def test_a_damaged_config_does_not_hide_the_log(home: Home) -> None:
    (home.path / "config.json").write_text("{")
    found = examined(home)
    assert only(found).check == "config" and "rows" in found.checks


def test_a_log_that_is_gone_is_not_made_anew(home: Home) -> None:
    for path in home.path.glob("log.sqlite3*"):
        path.unlink()
    assert "log.sqlite3 is gone" in only(examined(home)).what
    assert not (home.path / "log.sqlite3").exists()


def test_a_log_that_is_no_database_is_one_finding(home: Home) -> None:
    for path in home.path.glob("log.sqlite3*"):
        path.unlink()
    (home.path / "log.sqlite3").write_bytes(b"not a database at all" * 200)
    assert only(examined(home)).check == "log" and only(examined(home, is_mend=True)).severity == "error"


def test_a_log_of_a_newer_release_is_left_alone(home: Home) -> None:
    with closing(sqlite3.connect(home.path / "log.sqlite3")) as log, log:
        log.execute("UPDATE schema_version SET version = 99")
    finding = only(examined(home, is_mend=True))
    assert "schema version 99" in finding.what and finding.mend == "install the newer release"


def test_damaged_pages_are_found_and_nothing_is_mended_on_them(home: Home) -> None:
    with home.open_log() as log:
        log.append_many([experience(f"The mug number {number} is in the hall.") for number in range(500)])
    path = home.path / "log.sqlite3"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40960] + bytes(40960))  # the last ten pages
    found = examined(home, is_mend=True)
    assert found.num_errors and found.mended == ()
    assert {one.check for one in found.findings} >= {"database"}
    assert all("salvage" in one.mend for one in found.findings if one.severity == "error")


def test_a_server_that_does_not_answer_is_a_finding(home: Home) -> None:
    config = home.config.model_copy(update={"log_url": "postgresql://127.0.0.1:1/nowhere"})
    (home.path / "config.json").write_text(config.model_dump_json())
    assert only(examined(home)).check == "log"


def test_a_home_that_can_only_be_read_is_examined_all_the_same(home: Home) -> None:
    with home.open_log():
        pass  # the WAL is taken up when the last connection closes
    with locked(home.path):
        found = examined(home)
    assert [(one.check, one.severity) for one in found.findings] == [("rights", "warning")]
    assert "rows" in found.checks
