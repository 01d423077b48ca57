"""Snapshot files: the float64 sums of a version, so that a fold can go on from there instead of from the base.

Knows: the file format and its verification. Refuses to know: chains, the log.

Format `selfparam-snapshot-1`: for every weight that differs from the base, its float64 sum under the weight's own name.
The rounded weights would be half as large or less, and no fold could go on from them: what a delta adds to a rounded
weight rounds to something else than what it adds to the sum (docs/adr/0017).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from memory_log.errors import DeltaMismatch
from updater.delta import check_origin, read_tensors

SNAPSHOT_FORMAT: Final = "selfparam-snapshot-1"


def changed_sums(sums: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The sums that differ from the base's weights."""
    return {name: value for name, value in sums.items() if not torch.equal(value, base[name].double())}


def snapshot_bytes(changed: Mapping[str, Tensor], *, base_fingerprint: str, weights_hash: str) -> bytes:
    """The bytes of a snapshot file: the changed sums of the version whose weights have this hash."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in changed.items()}
    metadata = {"format": SNAPSHOT_FORMAT, "base_fingerprint": base_fingerprint, "weights_hash": weights_hash}
    stored: bytes = save_tensors(tensors, metadata=metadata)
    return stored


def read_snapshot(
    path: Path, *, base_fingerprint: str, weights_hash: str, weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Read and verify a snapshot; the float64 sums of all weights, on the device of the base's.

    Args:
        path: a file whose checksum has been verified.
        base_fingerprint: of the base model.
        weights_hash: of the version that it is a snapshot of.
        weights: the base model's weights by name; those that the file does not name are as in the base.

    Raises:
        DeltaCorrupt: the file is no safetensors file.
        DeltaMismatch: it belongs to another base or version, or does not fit.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != SNAPSHOT_FORMAT:
        raise DeltaMismatch(
            f"{path} has format {metadata.get('format')!r}, needed {SNAPSHOT_FORMAT!r}; it was not written by this "
            "version of selfparam."
        )
    check_origin(path, metadata, {"base_fingerprint": base_fingerprint, "weights_hash": weights_hash})
    for name, value in tensors.items():
        have = tuple(weights[name].shape) if name in weights else None
        if have != tuple(value.shape) or value.dtype != torch.float64:
            raise DeltaMismatch(
                f"{path} holds {name} as {value.dtype} of shape {tuple(value.shape)}; needed is float64 of {have}."
            )
        if not torch.isfinite(value).all():
            raise DeltaMismatch(f"{path} holds values for {name} that are not finite; it is refused.")
    return {
        name: tensors[name].to(weight.device) if name in tensors else weight.double()
        for name, weight in weights.items()
    }
