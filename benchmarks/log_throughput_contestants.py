"""Who is measured: our log, and what it has in common with the others. Knows how experiences go in and get learned.

Every contestant is handed what it appends in its own form, made beforehand, so that the clock sees storing alone.
"""

import hashlib
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from benchmarks.new_words import ADJECTIVES, FURNITURE, NOUNS, ROOMS
from memory_log.log import MemoryLog
from memory_log.records import DeltaRef, NewExperience, UpdaterLease

LINEAGE = "default"
LEASE_SECONDS = 3600.0
DELTA = DeltaRef(path="default/1.safetensors", sha256=hashlib.sha256(b"").hexdigest(), kind="lowrank", num_bytes=1)


class Learned(NamedTuple):
    """What claiming and acknowledging took."""

    num_experiences: int
    seconds: float
    """Of claims and acknowledgements together."""
    claim_seconds: tuple[float, ...]
    """Of each claim alone; empty where a contestant does not claim batches."""


class Contestant(Protocol):
    """A queue of experiences. `append` is called by several threads at once; `learn` by one."""

    def prepared(self, texts: Sequence[str]) -> list[Any]:
        """The texts in the form in which this one takes them, made outside the clock."""

    def append(self, items: Sequence[Any]) -> None:
        """Store one, or a batch in the best documented way: on disk when this returns."""

    def learn(self, num_batches: int, limit: int) -> Learned:
        """Claim and acknowledge experiences that wait, `limit` at a time where it can."""

    def close(self) -> None:
        """Close the connections."""


def texts(num: int, seed: int) -> list[str]:
    """Made-up experiences of about 90 characters, no two alike."""
    rng = random.Random(seed)
    return [
        f"I put the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} of set {seed} number {index} under the "
        f"{rng.choice(FURNITURE)} in the {rng.choice(ROOMS)}."
        for index in range(num)
    ]


def key_of(text: str) -> str:
    """An idempotency key as a producer would make one."""
    return hashlib.blake2s(text.encode(), digest_size=8).hexdigest()


class OurLog:
    """`MemoryLog` at its default durability, one object for all threads."""

    def __init__(self, url: str) -> None:
        self.log = MemoryLog(url)
        self.log.ensure_lineage(LINEAGE, base_fingerprint="base")
        self._lease: UpdaterLease | None = None

    def prepared(self, texts: Sequence[str]) -> list[NewExperience]:
        return [NewExperience(text=text, key=key_of(text)) for text in texts]

    def append(self, items: Sequence[NewExperience]) -> None:
        if len(items) == 1:
            self.log.append(items[0])
        else:
            self.log.append_many(items)

    def learn(self, num_batches: int, limit: int) -> Learned:
        lease = self._lease = self._lease or self._acquired()
        num_experiences, claims, began = 0, [], time.perf_counter()
        for _ in range(num_batches):
            before = time.perf_counter()
            batch = self.log.open_batch(lease, limit=limit)
            claims.append(time.perf_counter() - before)
            candidate = self.log.add_candidate(lease, batch.id, delta=DELTA, weights_hash="hash", metrics={})
            self.log.admit(lease, candidate.number)
            num_experiences += len(batch.experience_ids)
        return Learned(num_experiences, time.perf_counter() - began, tuple(claims))

    def _acquired(self) -> UpdaterLease:
        return self.log.acquire_updater_lease(LINEAGE, owner="benchmark", lease_seconds=LEASE_SECONDS)

    def close(self) -> None:
        if self._lease is not None:
            self.log.release_updater_lease(self._lease)
        self.log.close()
