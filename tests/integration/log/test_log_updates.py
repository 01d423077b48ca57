"""Leases, batches, candidates, admission, rejection and rollback, over both databases."""

import math
import threading

import pytest
import sqlalchemy

from memory_log.batches import DEAD_AFTER_ATTEMPTS
from memory_log.errors import (
    BadInput,
    BaseModelChanged,
    HeadMoved,
    LeaseLost,
    LineageBusy,
    NothingPending,
    UnknownExperience,
    UnknownVersion,
)
from memory_log.log import MemoryLog
from memory_log.records import UpdaterLease, Version, VersionState
from tests.log_fixtures import BASE, HandClock, delta, experience, learn, lease_of, mug, target


def states(log: MemoryLog) -> list[str]:
    return [one.state.value for one in log.experiences("default")]


def candidate_of(log: MemoryLog, lease: UpdaterLease, limit: int = 9) -> Version:
    batch = log.open_batch(lease, limit=limit)
    return log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={"kl_nats": 2.0})


def test_a_new_lineage_starts_at_the_base_model(log: MemoryLog) -> None:
    base = log.ensure_lineage("default", base_fingerprint=BASE)
    assert (base.number, base.parent, base.delta, base.state) == (0, None, None, VersionState.ADMITTED)
    assert log.ensure_lineage("default", base_fingerprint=BASE) == base == log.head("default")
    assert log.chain("default", 0) == []


def test_another_base_model_is_refused(log: MemoryLog) -> None:
    log.ensure_lineage("default", base_fingerprint=BASE)
    with pytest.raises(BaseModelChanged, match="other-model"):
        log.ensure_lineage("default", base_fingerprint="other-model")


def test_an_unknown_version_names_those_that_exist(log: MemoryLog) -> None:
    with pytest.raises(UnknownVersion, match="no versions yet"):
        log.head("default")
    learn(log, mug("drawer"))
    for number in (2, -1, 10**30):
        with pytest.raises(UnknownVersion, match="versions 0 to 1"):
            log.version("default", number)


def test_one_update_takes_its_batch_from_pending_to_learned(log: MemoryLog) -> None:
    lived = log.append_many([experience(f"Event {index}.") for index in range(3)])
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=2)
    assert batch.experience_ids == (lived[0].id, lived[1].id) and batch.parent_version == 0
    assert states(log) == ["leased", "leased", "pending"]
    candidate = log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={"kl_nats": 2.0})
    assert (candidate.number, candidate.parent, candidate.state) == (1, 0, VersionState.CANDIDATE)
    assert log.head("default").number == 0
    admitted = log.admit(lease, 1, metrics={"gate": 0.5})
    assert admitted == log.head("default") == log.version("default", 1)
    assert (admitted.state, admitted.metrics, admitted.delta) == ("admitted", {"kl_nats": 2.0, "gate": 0.5}, delta())
    assert states(log) == ["learned", "learned", "pending"]
    assert log.get(lived[0].id).learned_in == 1
    assert log.batch(batch.id).state == "committed"


def test_a_diverged_updates_figures_are_kept(log: MemoryLog) -> None:
    log.append(mug("drawer"))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=1)
    metrics = {"kl": math.nan, "loss": math.inf}
    log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics=metrics)
    stored = log.version("default", 1).metrics
    assert math.isnan(stored["kl"]) and stored["loss"] == math.inf


def test_a_second_updater_is_told_who_is_at_work(log: MemoryLog, clock: HandClock) -> None:
    lease_of(log, owner="first", seconds=60)
    for owner in ("second", "first"):
        with pytest.raises(LineageBusy, match=r"'first'.* 60 s"):
            log.acquire_updater_lease("default", owner=owner, lease_seconds=60)
    log.ensure_lineage("other", base_fingerprint=BASE)
    log.acquire_updater_lease("other", owner="second", lease_seconds=60)


def test_every_acquisition_has_a_higher_fence(log: MemoryLog, clock: HandClock) -> None:
    fences = []
    for release in (True, False, True):
        lease = lease_of(log, seconds=10)
        fences.append(lease.fence)
        if release:
            log.release_updater_lease(lease)
        clock.advance(20)
    assert fences == sorted(set(fences))


def test_a_renewed_lease_lasts_longer(log: MemoryLog, clock: HandClock) -> None:
    lease = lease_of(log, owner="first", seconds=10)
    clock.advance(8)
    renewed = log.renew_updater_lease(lease, lease_seconds=10)
    assert renewed.fence == lease.fence and log.updater_lease("default") == renewed
    clock.advance(8)
    with pytest.raises(LineageBusy):
        lease_of(log, owner="second")


def test_a_released_lease_gives_everything_back(log: MemoryLog) -> None:
    log.append_many([mug("drawer"), mug("sink")])
    lease = lease_of(log)
    candidate = candidate_of(log, lease)
    log.release_updater_lease(lease)
    log.release_updater_lease(lease)
    assert states(log) == ["pending", "pending"] and log.updater_lease("default") is None
    assert [one.attempts for one in log.experiences("default")] == [0, 0]
    assert log.version("default", candidate.number).state is VersionState.REJECTED
    with pytest.raises(LeaseLost):
        log.renew_updater_lease(lease, lease_seconds=1)


def test_the_next_updater_takes_up_what_a_dead_one_left(log: MemoryLog, clock: HandClock) -> None:
    lived = log.append_many([mug("drawer"), mug("sink")])
    dead = lease_of(log, owner="dead", seconds=10)
    batch = log.open_batch(dead, limit=9)
    log.store_targets(dead, batch.id, [target(one) for one in lived])
    lost = log.add_candidate(dead, batch.id, delta=delta(), weights_hash="h", metrics={})
    clock.advance(11)
    lease = lease_of(log, owner="heir")
    assert states(log) == ["pending", "pending"]
    assert [one.attempts for one in log.experiences("default")] == [1, 1]
    assert log.batch(batch.id).state == "abandoned" and log.targets_of(lived[0].id) == []
    assert "expired" in (log.version("default", lost.number).reason or "")
    assert candidate_of(log, lease).number == lost.number + 1


def test_a_dead_updater_that_comes_back_can_write_nothing(log: MemoryLog, clock: HandClock) -> None:
    lived = log.append(mug("drawer"))
    old = lease_of(log, owner="old", seconds=10)
    candidate = candidate_of(log, old)
    clock.advance(11)
    new = lease_of(log, owner="new")
    batch = log.open_batch(new, limit=9)
    for act in (
        lambda: log.admit(old, candidate.number),
        lambda: log.reject(old, candidate.number, "why"),
        lambda: log.reject_batch(old, batch.id, reason="why", refuse_experiences=True),
        lambda: log.open_batch(old, limit=1),
        lambda: log.open_batch_of(old, [lived.id]),
        lambda: log.store_targets(old, batch.id, [target(lived)]),
        lambda: log.add_candidate(old, batch.id, delta=delta(), weights_hash="h", metrics={}),
        lambda: log.renew_updater_lease(old, lease_seconds=9),
    ):
        with pytest.raises(LeaseLost, match="'new'"):
            act()
    log.release_updater_lease(old)
    assert log.batch(batch.id).state == "open" and states(log) == ["leased"]


def test_a_late_updater_may_finish_while_nobody_else_has_come(log: MemoryLog, clock: HandClock) -> None:
    log.append(mug("drawer"))
    lease = lease_of(log, seconds=10)
    candidate = candidate_of(log, lease)
    clock.advance(100)
    assert log.admit(lease, candidate.number).number == log.head("default").number


def test_what_kills_updates_is_tried_alone_and_then_given_up(log: MemoryLog, clock: HandClock) -> None:
    lived = log.append_many([experience(f"Event {index}.") for index in range(3)])
    batches = []
    for _ in range(DEAD_AFTER_ATTEMPTS):
        batches.append(log.open_batch(lease_of(log, seconds=60), limit=9).experience_ids)
        clock.advance(61)
        lease_of(log)  # takes over, and counts the death
        clock.advance(61)
    ids = tuple(one.id for one in lived)
    assert batches == [ids, ids, ids[:1], ids[:1], ids[:1]]
    lease_of(log)
    assert states(log) == ["dead", "pending", "pending"]
    assert "died" in (log.get(lived[0].id).reason or "")


def test_nothing_pending_is_said(log: MemoryLog) -> None:
    with pytest.raises(NothingPending, match="default"):
        log.open_batch(lease_of(log), limit=1)


def test_a_batch_may_name_its_experiences(log: MemoryLog) -> None:
    ids = [one.id for one in log.append_many([experience(f"Event {index}.") for index in range(4)])]
    foreign = log.append(experience("Elsewhere.", lineage="other"))
    lease = lease_of(log)
    for unknown in (foreign.id, 999):
        with pytest.raises(UnknownExperience, match=str(unknown)):
            log.open_batch_of(lease, [ids[0], unknown])
    with pytest.raises(BadInput):
        log.open_batch_of(lease, [])
    batch = log.open_batch_of(lease, [ids[3], ids[1]])
    assert batch.experience_ids == (ids[1], ids[3])
    with pytest.raises(BadInput, match="leased"):
        log.open_batch_of(lease, [ids[1]])
    with pytest.raises(BadInput, match="still open"):
        log.open_batch(lease, limit=1)


def test_a_rejected_batch_waits_again_or_is_refused(log: MemoryLog) -> None:
    log.append_many([experience("A."), experience("B.")])
    lease = lease_of(log)
    candidate = candidate_of(log, lease)
    log.reject_batch(lease, candidate.batch_id or 0, reason="forgot too much", refuse_experiences=False)
    assert states(log) == ["pending", "pending"]
    assert log.version("default", candidate.number).reason == "forgot too much"
    batch = log.open_batch(lease, limit=1)
    log.reject_batch(lease, batch.id, reason="gibberish", refuse_experiences=True)
    assert states(log) == ["refused", "pending"]
    assert log.experiences("default")[0].reason == "gibberish"
    assert log.head("default").number == 0


def test_a_rejected_candidate_leaves_its_batch_open_for_another(log: MemoryLog) -> None:
    lived = log.append(mug("drawer"))
    lease = lease_of(log)
    first = candidate_of(log, lease)
    log.store_targets(lease, first.batch_id or 0, [target(lived)])
    assert log.reject(lease, first.number, "loss went up").reason == "loss went up"
    with pytest.raises(BadInput, match="rejected"):
        log.admit(lease, first.number)
    second = log.add_candidate(lease, first.batch_id or 0, delta=delta(2), weights_hash="h", metrics={})
    assert log.admit(lease, second.number).number == 2
    assert [one.version for one in log.targets_of(lived.id)] == [2]
    assert log.referenced_blobs() == {delta(2).path}


def test_only_one_candidate_of_a_batch_can_be_admitted(log: MemoryLog) -> None:
    log.append(mug("drawer"))
    lease = lease_of(log)
    first = candidate_of(log, lease)
    second = log.add_candidate(lease, first.batch_id or 0, delta=delta(2), weights_hash="h", metrics={})
    log.admit(lease, first.number)
    with pytest.raises(HeadMoved, match="the head of lineage 'default' is version 1"):
        log.admit(lease, second.number)
    assert log.admit(lease, first.number).number == 1


def test_a_chain_lists_the_deltas_from_the_first(log: MemoryLog) -> None:
    for place in ("drawer", "sink", "attic"):
        learn(log, mug(place))
    assert [one.number for one in log.chain("default", 3)] == [1, 2, 3]
    assert [one.number for one in log.chain("default", 2)] == [1, 2]
    assert [one.number for one in log.versions("default")] == [0, 1, 2, 3]


def test_a_rollback_puts_back_what_only_the_left_versions_learned(log: MemoryLog) -> None:
    for place in ("drawer", "sink", "attic"):
        learn(log, mug(place))
    assert log.rollback("default", 1) == log.head("default")
    assert states(log) == ["learned", "pending", "pending"]
    version, _ = learn(log, experience("Another."))
    assert (version.number, version.parent) == (4, 1)
    assert [one.number for one in log.chain("default", 4)] == [1, 4]
    log.rollback("default", 3)
    assert states(log) == ["learned", "learned", "learned", "pending"]
    assert [one.learned_in for one in log.experiences("default")] == [1, 2, 3, None]
    log.rollback("default", 0)
    assert states(log) == ["pending"] * 4


def test_a_rollback_waits_for_a_running_update_and_ends_a_dead_one(log: MemoryLog, clock: HandClock) -> None:
    learn(log, mug("drawer"))
    log.append(mug("sink"))
    lease = lease_of(log, seconds=10)
    candidate = candidate_of(log, lease)
    with pytest.raises(LineageBusy):
        log.rollback("default", 0)
    clock.advance(11)
    log.rollback("default", 0)
    with pytest.raises(LeaseLost):
        log.admit(lease, candidate.number)
    assert states(log) == ["pending", "pending"]


def test_only_admitted_versions_can_be_rolled_back_to(log: MemoryLog) -> None:
    log.append(mug("drawer"))
    lease = lease_of(log)
    candidate = candidate_of(log, lease)
    log.release_updater_lease(lease)
    with pytest.raises(BadInput, match="rejected"):
        log.rollback("default", candidate.number)
    with pytest.raises(UnknownVersion):
        log.rollback("default", 7)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_lease_needs_a_sensible_time(log: MemoryLog, seconds: float) -> None:
    with pytest.raises(BadInput):
        lease_of(log, seconds=seconds)


def test_threads_that_race_for_the_lease_get_it_one_at_a_time(log: MemoryLog) -> None:
    log.ensure_lineage("default", base_fingerprint=BASE)
    got: list[int] = []
    busy: list[LineageBusy] = []

    def race(name: str) -> None:
        try:
            got.append(log.acquire_updater_lease("default", owner=name, lease_seconds=60).fence)
        except LineageBusy as error:
            busy.append(error)

    racers = [threading.Thread(target=race, args=(f"worker-{index}",)) for index in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(got) == 1 and len(busy) == 5


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE experiences SET state = 'learned'",
        "UPDATE experiences SET state = 'lost'",
        "UPDATE experiences SET state = 'refused'",
        "UPDATE experiences SET state = 'leased', batch_id = NULL",
        "UPDATE experiences SET learned_in = 1 WHERE state = 'pending'",
        "UPDATE versions SET parent = number WHERE number = 1",
        "UPDATE versions SET delta_sha256 = NULL WHERE number = 1",
        "UPDATE versions SET state = 'rejected' WHERE number = 1",
        "UPDATE lineages SET lease_owner = 'thief'",
        "INSERT INTO batches (lineage, parent_version, state, fence, opened_at) SELECT lineage, parent_version, 'open',"
        " 1, opened_at FROM batches UNION ALL SELECT lineage, parent_version, 'open', 2, opened_at FROM batches",
    ],
)
def test_the_database_itself_refuses_broken_states(log: MemoryLog, log_url: str, statement: str) -> None:
    learn(log, mug("drawer"))
    log.append(mug("sink"))
    engine = sqlalchemy.create_engine(log_url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with pytest.raises(sqlalchemy.exc.IntegrityError), engine.begin() as connection:
            connection.execute(sqlalchemy.text(statement))
    finally:
        engine.dispose()


def test_a_batch_in_the_place_of_an_abandoned_one_has_its_turn_and_a_verdict_moves_the_turn_on(log: MemoryLog) -> None:
    log.append_many([experience(f"Event {index}.") for index in range(3)])
    log.append(experience("Elsewhere.", lineage="other"))
    log.ensure_lineage("other", base_fingerprint=BASE)
    elsewhere = log.acquire_updater_lease("other", owner="worker", lease_seconds=60)
    log.reject_batch(elsewhere, log.open_batch(elsewhere, limit=1).id, reason="no", refuse_experiences=True)
    first = lease_of(log)
    cut_off = log.open_batch(first, limit=1)
    assert log.turn("default", cut_off.id) == 1, "another lineage's batches do not count"
    log.release_updater_lease(first)
    assert log.turn("default", log.preview_batch("default", limit=1).id) == 1
    lease = lease_of(log)
    again = log.open_batch(lease, limit=1)
    assert again.id != cut_off.id and log.turn("default", again.id) == 1
    log.reject_batch(lease, again.id, reason="no", refuse_experiences=True)
    assert log.turn("default", log.open_batch(lease, limit=1).id) == 2 and log.turn("default", again.id) == 1
