"""Folds made weight by weight."""

import os
from pathlib import Path

import pytest
import torch

from memory_log.blobs import BlobStore
from memory_log.errors import DeltaCorrupt
from memory_log.log import MemoryLog
from tests.model_fixtures import grow, random_differences, random_factors, tiny_base
from updater.fold import VersionWeights
from updater.language_model import weights_hash, weights_of
from updater.streaming import WeightsOnDisk


def test_weights_on_disk_are_the_same_and_leave_no_name_behind(tmp_path: Path) -> None:
    weights = weights_of(tiny_base().model)
    stored = WeightsOnDisk(weights, tmp_path)
    assert list(stored) == list(weights) and len(stored) == len(weights)
    assert all(torch.equal(stored[name], weight) for name, weight in weights.items())
    assert os.listdir(tmp_path) == []
    with pytest.raises(KeyError):
        stored["nothing"]


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_a_streamed_fold_is_bit_for_bit_the_whole_one(tmp_path: Path, *, with_snapshot: bool) -> None:
    base, blobs = tiny_base(), BlobStore(tmp_path / "blobs")
    with MemoryLog(f"sqlite:///{tmp_path}/log.db") as log:
        for seed in (1, 2, 3):
            grow(log, blobs, random_factors(seed))
        grow(log, blobs, random_differences(4))
        last = grow(log, blobs, random_factors(5)).number
        whole = VersionWeights(base, log, blobs)
        if with_snapshot:
            whole.store_snapshot("default", 3)
        streamed = VersionWeights(base, log, blobs, base_weights=WeightsOnDisk(weights_of(base.model), tmp_path))
        for number in range(last + 1):
            fold, expected = streamed.streamed("default", number), whole.weights("default", number)
            assert fold.hash() == weights_hash(expected) == (log.version("default", number).weights_hash or fold.hash())
            assert all(torch.equal(fold.weight(name), weight) for name, weight in expected.items())
        assert set(streamed.changes("default", 5)) == set(random_factors(5))


def test_a_damaged_delta_is_noticed_before_anything_is_read(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with MemoryLog(f"sqlite:///{tmp_path}/log.db") as log:
        version = grow(log, blobs, random_factors(1))
        assert version.delta is not None
        path = blobs.root / version.delta.path
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(DeltaCorrupt):
            VersionWeights(tiny_base(), log, blobs).streamed("default", 1)


def test_a_damaged_snapshot_is_passed_over(tmp_path: Path) -> None:
    base, blobs = tiny_base(), BlobStore(tmp_path / "blobs")
    with MemoryLog(f"sqlite:///{tmp_path}/log.db") as log:
        for seed in (1, 2, 3):
            grow(log, blobs, random_factors(seed))
        weights = VersionWeights(base, log, blobs)
        snapshot = weights.store_snapshot("default", 2)
        (blobs.root / snapshot.path).write_bytes(b"damaged")
        assert weights.streamed("default", 3).hash() == log.version("default", 3).weights_hash
