"""Delta files: what one update changed, as checksummed safetensors that name their base and parent.

Knows: the file format and its verification. Refuses to know: how a delta is trained, who reads it.

Format `selfparam-delta-1`, kind `lowrank`: for every changed weight W [out, in] the float32 factors `NAME.A` [rank, in]
and `NAME.B` [out, rank], the LoRA scale already multiplied into B, so that the change is B A.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from memory_log.errors import DeltaCorrupt, DeltaMismatch

FORMAT: Final = "selfparam-delta-1"


class LowRank(NamedTuple):
    """Factors of one weight's change: A [rank, in], B [out, rank], float32."""

    A: Tensor
    B: Tensor


def is_finite(factors: Mapping[str, LowRank]) -> bool:
    """Whether every value of every factor is finite."""
    return all(bool(torch.isfinite(factor.A).all() and torch.isfinite(factor.B).all()) for factor in factors.values())


def delta_bytes(factors: Mapping[str, LowRank], *, base_fingerprint: str, parent_hash: str) -> bytes:
    """The bytes of a delta file.

    Raises:
        DeltaMismatch: a factor is not finite; such an update is never written.
    """
    tensors = {}
    for name, factor in factors.items():
        if not (torch.isfinite(factor.A).all() and torch.isfinite(factor.B).all()):
            raise DeltaMismatch(
                f"The change of {name} is not finite; the update went astray and was not stored. Lower the learning "
                "rate."
            )
        tensors[f"{name}.A"] = factor.A.detach().float().cpu().contiguous()
        tensors[f"{name}.B"] = factor.B.detach().float().cpu().contiguous()
    metadata = {"format": FORMAT, "kind": "lowrank", "base_fingerprint": base_fingerprint, "parent_hash": parent_hash}
    stored: bytes = save_tensors(tensors, metadata=metadata)
    return stored


def read_delta(
    path: Path, *, base_fingerprint: str, parent_hash: str, weights: Mapping[str, Tensor]
) -> dict[str, LowRank]:
    """Read and verify a delta: base, parent, names, shapes, finite.

    Args:
        path: a file whose checksum has been verified.
        base_fingerprint: of the base model that it will be added to.
        parent_hash: of the weights that it was trained from.
        weights: the base model's weights by name, for names and shapes.

    Raises:
        DeltaCorrupt: the file is no safetensors file.
        DeltaMismatch: it belongs to another base or parent, or does not fit.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as exc:
        raise DeltaCorrupt(
            f"{path} cannot be read as safetensors ({exc}). Restore it from a backup, or roll back to the version "
            "before it."
        ) from exc
    if metadata.get("format") != FORMAT:
        raise DeltaMismatch(
            f"{path} has format {metadata.get('format')!r}, needed {FORMAT!r}; it was not written by this version of "
            "selfparam."
        )
    for field, wanted, what in (
        ("base_fingerprint", base_fingerprint, "base model"),
        ("parent_hash", parent_hash, "parent version"),
    ):
        if metadata.get(field) != wanted:
            raise DeltaMismatch(
                f"{path} was made for another {what} ({str(metadata.get(field))[:12]}, here {wanted[:12]}). "
                "Open the home with the model that it was made with."
            )
    names = sorted({key[:-2] for key in tensors})
    if sorted(tensors) != sorted(f"{name}.{factor}" for name in names for factor in "AB"):
        raise DeltaMismatch(f"{path} holds {sorted(tensors)}; needed is a factor A and a factor B of each weight.")
    factors = {name: LowRank(tensors[f"{name}.A"], tensors[f"{name}.B"]) for name in names}
    for name, factor in factors.items():
        _check_factor(path, name, factor, weights)
    return factors


def _check_factor(path: Path, name: str, factor: LowRank, weights: Mapping[str, Tensor]) -> None:
    A, B = factor
    if A.dim() != 2 or B.dim() != 2 or A.shape[0] != B.shape[1]:
        raise DeltaMismatch(
            f"{path} holds factors A {tuple(A.shape)} and B {tuple(B.shape)} of {name}; they share no rank."
        )
    have = tuple(weights[name].shape) if name in weights else None
    if have != (B.shape[0], A.shape[1]):
        raise DeltaMismatch(f"{path} changes {name} with shape {(B.shape[0], A.shape[1])}; the base model has {have}.")
    if not (torch.isfinite(A).all() and torch.isfinite(B).all()):
        raise DeltaMismatch(f"{path} holds values for {name} that are not finite; it is refused.")
