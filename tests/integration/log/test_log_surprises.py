"""Surprise that is measured after experiences were told, and the remarks of attempts, over both databases."""

import pytest

from memory_log.doctor import LogDoctor
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from memory_log.records import Bound, ExperienceState, HappeningKind
from tests.log_fixtures import HandClock, delta, experience, lease_of, target


def test_what_is_measured_is_noted_once_and_only_for_what_waits(log: MemoryLog) -> None:
    told = log.append_many([experience("A."), experience("B.", surprise=9.0), experience("C."), experience("D.")])
    other = log.append(experience("E.", lineage="other"))
    first, second, third, last = (one.id for one in told)
    log.forget(last)
    assert [one.id for one in log.unmeasured("default", limit=10)] == [first, third]
    assert [one.id for one in log.unmeasured("default", limit=1)] == [first]
    log.note_surprises("default", {first: 1.5, second: 0.1, third: 2.5, last: 4.0, other.id: 4.0, 999: 1.0})
    log.note_surprises("default", {first: 7.0})
    log.note_surprises("default", {})
    assert [log.get(number).surprise for number in (first, second, third, last)] == [1.5, 9.0, 2.5, None]
    assert log.get(other.id).surprise is None and log.unmeasured("default", limit=10) == []
    batch = log.open_batch(lease_of(log), limit=2, order="surprise")
    assert batch.experience_ids == (second, third)


def test_what_waits_is_as_surprising_as_the_batch_that_would_be_claimed(log: MemoryLog, clock: HandClock) -> None:
    assert log.surprise_waiting("default", at_most=3) == 0.0
    values = (0.5, None, 4.0, 1.0, 2.0)
    log.append_many([experience(f"{value}.", surprise=value) for value in values])
    assert log.surprise_waiting("default", at_most=2) == 6.0
    assert log.surprise_waiting("default", at_most=10) == 7.5
    assert log.surprise_waiting("another", at_most=10) == 0.0
    for _ in range(2):
        log.open_batch(lease_of(log, seconds=1), limit=1, order="surprise")
        clock.advance(2)
    lease_of(log)
    assert log.surprise_waiting("default", at_most=10) == 3.5, "one whose updates died is put off"
    clock.advance(10)
    assert log.surprise_waiting("default", at_most=10) == 7.5


def test_spilled_experiences_are_measured_once_there_is_room_for_them(log: MemoryLog) -> None:
    bound = Bound(most_pending=1, when_full="spill")
    pending, spilled = log.append_many([experience("A."), experience("B.")], bound=bound)
    assert spilled.state is ExperienceState.SPILLED
    assert [one.id for one in log.unmeasured("default", limit=10)] == [pending.id]


def test_a_surprise_that_is_no_finite_number_is_refused_whole(log: MemoryLog) -> None:
    told = log.append_many([experience("A."), experience("B.")])
    with pytest.raises(BadInput, match="finite"):
        log.note_surprises("default", {told[0].id: 1.0, told[1].id: float("nan")})
    assert len(log.unmeasured("default", limit=10)) == 2


def test_the_history_tells_of_the_attempts_that_came_before(
    log: MemoryLog, log_url: str, clock: HandClock
) -> None:
    lived = log.append(experience("A."))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=1)
    log.store_targets(lease, batch.id, [target(lived)])
    refused = log.add_candidate(lease, batch.id, delta=delta(1), weights_hash="a", metrics={"seconds": 1.0})
    refused = log.reject(lease, refused.number, "drift on anchors", metrics={"drift_nats": 0.5})
    assert refused.metrics == {"seconds": 1.0, "drift_nats": 0.5} and refused.reason == "drift on anchors"
    retried = log.add_candidate(lease, batch.id, delta=delta(2), weights_hash="b", metrics={})
    log.admit(lease, retried.number, remark="at the second attempt; the first: drift on anchors")
    learned = log.history(lived.id)[-1]
    assert (learned.kind, learned.version) == (HappeningKind.LEARNED, 2)
    assert learned.detail == "at the second attempt; the first: drift on anchors"
    assert log.version("default", 1).metrics["drift_nats"] == 0.5 and log.head("default").number == 2
    with LogDoctor(log_url, clock=clock) as doctor:
        assert [one for one in doctor.findings() if one.severity == "error"] == []


def test_an_update_at_the_first_attempt_has_nothing_to_remark(log: MemoryLog) -> None:
    lived = log.append(experience("A."))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=1)
    candidate = log.add_candidate(lease, batch.id, delta=delta(1), weights_hash="a", metrics={})
    log.admit(lease, candidate.number)
    assert log.history(lived.id)[-1].detail is None
