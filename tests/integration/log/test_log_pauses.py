"""Pauses, and what tells of batches, over both databases."""

import pytest

from memory_log.errors import BadInput, LineageBusy, NothingPending, UpdatesPaused
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState
from tests.log_fixtures import BASE, HandClock, delta, experience, learn, lease_of, mug


def test_a_paused_lineage_gives_no_lease_and_says_who_since_when_why_and_the_way_out(
    log: MemoryLog, clock: HandClock
) -> None:
    learn(log, mug("drawer"))
    log.pause("default", by="mira@desk", reason="exam week")
    clock.advance(3600)
    for _ in range(2):
        with pytest.raises(UpdatesPaused, match="selfparam resume") as caught:
            log.acquire_updater_lease("default", owner="worker", lease_seconds=60)
        assert all(word in str(caught.value) for word in ("mira@desk", "2026-01-01 00:00:00 UTC", "exam week"))
    with pytest.raises(UpdatesPaused, match="exam week"):
        log.check_not_paused("default")


def test_telling_and_rolling_back_go_on_while_paused_and_after_a_resume_updates_do(log: MemoryLog) -> None:
    learn(log, mug("drawer"))
    log.pause("default", by="mira")
    log.append(mug("sink"))
    assert log.rollback("default", 0).number == 0
    ended = log.resume("default")
    assert ended is not None and ended.by == "mira"
    assert log.resume("default") is None and log.pause_of("default") is None
    log.check_not_paused("default")
    assert learn(log, mug("attic"))[0].number == 2


def test_a_pause_stops_one_lineage_even_one_without_versions_and_outlives_its_process(
    log: MemoryLog, log_url: str
) -> None:
    log.pause("new", by="mira")
    learn(log, mug("drawer"))
    with MemoryLog(log_url) as other:
        other.ensure_lineage("new", base_fingerprint=BASE)
        with pytest.raises(UpdatesPaused, match="'new'"):
            other.acquire_updater_lease("new", owner="worker", lease_seconds=60)


def test_an_update_that_runs_when_the_pause_comes_ends_as_usual(log: MemoryLog) -> None:
    lived = log.append(mug("drawer"))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=1)
    log.pause("default", by="mira")
    lease = log.renew_updater_lease(lease, lease_seconds=60)
    candidate = log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={})
    log.admit(lease, candidate.number)
    log.release_updater_lease(lease)
    assert log.get(lived.id).state is ExperienceState.LEARNED
    with pytest.raises(UpdatesPaused):
        lease_of(log)


def test_a_second_pause_leaves_the_first_one_standing(log: MemoryLog, clock: HandClock) -> None:
    first = log.pause("default", by="mira", reason="exam week")
    clock.advance(60)
    assert log.pause("default", by="anna", reason="other") == first == log.pause_of("default")


def test_a_pause_needs_a_name(log: MemoryLog) -> None:
    with pytest.raises(BadInput, match="by is empty"):
        log.pause("default", by=" ")
    assert log.pause_of("default") is None


def test_the_batches_of_an_experience_are_listed_with_what_became_of_them(log: MemoryLog, clock: HandClock) -> None:
    drawer, sink = log.append_many([mug("drawer"), mug("sink")])
    assert log.memberships(drawer.id) == []
    lease = lease_of(log)
    both = log.open_batch(lease, limit=2)
    log.reject_batch(lease, both.id, reason="too bad", refuse_experiences=False)
    clock.advance(5)
    alone = log.open_batch_of(lease, [drawer.id])
    candidate = log.add_candidate(lease, alone.id, delta=delta(), weights_hash="h", metrics={})
    log.admit(lease, candidate.number)
    first, second = log.memberships(drawer.id)
    assert (first.batch_id, first.num_experiences, first.state, first.reason) == (both.id, 2, "rejected", "too bad")
    assert (second.num_experiences, second.state, second.reason, second.version) == (1, "committed", None, 1)
    assert first.version is None and second.opened_at == clock.now
    assert [one.batch_id for one in log.memberships(sink.id)] == [both.id]


def test_a_preview_is_the_batch_that_is_opened_next_and_claims_nothing(log: MemoryLog) -> None:
    with pytest.raises(NothingPending):
        log.preview_batch("default", limit=2)
    log.append_many([experience(f"Event {number}.") for number in range(3)])
    seen = [log.preview_batch("default", limit=2) for _ in range(2)]
    assert log.count_by_state("default")[ExperienceState.PENDING] == 3
    lease = lease_of(log)
    assert seen == [log.open_batch(lease, limit=2)] * 2
    with pytest.raises(LineageBusy):
        lease_of(log)
    assert log.preview_batch("default", limit=2).experience_ids == (3,)
    with pytest.raises(BadInput, match="limit=0"):
        log.preview_batch("default", limit=0)


def test_targets_are_found_by_their_ids_and_missing_ones_left_out(log: MemoryLog) -> None:
    _, (lived,) = learn(log, mug("drawer"), num_targets=2)
    every = log.targets_of(lived.id)
    assert log.targets_by_ids([every[2].id, 10_000, every[0].id]) == [every[0], every[2]]
    assert log.targets_by_ids([]) == []
