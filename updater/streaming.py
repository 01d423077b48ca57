"""A version's weights one by one: the fold of `fold.py`, without ever holding more than one weight's sum.

Knows: where each weight's summands lie on disk. Refuses to know: the log, which version is wanted, who serves it.

What serves a large model overwrites its weights in place (`agent/overlay.py`), so theta_0 has to come from a file, and
the sums of the whole model, in float64, would be twice as large as the model.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from memory_log.disk import naming_a_full_disk
from updater.delta import Change, Dense, LowRank
from updater.language_model import hash_by_name


class WeightsOnDisk(Mapping[str, Tensor]):
    """Weights that are read from a file whenever they are asked for; the file has no name and goes with the process.

    Args:
        weights: what is written down, such as a base model's.
        folder: where there is room for it.

    Raises:
        DiskFull: there is none.
    """

    def __init__(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        with naming_a_full_disk(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".base-") as aside:
            path = Path(aside) / "base.safetensors"
            save_file({name: weight.contiguous() for name, weight in weights.items()}, path)
            self._opened: Any = safe_open(path, framework="pt")  # maps the file, which stays as long as this does

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._shapes:
            raise KeyError(name)
        weight: Tensor = self._opened.get_tensor(name)
        return weight

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class StreamedFold:
    """The weights that a version serves, each made when it is asked for.

    Args:
        base: theta_0; read once for each weight.
        deltas: verified delta files in the order of the chain, from the snapshot on where there is one.
        snapshot: a verified file of sums that the deltas go on from.
    """

    def __init__(self, base: Mapping[str, Tensor], deltas: Sequence[Path], snapshot: Path | None = None) -> None:
        self._base = base
        self._deltas = [_Parts(path) for path in deltas]
        self._snapshot = _Parts(snapshot) if snapshot is not None else None

    def weight(self, name: str) -> Tensor:
        """One weight, folded and rounded; bit for bit what `VersionWeights.weights` has under this name."""
        start = self._base[name]
        total = self._snapshot.find(name) if self._snapshot is not None else None
        for change in self._changes(name):
            total = (start.double() if total is None else total) + change.summand(start.device)
        return start if total is None else total.to(start.dtype)

    def _changes(self, name: str) -> Iterator[Change]:
        for delta in self._deltas:
            if (whole := delta.find(f"{name}.D")) is not None:
                yield Dense(whole)
            elif (A := delta.find(f"{name}.A")) is not None and (B := delta.find(f"{name}.B")) is not None:
                yield LowRank(A, B)

    def hash(self) -> str:
        """The hash that names these weights, see `weights_hash`."""
        return hash_by_name(list(self._base), self.weight)


class _Parts:
    """The tensors of a file, by name, read one at a time."""

    def __init__(self, path: Path) -> None:
        self._opened: Any = safe_open(path, framework="pt")
        self._names: frozenset[str] = frozenset(self._opened.keys())  # type: ignore[no-untyped-call]

    def find(self, name: str) -> Tensor | None:
        if name not in self._names:
            return None
        found: Tensor = self._opened.get_tensor(name)
        return found

