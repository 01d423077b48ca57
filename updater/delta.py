"""Delta files: what one update changed, as checksummed safetensors that name their base and parent.

Knows: the file formats and their verification. Refuses to know: how a delta is trained, who reads it.

Format `selfparam-delta-1`, kind `lowrank`: for every changed weight W [out, in] the float32 factors `NAME.A` [rank, in]
and `NAME.B` [out, rank], the LoRA scale already multiplied into B, so that the change is B A.
Format `selfparam-delta-2`, kind `dense`: for every changed weight the float32 difference `NAME.D` of its shape. The
format has a number of its own, so that a release that knows only the first refuses such a file by name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from memory_log.errors import DeltaCorrupt, DeltaMismatch

DeltaKind: TypeAlias = Literal["lowrank", "dense"]

FORMATS: Final[dict[str, str]] = {"lowrank": "selfparam-delta-1", "dense": "selfparam-delta-2"}
"""The format of each kind of delta."""


class LowRank(NamedTuple):
    """Factors of one weight's change: A [rank, in], B [out, rank], float32."""

    A: Tensor
    B: Tensor

    def summand(self, device: torch.device) -> Tensor:
        """B A in float64: [out, in]."""
        return self.B.double().to(device) @ self.A.double().to(device)

    def size(self, device: torch.device) -> Tensor:
        """|B| |A| in float64, which bounds what rounding can do to B A in whatever order it is summed."""
        return self.B.double().abs().to(device) @ self.A.double().abs().to(device)

    @property
    def num_terms(self) -> int:
        """How many products make up one element of the change."""
        return self.A.shape[0]


class Dense(NamedTuple):
    """One weight's change itself, float32, of the weight's shape."""

    D: Tensor

    def summand(self, device: torch.device) -> Tensor:
        """The change in float64, exactly."""
        return self.D.double().to(device)

    def size(self, device: torch.device) -> Tensor:
        """The change without its sign."""
        return self.D.double().abs().to(device)

    @property
    def num_terms(self) -> int:
        """One: the change is stored as it is."""
        return 1


Change: TypeAlias = LowRank | Dense


def is_finite(changes: Mapping[str, Change]) -> bool:
    """Whether every value of every change is finite."""
    return all(_is_finite(change) for change in changes.values())


def _is_finite(change: Change) -> bool:
    return all(bool(torch.isfinite(part).all()) for part in change)


def kind_of(changes: Mapping[str, Change]) -> DeltaKind:
    """The kind of the delta that these changes make.

    Raises:
        DeltaMismatch: some are factors and some are not.
    """
    kinds = {isinstance(change, Dense) for change in changes.values()}
    if len(kinds) > 1:
        raise DeltaMismatch("A delta holds factors or differences, got both; train one kind of change in an update.")
    return "dense" if True in kinds else "lowrank"


def delta_bytes(changes: Mapping[str, Change], *, base_fingerprint: str, parent_hash: str) -> bytes:
    """The bytes of a delta file.

    Raises:
        DeltaMismatch: a change is not finite; such an update is never written.
    """
    kind, tensors = kind_of(changes), {}
    for name, change in changes.items():
        if not _is_finite(change):
            raise DeltaMismatch(
                f"The change of {name} is not finite; the update went astray and was not stored. Lower the learning "
                "rate."
            )
        for part, tensor in change._asdict().items():
            tensors[f"{name}.{part}"] = tensor.detach().float().cpu().contiguous()
    metadata = {
        "format": FORMATS[kind], "kind": kind, "base_fingerprint": base_fingerprint, "parent_hash": parent_hash,
    }  # fmt: skip
    stored: bytes = save_tensors(tensors, metadata=metadata)
    return stored


def read_delta(
    path: Path, *, base_fingerprint: str, parent_hash: str, weights: Mapping[str, Tensor]
) -> dict[str, Change]:
    """Read and verify a delta: format, base, parent, names, shapes, finite.

    Args:
        path: a file whose checksum has been verified.
        base_fingerprint: of the base model that it will be added to.
        parent_hash: of the weights that it was trained from.
        weights: the base model's weights by name, for names and shapes.

    Raises:
        DeltaCorrupt: the file is no safetensors file.
        DeltaMismatch: it belongs to another base or parent, or does not fit.
    """
    tensors, metadata = read_tensors(path)
    kind = next((kind for kind, format_ in FORMATS.items() if metadata.get("format") == format_), None)
    if kind is None or metadata.get("kind") != kind:
        raise DeltaMismatch(
            f"{path} has format {metadata.get('format')!r} and kind {metadata.get('kind')!r}, needed "
            f"{' or '.join(f'{format_!r} ({kind})' for kind, format_ in FORMATS.items())}; it was not written by this "
            "version of selfparam."
        )
    check_origin(path, metadata, {"base_fingerprint": base_fingerprint, "parent_hash": parent_hash})
    changes = _as_factors(path, tensors) if kind == "lowrank" else _as_differences(path, tensors)
    for name, change in changes.items():
        _check_change(path, name, change, weights)
    return changes


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file, and its metadata.

    Raises:
        DeltaCorrupt: it is no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as exc:
        raise DeltaCorrupt(
            f"{path} cannot be read as safetensors ({exc}). Restore it from a backup, or roll back to the version "
            "before it."
        ) from exc


_ORIGINS: Final = {"base_fingerprint": "base model", "parent_hash": "parent version", "weights_hash": "version"}


def check_origin(path: Path, metadata: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """See that a file names the base, parent or version that it is wanted for.

    Raises:
        DeltaMismatch: it names another.
    """
    for field, here in wanted.items():
        if metadata.get(field) != here:
            raise DeltaMismatch(
                f"{path} was made for another {_ORIGINS[field]} ({str(metadata.get(field))[:12]}, here {here[:12]}). "
                "Open the home with the model that it was made with."
            )


def _as_factors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    names = sorted({key[:-2] for key in tensors})
    if sorted(tensors) != sorted(f"{name}.{factor}" for name in names for factor in "AB"):
        raise DeltaMismatch(f"{path} holds {sorted(tensors)}; needed is a factor A and a factor B of each weight.")
    return {name: LowRank(tensors[f"{name}.A"], tensors[f"{name}.B"]) for name in names}


def _as_differences(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    if not all(key.endswith(".D") for key in tensors):
        raise DeltaMismatch(f"{path} holds {sorted(tensors)}; needed is a difference D of each weight.")
    return {key[:-2]: Dense(tensors[key]) for key in sorted(tensors)}


def _check_change(path: Path, name: str, change: Change, weights: Mapping[str, Tensor]) -> None:
    have = tuple(weights[name].shape) if name in weights else None
    if isinstance(change, LowRank):
        A, B = change
        if A.dim() != 2 or B.dim() != 2 or A.shape[0] != B.shape[1]:
            raise DeltaMismatch(
                f"{path} holds factors A {tuple(A.shape)} and B {tuple(B.shape)} of {name}; they share no rank."
            )
        shape: tuple[int, ...] = (B.shape[0], A.shape[1])
    else:
        shape = tuple(change.D.shape)
    if have != shape:
        raise DeltaMismatch(f"{path} changes {name} with shape {shape}; the base model has {have}.")
    if not _is_finite(change):
        raise DeltaMismatch(f"{path} holds values for {name} that are not finite; it is refused.")
