"""The weights that a version serves: base plus its chain of deltas, rounded once.

Knows: W = round(theta_0 + sum of the chain's changes), B A or a difference each. Refuses to know: training, serving.

Sums run in float64 although the contract asks for float32: the cost is small, and the order in which a machine adds the
rank's few products then disappears in the one rounding at the end, so a refold gives the recorded hash on other thread
counts too (docs/adr/0003).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from memory_log.blobs import BlobStore
from memory_log.errors import DeltaMismatch
from memory_log.log import MemoryLog
from memory_log.records import Version
from updater.delta import Change, read_delta
from updater.language_model import LanguageModel, weights_hash, weights_of


def add_delta(sums: Mapping[str, Tensor], changes: Mapping[str, Change]) -> dict[str, Tensor]:
    """float64 sums of base and deltas, with one more delta added; tensors that it leaves alone are shared."""
    return {**sums, **{name: sums[name] + change.summand(sums[name].device) for name, change in changes.items()}}


def rounded(sums: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The served weights: every sum rounded once to the base's type."""
    return {name: value.to(like[name].dtype) for name, value in sums.items()}


class VersionWeights:
    """Folds versions of a lineage and keeps the latest fold, so that the next one costs one delta.

    Args:
        base: theta_0.
        log: where the chain is recorded.
        blobs: where the delta files lie.
    """

    def __init__(self, base: LanguageModel, log: MemoryLog, blobs: BlobStore) -> None:
        self.base = base
        self._base_weights = weights_of(base.model)
        self._log = log
        self._blobs = blobs
        self._kept: dict[str, tuple[int, dict[str, Tensor]]] = {}

    def sums(self, lineage: str, number: int) -> dict[str, Tensor]:
        """The float64 sums of a version, from the kept fold where that is an ancestor, else from the base."""
        chain = self._log.chain(lineage, number)
        kept_number, sums = self._kept.get(lineage, (0, None))
        numbers = [version.number for version in chain]
        if sums is None or kept_number not in numbers:
            kept_number, sums = 0, {name: weight.double() for name, weight in self._base_weights.items()}
        parent_hash = self.base.fingerprint
        for version in chain:
            if version.number > kept_number:
                sums = add_delta(sums, self._changes(version, parent_hash))
            parent_hash = version.weights_hash or parent_hash
        self._kept[lineage] = (number, sums)
        return sums

    def chain_changes(self, lineage: str, number: int) -> list[dict[str, Change]]:
        """The verified changes of every delta that makes up a version, first to last; empty for version 0.

        Raises:
            DeltaCorrupt, DeltaMismatch: a delta file is damaged or does not belong here.
        """
        found, parent_hash = [], self.base.fingerprint
        for version in self._log.chain(lineage, number):
            found.append(self._changes(version, parent_hash))
            parent_hash = version.weights_hash or parent_hash
        return found

    def _changes(self, version: Version, parent_hash: str) -> dict[str, Change]:
        if version.delta is None:
            raise DeltaMismatch(
                f"Version {version.number} has no delta on record; the log is damaged. Restore it from a backup."
            )
        path = self._blobs.path_verified(version.delta)
        return read_delta(
            path, base_fingerprint=self.base.fingerprint, parent_hash=parent_hash, weights=self._base_weights
        )

    def weights(self, lineage: str, number: int) -> dict[str, Tensor]:
        """The weights that a version serves, verified against the hash in the log.

        Raises:
            DeltaCorrupt, DeltaMismatch: a delta file is damaged or does not belong here.
        """
        folded = self.fold(self.sums(lineage, number))
        recorded = self._log.version(lineage, number).weights_hash
        if number > 0 and recorded is not None and weights_hash(folded) != recorded:
            raise DeltaMismatch(
                f"Version {number} of {lineage!r} folds to {weights_hash(folded)[:12]}, the log recorded "
                f"{recorded[:12]}: "
                "files or libraries differ from those that made it. Check the blobs folder and the installed versions."
            )
        return folded

    def fold(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Round sums to what would be served."""
        return rounded(sums, self._base_weights)


@torch.no_grad()
def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights by name into a model's parameters, in place."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
