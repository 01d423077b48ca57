"""A log with a chain of versions for `benchmarks.swap`: random low-rank deltas on a model with random weights.

Knows: how an update puts a version into a log. Refuses to know: serving, measuring.

Made by a process of its own: the folds of a whole model would count as memory of whoever serves.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from agent.seed_model import WEIGHTS_FOLDER
from benchmarks.update_speed_setup import Sizes, model_of
from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from memory_log.records import DeltaRef, NewExperience
from updater.delta import Change, LowRank, delta_bytes
from updater.fold import VersionWeights, add_delta
from updater.language_model import LanguageModel, load_language_model, quiet_transformers, weights_hash, weights_of

LINEAGE: Final = "default"
RANK: Final = 16
CHANGED: Final = ("v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LOWEST_SHARE: Final = 1 / 3
SIZE: Final = 0.02
"""Of B's numbers: every version then answers otherwise than the one before."""
SNAPSHOT_EVERY: Final = 20


def base_of(sizes: Sizes) -> LanguageModel:
    """The base model, the same in every process."""
    model = model_of(sizes)
    dialogue = load_language_model(WEIGHTS_FOLDER).dialogue
    return LanguageModel("random", model, dialogue, weights_hash(weights_of(model)))


def open_log(folder: Path) -> MemoryLog:
    """The log of a home of this benchmark."""
    return MemoryLog(f"sqlite:///{folder}/log.sqlite3", durability="fast")


def random_delta(base: LanguageModel, seed: int) -> dict[str, Change]:
    """Factors as an update trains them: of the upper blocks, queries and keys left alone."""
    generator, lowest = torch.Generator().manual_seed(seed), base.model.config.num_hidden_layers * LOWEST_SHARE
    found: dict[str, Change] = {}
    for name, weight in weights_of(base.model).items():
        parts = name.split(".")
        if len(parts) > 3 and parts[-2] in CHANGED and int(parts[2]) >= lowest:
            found[name] = LowRank(
                torch.randn(RANK, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5,
                SIZE * torch.randn(weight.shape[0], RANK, generator=generator),
            )
    return found


def build(folder: Path, sizes: Sizes, num_versions: int) -> None:
    """Fill a folder with a log of so many versions and their deltas; version 0 is the head again at the end."""
    base, blobs = base_of(sizes), BlobStore(folder / "blobs")
    with open_log(folder) as log:
        log.ensure_lineage(LINEAGE, base_fingerprint=base.fingerprint)
        versions, parent_hash = VersionWeights(base, log, blobs), base.fingerprint
        for number in range(1, num_versions + 1):
            changes = random_delta(base, number)
            log.append(NewExperience(text=f"Something happened for the {number}. time."))
            lease = log.acquire_updater_lease(LINEAGE, owner="benchmark", lease_seconds=3600)
            batch = log.open_batch(lease, limit=1)
            folded = weights_hash(versions.fold(add_delta(versions.sums(LINEAGE, number - 1), changes)))
            content = delta_bytes(changes, base_fingerprint=base.fingerprint, parent_hash=parent_hash)
            sha256, num_bytes = blobs.put(f"{LINEAGE}/{number}.safetensors", content)
            assert sha256 == hashlib.sha256(content).hexdigest()
            delta = DeltaRef(
                path=f"{LINEAGE}/{number}.safetensors", sha256=sha256, kind="lowrank", num_bytes=num_bytes
            )
            candidate = log.add_candidate(lease, batch.id, delta=delta, weights_hash=folded, metrics={})
            parent_hash = log.admit(lease, candidate.number).weights_hash or ""
            log.release_updater_lease(lease)
            versions.snapshot_if_due(LINEAGE, number, every=SNAPSHOT_EVERY)
        log.rollback(LINEAGE, 0)


def main(arguments: Sequence[str]) -> int:
    """`FOLDER SIZES NUM_VERSIONS`. The exit code."""
    folder, sizes, num_versions = arguments
    quiet_transformers()
    build(Path(folder), Sizes(*json.loads(sizes)), int(num_versions))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
