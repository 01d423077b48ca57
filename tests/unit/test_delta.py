"""Delta files: what belongs here is read back bit for bit, and everything else is refused with the right error."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from memory_log.blobs import BlobStore
from memory_log.errors import DeltaCorrupt, DeltaMismatch
from memory_log.records import DeltaRef
from updater.delta import FORMATS, Change, Dense, LowRank, delta_bytes, is_finite, kind_of, read_delta

BASE, PARENT = "b" * 64, "p" * 64
WEIGHTS = {"layer.weight": torch.zeros(6, 4), "other.weight": torch.zeros(5, 5)}
METADATA = {"format": FORMATS["lowrank"], "kind": "lowrank", "base_fingerprint": BASE, "parent_hash": PARENT}


def factors() -> dict[str, LowRank]:
    generator = torch.Generator().manual_seed(0)
    return {"layer.weight": LowRank(torch.randn(2, 4, generator=generator), torch.randn(6, 2, generator=generator))}


def differences() -> dict[str, Dense]:
    generator = torch.Generator().manual_seed(1)
    return {name: Dense(torch.randn(weight.shape, generator=generator)) for name, weight in WEIGHTS.items()}


def content(made: Mapping[str, Change] | None = None) -> bytes:
    return delta_bytes(factors() if made is None else made, base_fingerprint=BASE, parent_hash=PARENT)


def read(folder: Path, stored: bytes, *, base: str = BASE, parent: str = PARENT) -> dict[str, Change]:
    path = folder / "delta.safetensors"
    path.write_bytes(stored)
    return read_delta(path, base_fingerprint=base, parent_hash=parent, weights=WEIGHTS)


def test_factors_come_back_bit_for_bit(tmp_path: Path) -> None:
    back = read(tmp_path, content())
    assert back.keys() == factors().keys()
    for name, factor in factors().items():
        assert torch.equal(back[name].A, factor.A) and torch.equal(back[name].B, factor.B)


def test_differences_come_back_bit_for_bit_in_a_format_that_earlier_releases_refuse_by_name(tmp_path: Path) -> None:
    back = read(tmp_path, content(differences()))
    assert back.keys() == differences().keys() and kind_of(back) == "dense"
    for name, change in differences().items():
        assert torch.equal(back[name].D, change.D)
    with safe_open(tmp_path / "delta.safetensors", framework="pt") as opened:
        assert opened.metadata()["format"] == "selfparam-delta-2"


def test_factors_and_differences_in_one_delta_are_refused() -> None:
    with pytest.raises(DeltaMismatch, match="one kind of change"):
        content({"layer.weight": factors()["layer.weight"], "other.weight": differences()["other.weight"]})


def test_an_update_that_changed_nothing_is_a_delta_too(tmp_path: Path) -> None:
    assert read(tmp_path, content({})) == {}


def test_a_delta_of_another_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeltaMismatch, match="another base model"):
        read(tmp_path, content(), base="c" * 64)


def test_a_delta_of_another_parent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeltaMismatch, match="another parent version"):
        read(tmp_path, content(), parent="q" * 64)


def tensors(**changes: Tensor | None) -> bytes:
    made = {"layer.weight.A": torch.zeros(2, 4), "layer.weight.B": torch.zeros(6, 2)}
    for name, tensor in changes.items():
        made["layer.weight." + name] = tensor
    return save({name: tensor for name, tensor in made.items() if tensor is not None}, metadata=METADATA)


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        (tensors(A=torch.zeros(2, 5)), "shape"),
        (tensors(B=torch.zeros(7, 2)), "shape"),
        (tensors(B=torch.zeros(6, 3)), "rank"),
        (tensors(A=torch.zeros(4)), "rank"),
        (tensors(B=None), "factor"),
        (tensors(A=None), "factor"),
        (tensors(C=torch.zeros(1)), "factor"),
        (tensors(A=torch.full((2, 4), float("nan"))), "not finite"),
        (tensors(B=torch.full((6, 2), float("inf"))), "not finite"),
        (save({"stranger.A": torch.zeros(2, 4), "stranger.B": torch.zeros(6, 2)}, metadata=METADATA), "stranger"),
        (save({"layer.weight.A": torch.zeros(2, 4)}), "format"),
        (save({"layer.weight.A": torch.zeros(2, 4)}, metadata=METADATA | {"format": "other-1"}), "other-1"),
    ],
)
def test_a_delta_that_does_not_fit_is_refused(tmp_path: Path, stored: bytes, complaint: str) -> None:
    with pytest.raises(DeltaMismatch, match=complaint):
        read(tmp_path, stored)


def dense(tensors: dict[str, Tensor], **changes: str) -> bytes:
    return save(tensors, metadata={**METADATA, "format": FORMATS["dense"], "kind": "dense", **changes})


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        (dense({"layer.weight.D": torch.zeros(4, 6)}), "shape"),
        (dense({"layer.weight.D": torch.zeros(6)}), "shape"),
        (dense({"stranger.D": torch.zeros(6, 4)}), "stranger"),
        (dense({"layer.weight.A": torch.zeros(2, 4), "layer.weight.B": torch.zeros(6, 2)}), "difference D"),
        (dense({"layer.weight.D": torch.full((6, 4), float("nan"))}), "not finite"),
        (dense({"layer.weight.D": torch.zeros(6, 4)}, kind="lowrank"), "kind 'lowrank'"),
        (dense({"layer.weight.D": torch.zeros(6, 4)}, format=FORMATS["lowrank"]), "format"),
    ],
)
def test_differences_that_do_not_fit_are_refused(tmp_path: Path, stored: bytes, complaint: str) -> None:
    with pytest.raises(DeltaMismatch, match=complaint):
        read(tmp_path, stored)


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_a_file_that_was_cut_off_is_corrupt(tmp_path: Path, kept: int) -> None:
    with pytest.raises(DeltaCorrupt, match="cannot be read"):
        read(tmp_path, content()[:kept])


def test_a_missing_file_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(DeltaCorrupt):
        read_delta(tmp_path / "none", base_fingerprint=BASE, parent_hash=PARENT, weights=WEIGHTS)


def test_a_flipped_byte_is_found_by_the_checksum(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    sha256, num_bytes = blobs.put("default/1.safetensors", content())
    ref = DeltaRef(path="default/1.safetensors", sha256=sha256, kind="lowrank", num_bytes=num_bytes)
    assert read_delta(blobs.path_verified(ref), base_fingerprint=BASE, parent_hash=PARENT, weights=WEIGHTS)
    stored = bytearray(content())
    stored[-1] ^= 1
    (tmp_path / "default" / "1.safetensors").write_bytes(bytes(stored))
    with pytest.raises(DeltaCorrupt, match="sha256"):
        blobs.path_verified(ref)


@pytest.mark.parametrize("spoiled", [float("nan"), float("inf")])
def test_an_update_that_went_astray_is_never_written(spoiled: float) -> None:
    good = factors()["layer.weight"]
    with pytest.raises(DeltaMismatch, match="not finite"):
        content({"layer.weight": LowRank(good.A * spoiled, good.B)})
    for change in (LowRank(good.A, good.B * spoiled), Dense(good.B * spoiled)):
        assert not is_finite({"good": Dense(good.A), "layer.weight": change})
        with pytest.raises(DeltaMismatch, match="not finite"):
            content({"layer.weight": change})
