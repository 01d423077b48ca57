"""Snapshots on record, and relearning without what was forgotten, over both databases."""

import pytest

from memory_log.doctor import LogDoctor
from memory_log.errors import BadInput, LeaseLost, LineageBusy, UnknownExperience, UnknownVersion
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, NewExperience, Snapshot, UpdaterLease
from tests.log_fixtures import HandClock, delta, experience, learn, lease_of, mug, target


def snapshot(log: MemoryLog, clock: HandClock, version: int, path: str = "") -> Snapshot:
    return Snapshot(
        lineage="default", version=version, path=path or f"default/snapshot-{version}.safetensors", sha256="ab" * 32,
        num_bytes=2**40, created_at=clock(),
    )  # fmt: skip


def no_findings(url: str) -> None:
    with LogDoctor(url) as doctor:
        assert [one.what for one in doctor.findings() if one.severity != "note"] == []


def four_versions(log: MemoryLog, clock: HandClock) -> list[Experience]:
    """Versions 1 to 4 of one, two, one and one experiences, each of which took ten seconds."""
    lived: list[Experience] = []
    for texts in (["One."], ["Two.", "Three."], ["Four."], ["Five."]):
        news = [experience(text) for text in texts]
        lived += _learned_slowly(log, clock, news)
    return lived


def _learned_slowly(log: MemoryLog, clock: HandClock, news: list[NewExperience]) -> list[Experience]:
    lived = log.append_many(news)
    lease = lease_of(log)
    batch = log.open_batch_of(lease, [one.id for one in lived])
    log.store_targets(lease, batch.id, [target(one, held_out=is_out) for one in lived for is_out in (False, True)])
    clock.advance(10)
    candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="h", metrics={})
    log.admit(lease, candidate.number)
    log.release_updater_lease(lease)
    return lived


def relearn(log: MemoryLog, clock: HandClock, ids: list[int], lease: UpdaterLease) -> None:
    batch = log.open_batch_of(lease, ids)
    log.store_targets(lease, batch.id, [target(number) for number in ids])
    candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id + 100), weights_hash="h", metrics={})
    log.admit(lease, candidate.number)


def test_a_version_has_one_snapshot_which_stays_until_it_is_struck_off(log: MemoryLog, clock: HandClock) -> None:
    four_versions(log, clock)
    first = snapshot(log, clock, 2)
    assert log.add_snapshot(first) == first
    assert log.add_snapshot(snapshot(log, clock, 2, "default/other.safetensors")) == first
    log.add_snapshot(snapshot(log, clock, 4))
    assert [one.version for one in log.snapshots("default")] == [2, 4] and log.snapshots("other") == []
    assert first.path in log.referenced_blobs()
    log.drop_snapshots("default", [2, 3])
    assert [one.version for one in log.snapshots("default")] == [4] and first.path not in log.referenced_blobs()


def test_a_version_that_is_not_there_or_not_admitted_gets_no_snapshot(log: MemoryLog, clock: HandClock) -> None:
    with pytest.raises(UnknownVersion):
        log.add_snapshot(snapshot(log, clock, 1))
    learn(log, mug("drawer"))
    with pytest.raises(UnknownVersion):
        log.add_snapshot(snapshot(log, clock, 2))
    log.append(mug("attic"))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=9)
    candidate = log.add_candidate(lease, batch.id, delta=delta(2), weights_hash="h", metrics={})
    with pytest.raises(UnknownVersion, match="candidate"):
        log.add_snapshot(snapshot(log, clock, candidate.number))


def test_the_plan_says_where_to_go_back_to_and_what_to_learn_again(log: MemoryLog, clock: HandClock) -> None:
    one, two, three, four, five = four_versions(log, clock)
    log.forget(four.id)  # long ago, and never relearned
    plan = log.relearn_plan("default", [two.id])
    assert (plan.head, plan.goal, plan.without) == (4, 1, (two.id,))
    assert [(again.version, again.experience_ids, again.seconds) for again in plan.batches] == [
        (2, (three.id,), 10.0), (4, (five.id,), 10.0),
    ]  # fmt: skip
    assert [version.number for version in plan.knowing] == [2, 3, 4]
    assert log.relearn_plan("default", [one.id]).goal == 0
    assert [again.experience_ids for again in log.relearn_plan("default", [one.id, five.id]).batches] == [
        (two.id, three.id)
    ]
    log.rollback("default", 1)
    plan = log.relearn_plan("default", [two.id])
    assert (plan.goal, plan.batches) == (None, ()) and [version.number for version in plan.knowing] == [2, 3, 4]


def test_what_no_version_knows_needs_no_relearning_and_strangers_are_refused(log: MemoryLog, clock: HandClock) -> None:
    four_versions(log, clock)
    waiting = log.append(experience("Waiting."))
    plan = log.relearn_plan("default", [waiting.id])
    assert (plan.goal, plan.batches, plan.knowing) == (None, (), ())
    other = log.append(experience("Elsewhere.", lineage="other"))
    for number in (other.id, 999):
        with pytest.raises(UnknownExperience):
            log.relearn_plan("default", [number])


def test_relearning_leaves_a_new_branch_and_retires_what_knows_the_forgotten(
    log: MemoryLog, log_url: str, clock: HandClock
) -> None:
    one, two, three, four, five = four_versions(log, clock)
    log.add_snapshot(snapshot(log, clock, 3))
    log.forget(two.id)
    plan = log.relearn_plan("default", [two.id])
    lease = lease_of(log)
    assert log.go_back(lease, 1).number == 1
    waiting = [lived.id for lived in log.experiences("default", state=ExperienceState.PENDING)]
    assert waiting == [three.id, four.id, five.id]
    with pytest.raises(LineageBusy):
        log.rollback("default", 0)
    for again in plan.batches:
        relearn(log, clock, list(again.experience_ids), lease)
    log.release_updater_lease(lease)
    retired = log.retire("default", [two.id])
    assert [version.number for version in retired] == [2, 3, 4]
    assert all(version.state == "rejected" and f"experience {two.id}" in (version.reason or "") for version in retired)
    assert log.versions_knowing(two.id) == [] and log.snapshots("default") == []
    assert log.head("default").number == 7 and [one.number for one in log.chain("default", 7)] == [1, 5, 6, 7]
    assert log.referenced_blobs() == {one.delta.path for one in log.chain("default", 7) if one.delta is not None}
    with pytest.raises(BadInput, match="retired"):
        log.rollback("default", 3)
    drawn = {one.experience_id for one in log.replay_targets("default", limit=99, seed=0)}
    assert drawn == {one.id, three.id, four.id, five.id}
    assert {target.version for target in log.targets_of(three.id)} == {5}, "those of the old branch are gone"
    assert [one.state for one in log.memberships(three.id)] == ["rejected", "committed"]
    assert log.retire("default", [two.id]) == []
    no_findings(log_url)


def test_what_serves_or_is_not_forgotten_is_not_retired(log: MemoryLog, clock: HandClock) -> None:
    one, *_ = four_versions(log, clock)
    with pytest.raises(BadInput, match="not forgotten"):
        log.retire("default", [one.id])
    log.forget(one.id)
    with pytest.raises(BadInput, match="version 4 serves"):
        log.retire("default", [one.id])
    assert len(log.versions_knowing(one.id)) == 4


def test_going_back_needs_the_lease_and_no_open_batch(log: MemoryLog, clock: HandClock) -> None:
    four_versions(log, clock)
    lease = lease_of(log, seconds=5)
    log.append(experience("Six."))
    log.open_batch(lease, limit=1)
    with pytest.raises(BadInput, match="open batch"):
        log.go_back(lease, 1)
    clock.advance(60)
    lease_of(log, owner="other")
    with pytest.raises(LeaseLost):
        log.go_back(lease, 1)
    assert log.head("default").number == 4


def test_superseded_targets_are_true_again_without_the_experience_that_superseded_them(
    log: MemoryLog, clock: HandClock
) -> None:
    _, (drawer,) = learn(log, mug("drawer"))
    untrue = [one.id for one in log.targets_of(drawer.id)]
    _, (sink,) = learn(log, mug("sink"), superseded=dict.fromkeys(untrue, drawer.id + 1))
    assert {one.experience_id for one in log.replay_targets("default", limit=9, seed=0)} == {sink.id}
    log.forget(sink.id)
    lease = lease_of(log)
    log.go_back(lease, 1)
    log.release_updater_lease(lease)
    log.retire("default", [sink.id])
    assert {one.experience_id for one in log.replay_targets("default", limit=9, seed=0)} == {drawer.id}
    assert log.target_bytes("default") == len(b"teacher") * 2
