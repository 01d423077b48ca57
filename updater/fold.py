"""The weights that a version serves: base plus its chain of deltas, rounded once.

Knows: W = round(theta_0 + sum of the chain's changes), B A or a difference each; snapshots, from which the sum can go
on. Refuses to know: training, serving.

Sums run in float64 although the contract asks for float32: the cost is small, and the order in which a machine adds the
rank's few products then disappears in the one rounding at the end, so a refold gives the recorded hash on other thread
counts too (docs/adr/0003). Where it does not, `refold.py` bounds by how much it can differ.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from memory_log.blobs import BlobStore
from memory_log.clock import Clock, utc_now
from memory_log.errors import BadInput, DeltaCorrupt, DeltaMismatch, SelfParamError
from memory_log.log import MemoryLog
from memory_log.records import Snapshot, Version
from updater.delta import Change, read_delta
from updater.language_model import LanguageModel, weights_hash, weights_of
from updater.refold import MOST_TOGETHER, Bound, Sums, border_cases, bound_of, turned_to
from updater.snapshots import changed_sums, read_snapshot, snapshot_bytes
from updater.streaming import StreamedFold

LEAST_SAVED: Final = 4
"""Deltas that a snapshot must save, compared with the kept fold, to be worth reading: it is several times as large."""

_LOGGER = logging.getLogger(__name__)


def add_delta(sums: Mapping[str, Tensor], changes: Mapping[str, Change]) -> dict[str, Tensor]:
    """float64 sums of base and deltas, with one more delta added; tensors that it leaves alone are shared."""
    return {**sums, **{name: sums[name] + change.summand(sums[name].device) for name, change in changes.items()}}


def rounded(sums: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The served weights: every sum rounded once to the base's type."""
    return {name: value.to(like[name].dtype) for name, value in sums.items()}


def all_finite(weights: Mapping[str, Tensor]) -> bool:
    """Whether every value of every weight is finite: finite factors can still overflow in the base's type."""
    return all(bool(torch.isfinite(weight).all()) for weight in weights.values())


class VersionWeights:
    """Folds versions of a lineage and keeps the latest fold, so that the next one costs one delta.

    Args:
        base: theta_0.
        log: where the chain is recorded.
        blobs: where deltas and snapshots lie.
        with_snapshots: whether a fold may go on from a snapshot; without, it is made of the deltas alone.
        base_weights: theta_0's weights by name; None takes the base model's own, which nobody may then overwrite.
        clock: gives the time of a new snapshot.
    """

    def __init__(
        self,
        base: LanguageModel,
        log: MemoryLog,
        blobs: BlobStore,
        *,
        with_snapshots: bool = True,
        base_weights: Mapping[str, Tensor] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.base = base
        self._base_weights = weights_of(base.model) if base_weights is None else base_weights
        self._log = log
        self._blobs = blobs
        self._with_snapshots, self._clock = with_snapshots, clock
        self._kept: dict[str, tuple[int, dict[str, Tensor]]] = {}

    def sums(self, lineage: str, number: int) -> dict[str, Tensor]:
        """The float64 sums of a version, from the kept fold or a snapshot where that is an ancestor, else the base.

        Raises:
            DeltaCorrupt, DeltaMismatch: a delta file is damaged or does not belong here.
        """
        chain = self._log.chain(lineage, number)
        num_done, sums = self._start(lineage, chain)
        parent_hash = self.base.fingerprint
        for place, version in enumerate(chain):
            if place >= num_done:
                sums = add_delta(sums, self._changes(version, parent_hash))
            parent_hash = version.weights_hash or parent_hash
        self._kept[lineage] = (number, sums)
        return sums

    def _start(self, lineage: str, chain: Sequence[Version]) -> tuple[int, dict[str, Tensor]]:
        """How many of the chain's deltas are in the sums to begin with, and those sums."""
        numbers = [version.number for version in chain]
        kept_number, kept = self._kept.get(lineage, (0, None))
        num_done = numbers.index(kept_number) + 1 if kept_number in numbers else 0
        may_save = self._with_snapshots and len(chain) >= num_done + LEAST_SAVED
        for snapshot in reversed(self._log.snapshots(lineage) if may_save else []):
            place = numbers.index(snapshot.version) + 1 if snapshot.version in numbers else 0
            if place >= num_done + LEAST_SAVED:
                try:
                    return place, self.snapshot_sums(snapshot, chain[place - 1])
                except (DeltaCorrupt, DeltaMismatch) as exc:
                    # What it would save is time; the deltas say the same.
                    _LOGGER.warning("the snapshot of version %d is passed over: %s", snapshot.version, exc)
        if num_done and kept is not None:
            return num_done, kept
        return 0, {name: weight.double() for name, weight in self._base_weights.items()}

    def snapshot_sums(self, snapshot: Snapshot, version: Version) -> dict[str, Tensor]:
        """The verified sums of a snapshot of a version.

        Raises:
            DeltaCorrupt, DeltaMismatch: the file is damaged or does not belong here.
        """
        return read_snapshot(
            self._blobs.path_verified(snapshot), base_fingerprint=self.base.fingerprint,
            weights_hash=version.weights_hash or self.base.fingerprint, weights=self._base_weights,
        )  # fmt: skip

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

        Where this machine adds in another order than the one that made the version, the few weights at a rounding
        border are rounded as they were there. Of large models so many lie at one that this cannot be found out; then
        the weights are those of this machine, and a warning says how far they can be from the recorded ones.

        Raises:
            DeltaCorrupt, DeltaMismatch: a delta file is damaged or does not belong here.
        """
        folded = self.fold(self.sums(lineage, number))
        recorded = self._log.version(lineage, number).weights_hash
        if number == 0 or recorded is None or weights_hash(folded) == recorded:
            return folded
        found, num_turned, bound = self.reconciled(lineage, number, folded, recorded)
        if num_turned is None:
            _LOGGER.warning(
                "version %d of %r was folded on another machine: up to %d of %d weights differ from the recorded ones, "
                "by %.1e at most", number, lineage, bound.num_undecided, bound.num_weights, bound.largest_difference,
            )  # fmt: skip
        return found

    def reconciled(
        self, lineage: str, number: int, folded: dict[str, Tensor], recorded: str
    ) -> tuple[dict[str, Tensor], int | None, Bound]:
        """Weights that have another hash than recorded, brought to the recorded ones as far as rounding explains it.

        Returns:
            The weights; how many were rounded the other way to get the recorded hash, None where too many could be;
            and how far this machine's fold can be from another's.

        Raises:
            DeltaCorrupt, DeltaMismatch: rounding does not explain it, or a delta is damaged.
        """
        cases = border_cases(self._sums_with_sizes(lineage, number), self._base_weights)
        bound = bound_of(cases, folded)
        found = turned_to(folded, cases, lambda weights: weights_hash(weights) == recorded)
        if found is not None:
            return *found, bound
        if len(cases) > MOST_TOGETHER:
            return folded, None, bound
        raise DeltaMismatch(
            f"Version {number} of {lineage!r} folds to {weights_hash(folded)[:12]}, the log recorded "
            f"{recorded[:12]}, and rounding does not explain it ({bound.num_undecided} weights lie at a border): files "
            "or libraries differ from those that made it. Check the blobs folder and the installed versions."
        )

    def _sums_with_sizes(self, lineage: str, number: int) -> Sums:
        values = {name: weight.double() for name, weight in self._base_weights.items()}
        sizes = {name: value.abs() for name, value in values.items()}
        num_terms = dict.fromkeys(values, 1)
        for changes in self.chain_changes(lineage, number):
            values = add_delta(values, changes)
            for name, change in changes.items():
                sizes[name] = sizes[name] + change.size(sizes[name].device)
                num_terms[name] += change.num_terms
        return Sums(values, sizes, max(num_terms.values()))

    def changes(self, lineage: str, number: int) -> dict[str, Change]:
        """What a version adds to its parent, verified.

        Raises:
            DeltaCorrupt, DeltaMismatch: the file is damaged or does not belong here, or the version has none.
        """
        version = self._log.version(lineage, number)
        parent = self._log.version(lineage, version.parent) if version.parent is not None else None
        return self._changes(version, (parent and parent.weights_hash) or self.base.fingerprint)

    def streamed(self, lineage: str, number: int) -> StreamedFold:
        """The version's weights one by one; their hash is yet to be compared with the log's.

        Raises:
            DeltaCorrupt: a delta file is not what the log recorded.
        """
        chain = self._log.chain(lineage, number)
        numbers = [version.number for version in chain]
        stored = [one for one in self._log.snapshots(lineage) if one.version in numbers and self._with_snapshots]
        start, sums = 0, None
        for snapshot in sorted(stored, key=lambda one: -numbers.index(one.version)):
            try:
                sums = self._blobs.path_verified(snapshot)
                start = numbers.index(snapshot.version) + 1
                break
            except DeltaCorrupt as exc:
                _LOGGER.warning("the snapshot of version %d is passed over: %s", snapshot.version, exc)
        deltas = [self._blobs.path_verified(version.delta) for version in chain[start:] if version.delta is not None]
        return StreamedFold(self._base_weights, deltas, sums)

    def fold(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Round sums to what would be served."""
        return rounded(sums, self._base_weights)

    def store_snapshot(self, lineage: str, number: int) -> Snapshot:
        """Store the sums of an admitted version, so that later folds go on from there; one that is on record stays.

        Raises:
            DeltaCorrupt, DeltaMismatch: the version cannot be folded.
            UnknownVersion: it is not admitted.
            BadInput: it is version 0.
            DiskFull: there is no room; nothing is left behind.
        """
        if number == 0:
            raise BadInput("version 0 is the base model itself, which leaves a snapshot nothing to hold")
        standing = [one for one in self._log.snapshots(lineage) if one.version == number]
        if standing:
            return standing[0]
        self.weights(lineage, number)  # verified, and kept
        version, changed = self._log.version(lineage, number), changed_sums(self._kept[lineage][1], self._base_weights)
        # A name of its own: the file of one that was struck off, perhaps because it was damaged, may still be there.
        created_at = self._clock()
        path = f"{lineage}/snapshot-{number}-{created_at:%Y%m%d-%H%M%S-%f}.safetensors"
        recorded = version.weights_hash or self.base.fingerprint
        content = snapshot_bytes(changed, base_fingerprint=self.base.fingerprint, weights_hash=recorded)
        sha256, num_bytes = self._blobs.put(path, content)
        return self._log.add_snapshot(
            Snapshot(
                lineage=lineage, version=number, path=path, sha256=sha256, num_bytes=num_bytes,
                created_at=created_at,
            )
        )  # fmt: skip

    def snapshot_if_due(self, lineage: str, number: int, *, every: int) -> Snapshot | None:
        """Store the sums of a version whose fold needs `every` deltas since the last snapshot on its line; 0 never.

        A failure is logged and no error: a snapshot saves time, and the version is admitted without.
        """
        numbers = [version.number for version in self._log.chain(lineage, number)]
        stored = [numbers.index(one.version) for one in self._log.snapshots(lineage) if one.version in numbers]
        if every == 0 or len(numbers) - 1 - max(stored, default=-1) < every:
            return None
        try:
            return self.store_snapshot(lineage, number)
        except (SelfParamError, OSError) as exc:
            _LOGGER.warning("no snapshot of version %d of %r was made: %s", number, lineage, exc)
            return None


@torch.no_grad()
def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights by name into a model's parameters, in place."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
