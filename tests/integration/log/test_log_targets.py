"""Storing, drawing and superseding target sentences, and probes, over both databases."""

import collections

import pytest

from memory_log.errors import BadInput, UnknownExperience
from memory_log.log import MemoryLog
from memory_log.records import NewProbe, ProbeResult, StoredTarget
from tests.log_fixtures import delta, experience, learn, lease_of, mug, target


def drawn(log: MemoryLog, limit: int = 99, seed: int = 0) -> list[StoredTarget]:
    return log.replay_targets("default", limit=limit, seed=seed)


def test_targets_are_drawn_only_once_their_version_is_admitted(log: MemoryLog) -> None:
    lived = log.append(mug("drawer"))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=9)
    payload = bytes(range(256)) * 20
    ids = log.store_targets(
        lease, batch.id, [target(lived, payload=payload, context_gain_nats=1.5), target(lived, held_out=True)]
    )
    candidate = log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={})
    assert drawn(log) == [] and [one.version for one in log.targets_of(lived.id)] == [None, None]
    log.admit(lease, candidate.number)
    assert drawn(log) == [log.targets_of(lived.id)[0]]
    first = drawn(log)[0]
    assert (first.id, first.payload, first.version, first.context_gain_nats) == (ids[0], payload, 1, 1.5)
    assert [one.id for one in log.held_out_targets("default", limit=9, seed=0)] == ids[1:]


def test_targets_of_experiences_outside_the_batch_are_refused(log: MemoryLog) -> None:
    inside, outside = log.append_many([experience("A."), experience("B.")])
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=1)
    with pytest.raises(BadInput, match=str(outside.id)):
        log.store_targets(lease, batch.id, [target(inside), target(outside)])
    assert log.targets_of(inside.id) == []


def test_a_sample_has_no_repeats_and_its_seed_decides_it(log: MemoryLog) -> None:
    learn(log, *(experience(f"Event {index}.") for index in range(12)), num_targets=5)
    sample = drawn(log, limit=20, seed=1)
    assert len({one.id for one in sample}) == 20
    assert sample == drawn(log, limit=20, seed=1) != drawn(log, limit=20, seed=2)
    assert len({one.id for one in drawn(log, limit=500)}) == 60
    assert drawn(log, limit=0) == []


def test_every_target_is_drawn_equally_often(log: MemoryLog) -> None:
    learn(log, *(experience(f"Event {index}.") for index in range(20)))
    counts = collections.Counter(one.id for seed in range(200) for one in drawn(log, limit=2, seed=seed))
    assert len(counts) == 20 and min(counts.values()) >= 6 and max(counts.values()) <= 40


def test_every_experience_is_drawn_equally_often_however_much_was_written_about_it(log: MemoryLog) -> None:
    lived = [learn(log, experience(f"Event {count}."), num_targets=count)[1][0].id for count in (1, 2, 5, 12)]
    counts = collections.Counter(one.experience_id for seed in range(200) for one in drawn(log, limit=1, seed=seed))
    assert sorted(counts) == lived and min(counts.values()) >= 30 and max(counts.values()) <= 75
    sizes = [collections.Counter(one.experience_id for one in drawn(log, limit=9, seed=seed)) for seed in range(20)]
    assert all(sorted(size.values()) in ([1, 2, 3, 3],) for size in sizes)


def test_known_subjects_are_those_of_live_targets_but_near_misses(log: MemoryLog) -> None:
    lived = log.append(experience("A."))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=9)
    about = [target(lived, subject="Green  Mug"), target(lived, kind="near_miss", subject="blue mug")]
    log.store_targets(lease, batch.id, about)
    asked = ["green mug", "Green mug", "blue mug", "mug"]
    assert log.known_subjects("default", asked) == set()
    log.admit(lease, log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={}).number)
    assert log.known_subjects("default", asked) == {"green mug", "Green mug"}
    assert log.known_subjects("other", asked) == log.known_subjects("default", []) == set()


def test_excluded_subjects_are_left_out_and_the_sample_filled_from_others(log: MemoryLog) -> None:
    learn(log, *([mug("drawer")] * 10), *(experience(f"Event {index}.") for index in range(5)))
    sample = log.replay_targets("default", limit=5, seed=0, exclude_subjects=["Red Mug"])
    assert len(sample) == 5 and {one.subject for one in sample} == {None}


def test_superseded_targets_are_no_longer_drawn(log: MemoryLog) -> None:
    _, (old,) = learn(log, mug("drawer"))
    stale = log.targets_about("default", [("Red mug", "location")])
    assert [one.held_out for one in stale] == [False, True]
    new = log.append(mug("sink"))
    _, (other, *_) = learn(log, experience("Another."), superseded={one.id: new.id for one in stale})
    assert {one.experience_id for one in drawn(log)} == {other.id}
    assert log.targets_about("default", [("red mug", None)]) == []
    assert {one.superseded_by for one in log.targets_of(old.id)} == {new.id}


def test_a_rollback_draws_what_was_true_then(log: MemoryLog) -> None:
    _, (old,) = learn(log, mug("drawer"), num_targets=3)
    stale = log.targets_about("default", [("red mug", "location")])
    before = drawn(log)
    new = log.append(experience("The red mug moved."))
    learn(log, experience("Another."), num_targets=3, superseded={one.id: new.id for one in stale})
    after = {one.id for one in drawn(log)}
    log.rollback("default", 1)
    assert {one.id for one in drawn(log)} == {one.id for one in before}
    assert {one.superseded_by for one in log.targets_of(old.id)} == {None}
    log.rollback("default", 2)
    assert {one.id for one in drawn(log)} == after
    log.rollback("default", 0)
    assert drawn(log) == [] and log.held_out_targets("default", limit=9, seed=0) == []


def test_targets_that_were_forgotten_meanwhile_are_skipped_when_superseded(log: MemoryLog) -> None:
    _, (old,) = learn(log, mug("drawer"))
    stale = log.targets_of(old.id)
    log.forget(old.id)
    new = log.append(mug("sink"))
    version, _ = learn(log, experience("Another."), superseded={one.id: new.id for one in stale})
    assert version.number == 2


def test_only_experiences_of_the_lineage_can_supersede(log: MemoryLog) -> None:
    _, (old,) = learn(log, mug("drawer"))
    with pytest.raises(BadInput, match="999"):
        learn(log, mug("sink"), superseded={log.targets_of(old.id)[0].id: 999})
    assert log.head("default").number == 1


def test_targets_about_a_pair_leave_other_relations_alone(log: MemoryLog) -> None:
    learn(log, mug("drawer"))
    assert log.targets_about("default", [("red mug", "owner"), ("blue mug", "location")]) == []
    assert len(log.targets_about("default", [("red mug", None)])) == 2
    assert log.targets_about("default", []) == []


def test_a_near_miss_does_not_make_its_stranger_known(log: MemoryLog) -> None:
    lived = log.append(experience("A."))
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=9)
    stranger, friend = target(lived, kind="near_miss", subject="blue mug"), target(lived, subject="green mug")
    log.store_targets(lease, batch.id, [stranger, friend])
    log.admit(lease, log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={}).number)
    assert log.knows_subject("default", "green mug") and not log.knows_subject("default", "blue mug")


def test_probes_and_their_results_read_back(log: MemoryLog) -> None:
    one, other = log.append_many([experience("A."), experience("B.")])
    news = [
        NewProbe(experience_id=lived.id, kind="question", question="Which?", answer="That.", subject="a", relation=None)
        for lived in (one, other)
    ]
    ids = log.add_probes(news)
    assert [probe.model_dump(exclude={"id"}) for probe in log.probes("default")] == [new.model_dump() for new in news]
    assert [probe.id for probe in log.probes("default", experience_ids=[other.id])] == ids[1:]
    assert log.probes("default", experience_ids=[]) == []
    first, again = (
        ProbeResult(probe_id=ids[0], version=0, answer=answer, correct=correct)
        for answer, correct in (("unknown", False), ("That.", True))
    )
    log.record_probe_results([first, ProbeResult(probe_id=999, version=0, answer="?", correct=False)])
    log.record_probe_results([again])
    assert log.probe_results("default") == [again]
    with pytest.raises(UnknownExperience):
        log.add_probes([NewProbe(experience_id=999, kind="question", question="Which?", answer="That.")])


def test_nothing_that_learns_sees_a_probe(log: MemoryLog) -> None:
    lived = log.append(experience("A."))
    probe = NewProbe(experience_id=lived.id, kind="question", question="Zebra?", answer="Zebra.", subject="zebra")
    log.add_probes([probe])
    assert log.targets_of(lived.id) == [] and not log.knows_subject("default", "zebra")
    assert log.experiences_mentioning("default", ["zebra"], limit=9) == []
