"""Processes for the log's tests to start, race and kill: `python -m tests.log_worker ROLE URL SEED`.

What a process prints is what it was told is on disk, one line each.
"""

import random
import sys
import time

from memory_log.errors import HeadMoved, LeaseLost, LineageBusy, NothingPending
from memory_log.log import MemoryLog
from tests.log_fixtures import BASE, delta, experience, target

LEASE_SECONDS = 0.3


def say(*words: object) -> None:
    print(*words, flush=True)


def append_for_ever(log: MemoryLog, rng: random.Random) -> None:
    """Append one or several experiences at a time until killed; say `id text` of each that was acknowledged."""
    while True:
        news = [experience(f"event {rng.getrandbits(64):x}") for _ in range(rng.choice([1, 1, 7]))]
        for stored in log.append_many(news):
            say(stored.id, stored.text)


def update_until_done(log: MemoryLog, rng: random.Random) -> None:
    """Whole updates, some of them slower than their lease, until nothing is pending; say `version` of each."""
    log.ensure_lineage("default", base_fingerprint=BASE)
    while True:
        try:
            lease = log.acquire_updater_lease("default", owner=f"worker-{rng.random()}", lease_seconds=LEASE_SECONDS)
        except LineageBusy:
            time.sleep(rng.uniform(0.001, 0.01))
            continue
        try:
            batch = log.open_batch(lease, limit=rng.randint(1, 3))
            log.store_targets(lease, batch.id, [target(number) for number in batch.experience_ids])
            time.sleep(LEASE_SECONDS * 1.5 if rng.random() < 0.15 else 0.01)
            candidate = log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={})
            say(log.admit(lease, candidate.number).number)
        except (LeaseLost, HeadMoved):
            pass
        except NothingPending:
            if log.next_due("default") is None:
                return  # else some are put off, because updates died while holding them
        finally:
            log.release_updater_lease(lease)
        time.sleep(rng.uniform(0.005, 0.03))  # leave the others a chance


def race(log: MemoryLog, rng: random.Random) -> None:
    """As `update_until_done`, from the moment that the starter sends a line."""
    say("ready")
    sys.stdin.readline()
    update_until_done(log, rng)


def tell_when_told(log: MemoryLog, _: random.Random) -> None:
    """Append an experience to each lineage that the starter names, one a line; say its id."""
    say("ready")
    for line in sys.stdin:
        say(log.append(experience("Something happened.", lineage=line.strip())).id)


def wait_for_ever(log: MemoryLog, _: random.Random) -> None:
    """Wait at a bell until killed; say `rung` whenever it rings."""
    with log.bell("default") as bell:
        say("ready")
        while True:
            if bell.wait(60):
                say("rung")


if __name__ == "__main__":
    role, url, seed = sys.argv[1:]
    with MemoryLog(url) as opened:
        {
            "append": append_for_ever, "update": update_until_done, "race": race, "tell": tell_when_told,
            "wait": wait_for_ever,
        }[role](opened, random.Random(int(seed)))  # fmt: skip
