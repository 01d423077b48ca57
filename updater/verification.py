"""Versions refolded and compared with what the log recorded of them.

Knows: folds from deltas alone, folds from snapshots, and the bound between machines. Refuses to know: displays, models'
answers.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch

from memory_log.blobs import BlobStore
from memory_log.errors import DeltaCorrupt, DeltaMismatch
from memory_log.fields import Record
from memory_log.log import MemoryLog
from memory_log.records import Snapshot, Version, VersionState
from updater.fold import VersionWeights
from updater.language_model import LanguageModel, weights_hash

Outcome = Literal["same", "rounded otherwise", "within the bound", "other"]


class VerifiedVersion(Record):
    """What refolding a version gave.

    Example: VerifiedVersion(version=3, outcome="same")
    """

    version: int
    outcome: Outcome
    """`same`: the recorded hash. `rounded otherwise`: the recorded hash, once `num_turned` weights at a rounding border
    were rounded as elsewhere. `within the bound`: another hash, and too many weights at a border to find out which.
    `other`: rounding explains nothing, or a file is damaged; `reason` says."""
    num_turned: int = 0
    num_undecided: int = 0
    """Weights that another machine may have rounded the other way."""
    num_weights: int = 0
    largest_difference: float = 0.0
    """By which such a weight then differs."""
    reason: str | None = None
    snapshot: Literal["none", "same", "other bits", "damaged"] = "none"
    """Whether the version's own snapshot is bit for bit what its deltas add up to, before rounding. `other bits` is
    another machine's, which rounds to the recorded weights all the same; of a damaged one `reason` says more."""

    @property
    def is_sound(self) -> bool:
        """Whether the version is what was recorded, as far as can be told, and its snapshot with it."""
        return self.outcome != "other" and self.reason is None


def verify_versions(
    base: LanguageModel,
    log: MemoryLog,
    blobs: BlobStore,
    lineage: str,
    numbers: Sequence[int],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[VerifiedVersion]:
    """Refold admitted versions from base and deltas, and from their snapshots, one after the other.

    Args:
        base: theta_0 of the lineage.
        log: where chains and hashes are recorded.
        blobs: where the files lie.
        lineage: whose versions.
        numbers: which; in rising order each goes on from the one before, where that is its ancestor.
        progress: called with (versions done, all).
    """
    folds = VersionWeights(base, log, blobs, with_snapshots=False)
    snapshots = {one.version: one for one in log.snapshots(lineage)}
    for done, number in enumerate(numbers, 1):
        yield _verified(folds, log.version(lineage, number), snapshots.get(number))
        progress(done, len(numbers))


def admitted(log: MemoryLog, lineage: str) -> list[int]:
    """The numbers of all versions that can be refolded: the admitted ones."""
    return [one.number for one in log.versions(lineage) if one.state is VersionState.ADMITTED]


def _verified(folds: VersionWeights, version: Version, snapshot: Snapshot | None) -> VerifiedVersion:
    recorded = version.weights_hash or folds.base.fingerprint
    try:
        sums = folds.sums(version.lineage, version.number)
        folded = folds.fold(sums)
        num_weights = sum(weight.numel() for weight in folded.values())
        if weights_hash(folded) == recorded:
            found = VerifiedVersion(version=version.number, outcome="same", num_weights=num_weights)
        else:
            _, num_turned, bound = folds.reconciled(version.lineage, version.number, folded, recorded)
            found = VerifiedVersion(
                version=version.number, num_turned=num_turned or 0, **bound._asdict(),
                outcome="within the bound" if num_turned is None else "rounded otherwise",
            )  # fmt: skip
    except (DeltaCorrupt, DeltaMismatch) as exc:
        return VerifiedVersion(version=version.number, outcome="other", reason=str(exc))
    if snapshot is None:
        return found
    try:
        stored = folds.snapshot_sums(snapshot, version)
    except (DeltaCorrupt, DeltaMismatch) as exc:
        return found.model_copy(update={"snapshot": "damaged", "reason": str(exc)})
    is_same = all(torch.equal(stored[name], value) for name, value in sums.items())
    if not is_same and weights_hash(folds.fold(stored)) != recorded:
        why = f"its snapshot folds to {weights_hash(folds.fold(stored))[:12]}, the log recorded {recorded[:12]}"
        return found.model_copy(update={"snapshot": "damaged", "reason": why})
    return found.model_copy(update={"snapshot": "same" if is_same else "other bits"})
