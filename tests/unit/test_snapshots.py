"""Snapshots: a fold goes on from one exactly as from the base, and a bad one costs time and nothing else."""

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from memory_log.blobs import BlobStore
from memory_log.errors import BadInput, DeltaCorrupt, DeltaMismatch, DiskFull, UnknownVersion
from memory_log.log import MemoryLog
from memory_log.records import Snapshot
from memory_log.upkeep import LogUpkeep
from tests.model_fixtures import grow, random_differences, random_factors, tiny_base
from tests.rights import files_no_larger_than
from updater.fold import VersionWeights, add_delta
from updater.language_model import weights_hash, weights_of
from updater.snapshots import SNAPSHOT_FORMAT, read_snapshot

Parts = tuple[MemoryLog, BlobStore]


@pytest.fixture
def parts(tmp_path: Path):  # noqa: ANN201
    with MemoryLog(f"sqlite:///{tmp_path / 'log.sqlite3'}") as log:
        yield log, BlobStore(tmp_path / "blobs")


def fresh(parts: Parts, **options: bool) -> VersionWeights:
    return VersionWeights(tiny_base(), *parts, **options)


def chain_of(parts: Parts, count: int, *, first: int = 1) -> None:
    for seed in range(first, first + count):
        grow(*parts, random_differences(seed) if seed % 2 else random_factors(seed))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_fold_from_a_snapshot_is_bit_for_bit_the_one_from_the_base(parts: Parts) -> None:
    chain_of(parts, 6)
    stored = fresh(parts).store_snapshot("default", 6)
    assert parts[0].snapshots("default") == [stored] and stored.num_bytes > 0
    chain_of(parts, 3, first=7)
    for path in [parts[0].version("default", number).delta for number in range(1, 7)]:
        assert path is not None
        (parts[1].root / path.path).unlink()  # what comes before the snapshot is not read
    for number in (6, 9):
        version = parts[0].version("default", number)
        assert weights_hash(fresh(parts).weights("default", number)) == version.weights_hash
    with pytest.raises(DeltaCorrupt):
        fresh(parts, with_snapshots=False).weights("default", 9)
    with pytest.raises(DeltaCorrupt):
        fresh(parts).weights("default", 5)


def test_the_sums_that_a_snapshot_holds_are_those_of_the_deltas(parts: Parts) -> None:
    chain_of(parts, 5)
    folds = fresh(parts)
    stored = folds.store_snapshot("default", 5)
    sums = {name: weight.double() for name, weight in weights_of(tiny_base().model).items()}
    for seed in range(1, 6):
        sums = add_delta(sums, random_differences(seed) if seed % 2 else random_factors(seed))
    assert_same(folds.snapshot_sums(stored, parts[0].version("default", 5)), sums)
    assert folds.store_snapshot("default", 5) == stored, "storing it again changes nothing"


def test_a_snapshot_of_a_branch_that_was_left_is_not_used(parts: Parts) -> None:
    chain_of(parts, 5)
    fresh(parts).store_snapshot("default", 5)
    parts[0].rollback("default", 1)
    chain_of(parts, 5, first=11)
    assert weights_hash(fresh(parts).weights("default", 10)) == parts[0].version("default", 10).weights_hash


@pytest.mark.parametrize("damage", ["flipped", "cut off", "missing"])
def test_a_damaged_snapshot_is_passed_over_with_a_warning(
    parts: Parts, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    chain_of(parts, 5)
    path = parts[1].root / fresh(parts).store_snapshot("default", 5).path
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-8] if damage == "cut off" else content[:-1] + bytes([content[-1] ^ 1]))
    with caplog.at_level(logging.WARNING):
        assert weights_hash(fresh(parts).weights("default", 5)) == parts[0].version("default", 5).weights_hash
    assert "the snapshot of version 5 is passed over" in caplog.text and "selfparam versions snapshot 5" in caplog.text


def test_a_damaged_snapshot_can_be_replaced_while_its_file_is_still_there(parts: Parts) -> None:
    chain_of(parts, 5)
    first = fresh(parts).store_snapshot("default", 5)
    (parts[1].root / first.path).write_bytes(b"damaged")
    parts[0].drop_snapshots("default", [5])
    again = fresh(parts).store_snapshot("default", 5)
    assert again.path != first.path and parts[0].snapshots("default") == [again]
    assert fresh(parts).snapshot_sums(again, parts[0].version("default", 5))


def test_snapshots_are_made_when_they_are_due_and_by_lines(parts: Parts) -> None:
    folds = fresh(parts)
    made: list[int] = []
    for seed in range(1, 8):
        version = grow(*parts, random_factors(seed)).number
        made += [version] if folds.snapshot_if_due("default", version, every=3) else []
    assert made == [3, 6] == [one.version for one in parts[0].snapshots("default")]
    assert folds.snapshot_if_due("default", 7, every=0) is None
    parts[0].rollback("default", 2)
    number = grow(*parts, random_factors(20)).number
    assert folds.snapshot_if_due("default", number, every=3) is not None, "the snapshots of the other line do not count"


def test_no_room_for_a_snapshot_is_said_and_changes_nothing(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    chain_of(parts, 3)
    folds, before = fresh(parts), parts[1].sizes()
    with files_no_larger_than(4096):
        with pytest.raises(DiskFull):
            folds.store_snapshot("default", 3)
        assert folds.snapshot_if_due("default", 3, every=2) is None
    assert "no snapshot of version 3" in caplog.text
    assert parts[0].snapshots("default") == [] and parts[1].sizes() == before
    assert folds.snapshot_if_due("default", 3, every=2) is not None


def test_only_an_admitted_version_that_is_there_can_have_one(parts: Parts) -> None:
    chain_of(parts, 1)
    with pytest.raises(BadInput, match="base model itself"):
        fresh(parts).store_snapshot("default", 0)
    with pytest.raises(UnknownVersion):
        fresh(parts).store_snapshot("default", 2)


def test_clean_up_strikes_off_all_but_the_newest_on_the_line_and_keeps_the_others_files(
    parts: Parts, tmp_path: Path
) -> None:
    chain_of(parts, 3)
    folds = fresh(parts)
    stored = {number: folds.store_snapshot("default", number) for number in (1, 2, 3)}
    parts[0].rollback("default", 2)
    with LogUpkeep(f"sqlite:///{tmp_path / 'log.sqlite3'}") as upkeep:
        assert [one.version for one in upkeep.drop_snapshots(1, dry_run=True)] == [1, 3]
        assert [one.version for one in upkeep.snapshots()] == [1, 2, 3]
        assert [one.version for one in upkeep.drop_snapshots(1)] == [1, 3]
        assert upkeep.snapshots() == [stored[2]]
        assert stored[2].path in parts[0].referenced_blobs() and stored[1].path not in parts[0].referenced_blobs()
        assert upkeep.drop_snapshots(0) == [stored[2]] and upkeep.snapshots() == []


SOUND = {"model.norm.weight": torch.zeros(32, dtype=torch.float64)}
METADATA = {"format": SNAPSHOT_FORMAT, "base_fingerprint": "b", "weights_hash": "w"}


@pytest.mark.parametrize(
    ("tensors", "metadata", "complaint"),
    [
        ({"model.norm.weight": torch.zeros(32)}, {}, "float32"),
        ({"model.norm.weight": torch.zeros(31, dtype=torch.float64)}, {}, "shape"),
        ({"stranger": torch.zeros(32, dtype=torch.float64)}, {}, "stranger"),
        ({"model.norm.weight": torch.full((32,), float("nan"), dtype=torch.float64)}, {}, "not finite"),
        (SOUND, {"format": "selfparam-delta-2"}, "selfparam-delta-2"),
        (SOUND, {"base_fingerprint": "c"}, "another base model"),
        (SOUND, {"weights_hash": "v"}, "another version"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(
    tmp_path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], complaint: str
) -> None:
    path = tmp_path / "snapshot.safetensors"
    save_file(tensors, path, metadata={**METADATA, **metadata})
    weights = weights_of(tiny_base().model)
    with pytest.raises(DeltaMismatch, match=complaint):
        read_snapshot(path, base_fingerprint="b", weights_hash="w", weights=weights)
    save_file(SOUND, path, metadata=METADATA)
    assert read_snapshot(path, base_fingerprint="b", weights_hash="w", weights=weights).keys() == weights.keys()


def test_a_snapshot_of_another_version_is_refused_by_its_name(parts: Parts) -> None:
    chain_of(parts, 2)
    folds = fresh(parts)
    stored: Snapshot = folds.store_snapshot("default", 1)
    with pytest.raises(DeltaMismatch, match="another version"):
        folds.snapshot_sums(stored, parts[0].version("default", 2))
