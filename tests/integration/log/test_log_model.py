"""The queue and the versions against a small model: any order of operations, on both engines, by hypothesis."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from memory_log.batches import DEAD_AFTER_ATTEMPTS
from memory_log.claims import ALONE_AFTER_ATTEMPTS, backoff_seconds
from memory_log.doctor import LogDoctor
from memory_log.errors import NothingPending, QueueFull
from memory_log.log import MemoryLog
from memory_log.records import Bound, ClaimOrder, UpdaterLease
from tests.log_fixtures import BASE, HandClock, delta, experience, target

LEASE_SECONDS = 1
MOST_PENDING = 5
WAITING = ("pending", "spilled")

ORDERS: dict[ClaimOrder, Callable[["Modelled"], object]] = {
    "oldest": lambda one: one.id,
    "priority": lambda one: (-one.priority if one.state == "pending" else 0, one.id),
    "surprise": lambda one: (
        one.surprise is None or one.state != "pending", -(one.surprise or 0) if one.state == "pending" else 0, one.id
    ),
}  # fmt: skip


class Modelled:
    """What the model knows of one experience."""

    def __init__(self, id: int, state: str, priority: int, surprise: float | None) -> None:
        self.id, self.state, self.priority, self.surprise = id, state, priority, surprise
        self.attempts = 0
        self.learned_in: int | None = None
        self.not_before: datetime | None = None
        self.story = ["appended"]


class QueueAndVersions(RuleBasedStateMachine):
    """Plain objects beside the log; after every step both must say the same."""

    def __init__(self, new_url: Callable[[], str]) -> None:
        super().__init__()
        self.clock = HandClock()
        self.url = new_url()
        self.log = MemoryLog(self.url, clock=self.clock)
        self.log.ensure_lineage("default", base_fingerprint=BASE)
        self.lived: dict[int, Modelled] = {}
        self.parent: dict[int, int] = {0: -1}
        self.members: dict[int, tuple[int, ...]] = {0: ()}
        self.head = 0
        self.num_versions = 1
        self.lease: UpdaterLease | None = None
        self.batch: tuple[int, tuple[int, ...]] | None = None

    def teardown(self) -> None:
        try:
            self.check_histories()
            self.check_that_the_doctor_finds_nothing()
        finally:
            self.log.close()

    def line(self, number: int) -> set[int]:
        found = set()
        while number >= 0:
            found.add(number)
            number = self.parent[number]
        return found

    def num_in(self, state: str) -> int:
        return sum(one.state == state for one in self.lived.values())

    def held(self) -> list[Modelled]:
        return [self.lived[number] for number in self.batch[1]] if self.batch else []

    def end_batch(self, state: str, *happened: str) -> None:
        for one in self.held():
            one.state = state
            one.story += happened
        self.batch = None

    @initialize()
    def start(self) -> None:
        self.append_some(2, 0, None, None)

    @rule(
        count=st.integers(1, 4), priority=st.integers(0, 2), surprise=st.sampled_from([None, None, 0.5, 2.0]),
        when_full=st.sampled_from([None, None, "refuse", "spill"]),
    )  # fmt: skip
    def append_some(self, count: int, priority: int, surprise: float | None, when_full: str | None) -> None:
        news = [experience(f"Event {index}.", priority=priority, surprise=surprise) for index in range(count)]
        bound = when_full and Bound(most_pending=MOST_PENDING, when_full=when_full)
        room = MOST_PENDING - self.num_in("pending")
        if when_full == "refuse" and (count > room or self.num_in("spilled")):
            with pytest.raises(QueueFull):
                self.log.append_many(news, bound=bound)
            return
        num_pending = count if when_full != "spill" else 0 if self.num_in("spilled") else max(0, min(count, room))
        for index, lived in enumerate(self.log.append_many(news, bound=bound)):
            state = "pending" if index < num_pending else "spilled"
            assert lived.state.value == state
            self.lived[lived.id] = Modelled(lived.id, state, priority, surprise)

    @rule(seconds=st.sampled_from([0.5, 4]))
    def let_time_pass(self, seconds: float) -> None:
        if self.lease is None:
            self.clock.advance(seconds)

    @precondition(lambda self: self.lease is None)
    @rule()
    def acquire(self) -> None:
        self.lease = self.log.acquire_updater_lease("default", owner="worker", lease_seconds=LEASE_SECONDS)

    @precondition(lambda self: self.lease is not None)
    @rule()
    def die_and_be_replaced(self) -> None:
        self.clock.advance(LEASE_SECONDS + 0.1)
        held = self.held()
        self.end_batch("pending", "returned")
        for one in held:
            one.attempts += 1
            if one.attempts >= DEAD_AFTER_ATTEMPTS:
                one.state = "dead"
                one.story.append("died")
            elif wait := backoff_seconds(one.attempts):
                one.not_before = self.clock.now + timedelta(seconds=wait)
        before = self.lease
        self.acquire()
        assert before is not None and self.lease is not None and self.lease.fence > before.fence

    @precondition(lambda self: self.lease is not None)
    @rule()
    def release(self) -> None:
        assert self.lease is not None
        self.log.release_updater_lease(self.lease)
        self.lease = None
        self.end_batch("pending", "returned")

    @precondition(lambda self: self.lease is not None and self.batch is None)
    @rule(limit=st.integers(1, 5), order=st.sampled_from(sorted(ORDERS)))
    def open_batch(self, limit: int, order: ClaimOrder) -> None:
        assert self.lease is not None
        now = self.clock.now
        due = [one for one in self.lived.values() if one.state in WAITING and (one.not_before or now) <= now]
        assert self.log.num_waiting("default", at_most=limit) == min(limit, len(due))
        if not due:
            with pytest.raises(NothingPending):
                self.log.open_batch(self.lease, limit=limit, order=order)
            return
        expected: list[Modelled] = []
        for one in sorted(due, key=ORDERS[order])[:limit]:
            is_suspect = one.attempts >= ALONE_AFTER_ATTEMPTS
            if expected and is_suspect:
                break
            expected.append(one)
            if is_suspect:
                break
        opened = self.log.open_batch(self.lease, limit=limit, order=order)
        assert opened.experience_ids == tuple(sorted(one.id for one in expected))
        assert opened.parent_version == self.head
        self.batch = (opened.id, opened.experience_ids)
        for one in expected:
            one.state, one.not_before = "leased", None
            one.story.append("claimed")
        spilled = [number for number in sorted(self.lived) if self.lived[number].state == "spilled"]
        for number in spilled[: len(expected)]:
            self.lived[number].state = "pending"
        self.log.store_targets(self.lease, opened.id, [target(one.id) for one in expected])

    @precondition(lambda self: self.batch is not None)
    @rule()
    def admit(self) -> None:
        assert self.lease is not None and self.batch is not None
        made = self.log.add_candidate(self.lease, self.batch[0], delta=delta(), weights_hash="h", metrics={})
        assert (made.number, made.parent) == (self.num_versions, self.head)
        self.log.admit(self.lease, made.number)
        self.parent[made.number], self.members[made.number] = self.head, self.batch[1]
        for one in self.held():
            one.learned_in = made.number
        self.end_batch("learned", "learned")
        self.head = made.number
        self.num_versions += 1

    @precondition(lambda self: self.batch is not None)
    @rule(refuse=st.booleans(), has_candidate=st.booleans())
    def reject(self, refuse: bool, has_candidate: bool) -> None:
        assert self.lease is not None and self.batch is not None
        if has_candidate:
            self.log.add_candidate(self.lease, self.batch[0], delta=delta(), weights_hash="h", metrics={})
            self.num_versions += 1
        self.log.reject_batch(self.lease, self.batch[0], reason="bad", refuse_experiences=refuse)
        self.end_batch(*(("refused", "returned", "refused") if refuse else ("pending", "returned")))

    @precondition(lambda self: self.lease is None)
    @rule(choice=st.randoms(use_true_random=False))
    def roll_back(self, choice: random.Random) -> None:
        goal = choice.choice(sorted(self.parent))
        before, after = self.line(self.head), self.line(goal)
        self.clock.advance(0.001)
        self.log.rollback("default", goal)
        is_move = goal != self.head
        self.head = goal
        for one in self.lived.values():
            if one.learned_in in before - after and one.state == "learned":
                one.state, one.learned_in = "pending", None
        for version in sorted(after - before):
            for number in self.members[version]:
                one = self.lived[number]
                if one.state != "forgotten":
                    one.state, one.learned_in, one.not_before = "learned", version, None
        for one in self.lived.values():
            was_learned = any(one.id in members for members in self.members.values())
            if is_move and was_learned:
                knows = any(one.id in self.members[version] for version in after)
                one.story.append("learned" if knows else "unlearned")

    @rule(choice=st.randoms(use_true_random=False))
    def forget(self, choice: random.Random) -> None:
        one = self.lived[choice.choice(sorted(self.lived))]
        self.log.forget(one.id)
        if self.batch is not None and one.id in self.batch[1]:
            self.end_batch("pending", "returned")
        if one.state != "forgotten":
            one.story.append("forgotten")
        one.state, one.not_before, one.priority, one.surprise = "forgotten", None, 0, None

    @precondition(lambda self: any(one.state in ("refused", "dead") for one in self.lived.values()))
    @rule(choice=st.randoms(use_true_random=False))
    def requeue(self, choice: random.Random) -> None:
        one = choice.choice([one for one in self.lived.values() if one.state in ("refused", "dead")])
        self.log.requeue([one.id])
        one.state, one.attempts = "pending", 0
        one.story.append("requeued")

    @invariant()
    def both_say_the_same(self) -> None:
        stored = self.log.experiences("default", limit=10_000)
        said = {one.id: (one.state.value, one.learned_in, one.attempts, one.not_before) for one in stored}
        assert said == {
            one.id: (one.state, one.learned_in, one.attempts, one.not_before) for one in self.lived.values()
        }
        assert self.log.head("default").number == self.head
        assert {one.number for one in self.log.chain("default", self.head)} == self.line(self.head) - {0}
        drawn = self.log.replay_targets("default", limit=10_000, seed=0)
        learned = sorted(one.id for one in self.lived.values() if one.state == "learned")
        assert sorted(one.experience_id for one in drawn) == learned

    def check_histories(self) -> None:
        for one in self.lived.values():
            told = [happening.kind.value for happening in self.log.history(one.id)]
            assert sorted(told) == sorted(one.story), (one.id, told, one.story)
            knowing = [number for number in self.parent if any(one.id in self.members[v] for v in self.line(number))]
            assert self.log.versions_knowing(one.id) == sorted(knowing)

    def check_that_the_doctor_finds_nothing(self) -> None:
        with LogDoctor(self.url, clock=self.clock) as doctor:
            found = [one for one in doctor.findings() if one.severity == "error"]
            mended = [done for done in doctor.mend() if not done.startswith("ended the lease")]
        assert (found, mended) == ([], [])


def test_the_log_says_what_a_simple_model_says(new_log_url: Callable[[], str]) -> None:
    run_state_machine_as_test(
        lambda: QueueAndVersions(new_log_url),
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
