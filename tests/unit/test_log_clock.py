"""The clock is set back or forward: nobody waits for longer than a lease, nothing is lost, the order stays."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_log.blobs import BlobStore
from memory_log.errors import BadInput, LeaseLost, LineageBusy
from memory_log.leases import MOST_LEASE_SECONDS
from memory_log.log import MemoryLog
from tests.log_fixtures import HandClock, clock, delta, experience, lease_of

__all__ = ["clock"]

HOUR = 3600.0


@pytest.fixture
def log(tmp_path: Path, clock: HandClock) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{tmp_path}/log.sqlite3", clock=clock) as opened:
        yield opened


def test_a_dead_workers_lease_does_not_last_longer_because_the_clock_was_set_back(
    log: MemoryLog, clock: HandClock
) -> None:
    log.append(experience("one"))
    log.open_batch(lease_of(log, "dead"), limit=1)
    clock.advance(-HOUR)
    assert not log.is_being_updated("default")
    batch = log.open_batch(lease_of(log, "next"), limit=1)
    assert batch.experience_ids == (1,) and log.get(1).attempts == 1


def test_a_lease_without_a_batch_is_over_when_it_ends_later_than_any_lease_may(
    log: MemoryLog, clock: HandClock
) -> None:
    lease_of(log, "dead")
    clock.advance(-2 * HOUR)
    assert lease_of(log, "next").fence == 2


def test_a_worker_that_lives_on_keeps_its_lease_when_the_clock_is_set_back(log: MemoryLog, clock: HandClock) -> None:
    log.append(experience("one"))
    lease = lease_of(log, "alive")
    batch = log.open_batch(lease, limit=1)
    clock.advance(-HOUR)
    log.renew_updater_lease(lease, lease_seconds=60)
    assert log.is_being_updated("default")
    with pytest.raises(LineageBusy, match="alive"):
        lease_of(log, "other")
    candidate = log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={})
    assert log.admit(lease, candidate.number).number == 1


@pytest.mark.parametrize("seconds", [-30.0, 30.0, 59.0])
def test_clocks_that_differ_a_little_change_nothing(log: MemoryLog, clock: HandClock, seconds: float) -> None:
    log.append(experience("one"))
    log.open_batch(lease_of(log, "alive"), limit=1)
    clock.advance(seconds)
    with pytest.raises(LineageBusy):
        lease_of(log, "other")


def test_a_clock_set_forward_ends_a_live_lease_and_its_worker_cannot_commit(log: MemoryLog, clock: HandClock) -> None:
    log.append(experience("one"))
    lease = lease_of(log, "alive")
    batch = log.open_batch(lease, limit=1)
    clock.advance(HOUR)
    log.open_batch(lease_of(log, "other"), limit=1)
    with pytest.raises(LeaseLost):
        log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={})
    assert log.head("default").number == 0


def test_a_lease_has_a_longest_time(log: MemoryLog) -> None:
    with pytest.raises(BadInput, match="at most 3600 s"):
        lease_of(log, seconds=MOST_LEASE_SECONDS + 1)


def test_experiences_stay_in_the_order_in_which_they_were_told(log: MemoryLog, clock: HandClock) -> None:
    log.append(experience("first"))
    clock.advance(-HOUR)
    log.append(experience("second"))
    first, second = log.experiences("default")
    assert (first.text, second.text) == ("first", "second") and second.time < first.time
    assert log.open_batch(lease_of(log), limit=1).experience_ids == (first.id,)


def test_a_file_from_the_future_is_spared_now_and_removed_in_its_time(tmp_path: Path, clock: HandClock) -> None:
    blobs = BlobStore(tmp_path, clock=clock)
    blobs.put("orphan", b"weights")
    os.utime(tmp_path / "orphan", (clock.now.timestamp() + 10 * HOUR,) * 2)
    assert blobs.remove_orphans(set(), older_than_seconds=600) == []
    clock.advance(599)
    assert blobs.remove_orphans(set(), older_than_seconds=600) == []
    clock.advance(2)
    assert blobs.remove_orphans(set(), older_than_seconds=600) == ["orphan"]
