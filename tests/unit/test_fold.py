"""Folding: base plus the chain's B A, rounded once, and the hash that the log recorded is found again."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from memory_log.blobs import BlobStore
from memory_log.errors import DeltaCorrupt, DeltaMismatch
from memory_log.log import MemoryLog
from tests.model_fixtures import grow, random_factors, tiny_base, tiny_llama
from updater.delta import LowRank
from updater.fold import VersionWeights, add_delta, load_weights, rounded
from updater.language_model import weights_hash, weights_of


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{tmp_path / 'log.sqlite3'}") as opened:
        yield opened


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_a_hand_worked_fold() -> None:
    base = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "norm": torch.ones(2)}
    factor = LowRank(A=torch.tensor([[1.0, 10.0]]), B=torch.tensor([[0.5], [-1.0]]))
    sums = {name: value.double() for name, value in base.items()}
    folded = rounded(add_delta(sums, {"w": factor}), base)
    assert folded["w"].tolist() == [[1.5, 7.0], [2.0, -6.0]]
    assert torch.equal(folded["norm"], base["norm"]) and folded["w"].dtype == torch.float32
    assert sums["w"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_small_changes_add_up_because_only_the_end_is_rounded() -> None:
    base = {"w": torch.ones(1, 1, dtype=torch.bfloat16)}
    step = {"w": LowRank(A=torch.ones(1, 1), B=torch.full((1, 1), 0.001))}
    sums = {"w": base["w"].double()}
    for _ in range(8):
        sums = add_delta(sums, step)
    assert rounded(sums, base)["w"].item() == 1.0078125
    assert rounded(add_delta({"w": base["w"].double()}, step), base)["w"].item() == 1.0


def test_version_0_is_the_base(log: MemoryLog, blobs: BlobStore) -> None:
    log.ensure_lineage("default", base_fingerprint=tiny_base().fingerprint)
    assert weights_hash(VersionWeights(tiny_base(), log, blobs).weights("default", 0)) == tiny_base().fingerprint


def test_step_by_step_equals_from_scratch_bit_for_bit_and_gives_the_recorded_hash(
    log: MemoryLog, blobs: BlobStore
) -> None:
    kept = VersionWeights(tiny_base(), log, blobs)
    for number in range(1, 5):
        version = grow(log, blobs, random_factors(number))
        assert version.number == number
        step_by_step = kept.weights("default", number)
        from_scratch = VersionWeights(tiny_base(), log, blobs).weights("default", number)
        assert all(torch.equal(step_by_step[name], from_scratch[name]) for name in from_scratch)
        assert weights_hash(step_by_step) == version.weights_hash
    assert weights_hash(kept.weights("default", 2)) == log.version("default", 2).weights_hash
    assert weights_hash(weights_of(tiny_base().model)) == tiny_base().fingerprint


def test_a_branch_after_a_rollback_holds_nothing_of_what_was_left(log: MemoryLog, blobs: BlobStore) -> None:
    kept = VersionWeights(tiny_base(), log, blobs)
    for seed in (1, 2, 3):
        grow(log, blobs, random_factors(seed))
    kept.weights("default", 3)
    log.rollback("default", 1)
    branch = grow(log, blobs, random_factors(9))
    assert (branch.number, branch.parent) == (4, 1)
    expected = {name: weight.double() for name, weight in weights_of(tiny_base().model).items()}
    for seed in (1, 9):
        expected = add_delta(expected, random_factors(seed))
    assert weights_hash(kept.weights("default", 4)) == weights_hash(kept.fold(expected)) == branch.weights_hash


def test_a_hash_that_the_log_did_not_record_is_refused(log: MemoryLog, blobs: BlobStore, tmp_path: Path) -> None:
    grow(log, blobs, random_factors(1))
    with sqlite3.connect(tmp_path / "log.sqlite3") as connection:
        connection.execute("UPDATE versions SET weights_hash = ? WHERE number = 1", ("0" * 64,))
    connection.close()
    with pytest.raises(DeltaMismatch, match="000000000000"):
        VersionWeights(tiny_base(), log, blobs).weights("default", 1)


def test_a_child_of_a_version_whose_hash_was_changed_is_refused(
    log: MemoryLog, blobs: BlobStore, tmp_path: Path
) -> None:
    for seed in (1, 2):
        grow(log, blobs, random_factors(seed))
    with sqlite3.connect(tmp_path / "log.sqlite3") as connection:
        connection.execute("UPDATE versions SET weights_hash = ? WHERE number = 1", ("0" * 64,))
    connection.close()
    with pytest.raises(DeltaMismatch, match="parent version"):
        VersionWeights(tiny_base(), log, blobs).weights("default", 2)


@pytest.mark.parametrize("damage", ["flipped", "cut off", "missing"])
def test_a_damaged_file_in_the_chain_is_refused_and_earlier_versions_still_fold(
    log: MemoryLog, blobs: BlobStore, damage: str
) -> None:
    for seed in (1, 2):
        version = grow(log, blobs, random_factors(seed))
    assert version.delta is not None
    path = blobs.root / version.delta.path
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-8] if damage == "cut off" else content[:-1] + bytes([content[-1] ^ 1]))
    weights = VersionWeights(tiny_base(), log, blobs)
    with pytest.raises(DeltaCorrupt, match=r"2\.safetensors"):
        weights.weights("default", 2)
    assert weights_hash(weights.weights("default", 1)) == log.version("default", 1).weights_hash


def test_loaded_weights_are_the_models_own_tied_ones_included(log: MemoryLog, blobs: BlobStore) -> None:
    grow(log, blobs, random_factors(1))
    folded = VersionWeights(tiny_base(), log, blobs).weights("default", 1)
    model = tiny_llama(seed=5)
    load_weights(model, folded)
    assert weights_hash(weights_of(model)) == weights_hash(folded)
    assert model.lm_head.weight is model.model.embed_tokens.weight
