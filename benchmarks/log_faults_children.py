"""The processes that are killed: writers and workers of a log, each with its own clock that jumps.

Knows how to use the log, and writes into its diary what it tries and what it was told. Refuses to know who kills it.
"""

import json
import logging
import os
import random
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from memory_log.clock import utc_now
from memory_log.errors import HeadMoved, LeaseLost, LineageBusy, LogUnavailable, NothingPending, OutcomeUnknown
from memory_log.fields import Record
from memory_log.log import MemoryLog
from memory_log.records import DeltaRef, Fact, NewExperience, NewTarget, UpdaterLease

LINEAGES: Final = ("house", "garden")
BASE: Final = "base-model-fingerprint"
LEASE_SECONDS: Final = 0.3
JUMP_HOURS: Final = 3.0
WRITER: Final = "writer"
WORKER: Final = "worker"
Role = Literal["writer", "worker"]


class Call(Record):
    """One call of `append_many`, as it is tried and repeated.

    Example: Call(name="0-3-17", lineage="house", texts=("The cup is blue.",), keys=None)
    """

    name: str
    lineage: str
    texts: tuple[str, ...]
    keys: tuple[str, ...] | None

    def news(self) -> list[NewExperience]:
        """What is appended: the first text of every call states a fact too."""
        fact = Fact(subject=self.name, relation="place", value=self.lineage)
        return [
            NewExperience(
                lineage=self.lineage, text=text, key=None if self.keys is None else self.keys[index],
                facts=(fact,) if index == 0 else (),
            )
            for index, text in enumerate(self.texts)
        ]  # fmt: skip


class Diary:
    """A file of lines, each a JSON list. A line is written by one call of the system, so that a kill cannot split it
    from what it says."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words: object) -> None:
        """Add a line."""
        os.write(self._handle, (json.dumps(words) + "\n").encode())


class JumpingClock:
    """A clock that now and then jumps by minutes to hours, forward or back."""

    def __init__(self, rng: random.Random, diary: Diary) -> None:
        self._rng, self._diary = rng, diary
        self._offset = timedelta(0)

    def __call__(self) -> datetime:
        """The time that this process believes in."""
        if self._rng.random() < 0.02:
            self._offset = timedelta(hours=self._rng.uniform(-JUMP_HOURS, JUMP_HOURS))
            self._diary.say("jump")
        return utc_now() + self._offset


def start_child(role: Role, url: str, seed: int, diary_path: Path, unfinished: Sequence[Call] = ()) -> int:
    """Fork a writer or a worker, which works until it is killed or this process is gone. Its process id.

    The forking process may have no threads and no open connections.
    """
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    diary = Diary(diary_path)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of every connection that is lost
    try:
        rng = random.Random(seed)
        with opened(url, JumpingClock(rng, diary), diary) as log:
            if role == WRITER:
                _write(log, rng, diary, str(seed), list(unfinished), lambda: os.getppid() == parent)
            else:
                _work(log, rng, diary, f"worker-{seed}", lambda: os.getppid() == parent)
    except BaseException:  # noqa: BLE001 - the fork ends here, and whoever started it reads why
        diary.say("broken", traceback.format_exc())
    os._exit(0)


def opened(url: str, clock: Callable[[], datetime], diary: Diary) -> MemoryLog:
    """The log, as soon as its server lets us in."""
    while True:
        try:
            return MemoryLog(url, clock=clock)
        except LogUnavailable:
            diary.say("unavailable")
            time.sleep(0.05)


def _write(
    log: MemoryLog, rng: random.Random, diary: Diary, name: str, unfinished: list[Call], goes_on: Callable[[], bool]
) -> None:
    num_calls = 0
    while goes_on():
        if unfinished:
            call = unfinished.pop()
        else:
            num_calls += 1
            call = new_call(rng, f"{name}-{num_calls}")
            diary.say("try", call.model_dump())
        append_until_known(log, call, diary)
        time.sleep(rng.uniform(0.0, 0.008))


def new_call(rng: random.Random, name: str) -> Call:
    """One or several texts, with keys or without; now and then one that is longer than a page of the database."""
    num_texts = rng.choice([1, 1, 1, 2, 7])
    lengths = [7_000 if rng.random() < 0.01 else rng.randint(1, 60) for _ in range(num_texts)]
    texts = tuple(f"{name}/{index} " + "é" * length for index, length in enumerate(lengths))
    keys = tuple(f"{name}/{index}" for index in range(num_texts)) if rng.random() < 0.6 else None
    return Call(name=name, lineage=rng.choice(LINEAGES), texts=texts, keys=keys)


def append_until_known(log: MemoryLog, call: Call, diary: Diary) -> None:
    """Append until the outcome is known, or cannot be known.

    Where the log promises that nothing was stored, the call is repeated, with keys or without. Where it promises
    nothing, only a call with keys is.
    """
    while True:
        try:
            stored = log.append_many(call.news())
        except OutcomeUnknown:
            diary.say("unknown", call.name)
            if call.keys is None:
                return
        except LogUnavailable:
            diary.say("unavailable")
        else:
            diary.say("stored", call.name, [one.id for one in stored])
            return


def _work(log: MemoryLog, rng: random.Random, diary: Diary, owner: str, goes_on: Callable[[], bool]) -> None:
    while goes_on():
        lineage = rng.choice(LINEAGES)
        try:
            log.ensure_lineage(lineage, base_fingerprint=BASE)
            if rng.random() < 0.03:
                admitted = [one.number for one in log.versions(lineage) if one.state == "admitted"]
                log.rollback(lineage, rng.choice(admitted))
                diary.say("rollback")
            lease = log.acquire_updater_lease(lineage, owner=owner, lease_seconds=LEASE_SECONDS)
        except (LineageBusy, LogUnavailable):
            time.sleep(rng.uniform(0.001, 0.01))
            continue
        try:
            _update(log, lease, rng, diary)
        except (LeaseLost, HeadMoved, NothingPending, LogUnavailable):
            pass
        finally:
            _release(log, lease)
        time.sleep(rng.uniform(0.001, 0.02))  # leave the others a chance


def _update(log: MemoryLog, lease: UpdaterLease, rng: random.Random, diary: Diary) -> None:
    """One whole update; some are slower than their lease, some are refused."""
    batch = log.open_batch(lease, limit=rng.randint(1, 30))
    targets = [
        NewTarget(experience_id=number, kind="question", prompt="Where?", completion="There.", payload=b"teacher")
        for number in batch.experience_ids
    ]
    log.store_targets(lease, batch.id, targets)
    if rng.random() < 0.1:
        time.sleep(LEASE_SECONDS * 1.3)
    delta = DeltaRef(
        path=f"{lease.lineage}/{batch.id}-{batch.fence}.safetensors", sha256="0" * 64, kind="lowrank", num_bytes=1
    )
    candidate = log.add_candidate(lease, batch.id, delta=delta, weights_hash="hash", metrics={"kl_nats": 1.0})
    if rng.random() < 0.1:
        log.reject(lease, candidate.number, "the gate said no")
        log.reject_batch(lease, batch.id, reason="the gate said no", refuse_experiences=False)
        return
    while True:
        try:
            version = log.admit(lease, candidate.number)
        except OutcomeUnknown:
            diary.say("unknown admission")
            continue
        diary.say("admitted", lease.lineage, version.number, list(batch.experience_ids))
        return


def _release(log: MemoryLog, lease: UpdaterLease) -> None:
    with suppress(LogUnavailable):  # it expires
        log.release_updater_lease(lease)
