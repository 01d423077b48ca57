"""The blob store: whole or absent, never overwritten, checked before use."""

import hashlib
import os
from pathlib import Path

import pytest

from memory_log.blobs import BlobStore
from memory_log.errors import BadInput, DeltaCorrupt
from memory_log.records import DeltaRef
from tests.log_fixtures import HandClock


def stored(blobs: BlobStore, name: str, content: bytes) -> DeltaRef:
    sha256, num_bytes = blobs.put(name, content)
    return DeltaRef(path=name, sha256=sha256, kind="lowrank", num_bytes=num_bytes)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_blob_reads_back_with_its_checksum(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    ref = stored(blobs, "default/1.safetensors", b"weights")
    assert (ref.sha256, ref.num_bytes) == (hashlib.sha256(b"weights").hexdigest(), 7)
    assert blobs.path_verified(ref).read_bytes() == b"weights"
    assert files(blobs.root) == ["default/1.safetensors"]


def test_a_writer_is_given_the_path_to_fill(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    assert blobs.put("a", lambda path: path.write_bytes(b"abc"))[1] == 3


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BlobStore(tmp_path).put("a", fail)
    assert files(tmp_path) == []


def test_a_blob_is_never_overwritten(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    ref = stored(blobs, "a", b"one")
    assert stored(blobs, "a", b"one") == ref
    with pytest.raises(BadInput, match="another content"):
        blobs.put("a", b"two")
    assert blobs.path_verified(ref).read_bytes() == b"one" and files(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../../b", "a\\b", "a\0b", ".hidden", "a.unfinished"])
def test_names_that_leave_the_root_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        BlobStore(tmp_path / "blobs").put(name, b"x")
    assert files(tmp_path) == []


def test_a_missing_cut_or_changed_blob_is_never_handed_out(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    ref = stored(blobs, "a", b"weights")
    for damaged in (b"weight", b"weighty", b"Weights", b""):
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(DeltaCorrupt, match="'a'"):
            blobs.path_verified(ref)
    (tmp_path / "a").unlink()
    with pytest.raises(DeltaCorrupt, match="is not in"):
        blobs.path_verified(ref)
    with pytest.raises(DeltaCorrupt):
        blobs.path_verified(ref.model_copy(update={"path": "../a"}))


def test_clean_up_spares_what_is_referenced_and_what_is_young(tmp_path: Path) -> None:
    clock = HandClock()
    blobs = BlobStore(tmp_path, clock=clock)
    for name in ("kept", "orphan", "young", "lineage/orphan"):
        blobs.put(name, name.encode())
    (tmp_path / "b.1.ff.unfinished").write_bytes(b"left by a crash")
    for path in tmp_path.rglob("*"):
        age = 10 if path.name == "young" else 1000
        os.utime(path, (clock.now.timestamp() - age,) * 2)
    removed = blobs.remove_orphans({"kept"}, older_than_seconds=600)
    assert removed == ["b.1.ff.unfinished", "lineage/orphan", "orphan"]
    assert files(tmp_path) == ["kept", "young"]
