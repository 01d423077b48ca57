"""The queue and the versions against a small model: any order of operations that hypothesis thinks of (SQLite)."""

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memory_log.batches import ALONE_AFTER_ATTEMPTS, DEAD_AFTER_ATTEMPTS
from memory_log.log import MemoryLog
from memory_log.records import UpdaterLease
from tests.log_fixtures import BASE, HandClock, delta, experience, target

LEASE_SECONDS = 10


class QueueAndVersions(RuleBasedStateMachine):
    """Plain dictionaries beside the log; after every step both must say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="selfparam-model-"))
        self.clock = HandClock()
        self.log = MemoryLog(f"sqlite:///{self.folder / 'log.db'}", clock=self.clock)
        self.log.ensure_lineage("default", base_fingerprint=BASE)
        self.state: dict[int, str] = {}
        self.attempts: dict[int, int] = {}
        self.learned_in: dict[int, int] = {}
        self.parent: dict[int, int] = {0: -1}
        self.members: dict[int, tuple[int, ...]] = {0: ()}
        self.head = 0
        self.num_versions = 1
        self.lease: UpdaterLease | None = None
        self.batch: tuple[int, tuple[int, ...]] | None = None

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.folder)

    def line(self, number: int) -> set[int]:
        found = set()
        while number >= 0:
            found.add(number)
            number = self.parent[number]
        return found

    def end_batch(self, state: str) -> None:
        for number in self.batch[1] if self.batch else ():
            self.state[number] = state
        self.batch = None

    @initialize()
    def start(self) -> None:
        self.append_some(2)

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        self.append_some(count)

    def append_some(self, count: int) -> None:
        for lived in self.log.append_many([experience(f"Event {index}.") for index in range(count)]):
            self.state[lived.id], self.attempts[lived.id] = "pending", 0

    @precondition(lambda self: self.lease is None)
    @rule()
    def acquire(self) -> None:
        self.lease = self.log.acquire_updater_lease("default", owner="worker", lease_seconds=LEASE_SECONDS)

    @precondition(lambda self: self.lease is not None)
    @rule()
    def die_and_be_replaced(self) -> None:
        self.clock.advance(LEASE_SECONDS + 1)
        held = self.batch[1] if self.batch else ()
        self.end_batch("pending")
        for number in held:
            self.attempts[number] += 1
            if self.attempts[number] >= DEAD_AFTER_ATTEMPTS:
                self.state[number] = "dead"
        before = self.lease
        self.acquire()
        assert before is not None and self.lease is not None and self.lease.fence > before.fence

    @precondition(lambda self: self.lease is not None)
    @rule()
    def release(self) -> None:
        assert self.lease is not None
        self.log.release_updater_lease(self.lease)
        self.lease = None
        self.end_batch("pending")

    @precondition(lambda self: self.lease is not None and self.batch is None and "pending" in self.state.values())
    @rule(limit=st.integers(1, 5))
    def open_batch(self, limit: int) -> None:
        assert self.lease is not None
        opened = self.log.open_batch(self.lease, limit=limit)
        expected: list[int] = []
        for number in [one for one in sorted(self.state) if self.state[one] == "pending"][:limit]:
            is_suspect = self.attempts[number] >= ALONE_AFTER_ATTEMPTS
            if expected and is_suspect:
                break
            expected.append(number)
            if is_suspect:
                break
        assert opened.experience_ids == tuple(expected) and opened.parent_version == self.head
        self.batch = (opened.id, opened.experience_ids)
        for number in expected:
            self.state[number] = "leased"
        self.log.store_targets(self.lease, opened.id, [target(number) for number in expected])

    @precondition(lambda self: self.batch is not None)
    @rule()
    def admit(self) -> None:
        assert self.lease is not None and self.batch is not None
        made = self.log.add_candidate(self.lease, self.batch[0], delta=delta(), weights_hash="h", metrics={})
        assert (made.number, made.parent) == (self.num_versions, self.head)
        self.log.admit(self.lease, made.number)
        self.parent[made.number], self.members[made.number] = self.head, self.batch[1]
        for number in self.batch[1]:
            self.learned_in[number] = made.number
        self.end_batch("learned")
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
        self.end_batch("refused" if refuse else "pending")

    @precondition(lambda self: self.lease is None)
    @rule(choice=st.randoms(use_true_random=False))
    def roll_back(self, choice: random.Random) -> None:
        goal = choice.choice(sorted(self.parent))
        before, after = self.line(self.head), self.line(goal)
        self.log.rollback("default", goal)
        self.head = goal
        for number, version in list(self.learned_in.items()):
            if version in before - after and self.state[number] != "forgotten":
                self.state[number] = "pending"
                del self.learned_in[number]
        for version in sorted(after - before):
            for number in self.members[version]:
                if self.state[number] != "forgotten":
                    self.state[number], self.learned_in[number] = "learned", version

    @rule(choice=st.randoms(use_true_random=False))
    def forget(self, choice: random.Random) -> None:
        number = choice.choice(sorted(self.state))
        self.log.forget(number)
        if self.batch is not None and number in self.batch[1]:
            self.end_batch("pending")
        self.state[number] = "forgotten"

    @invariant()
    def both_say_the_same(self) -> None:
        stored = self.log.experiences("default", limit=10_000)
        assert {one.id: one.state.value for one in stored} == self.state
        assert {one.id: one.learned_in for one in stored if one.learned_in is not None} == self.learned_in
        assert {one.id: one.attempts for one in stored} == self.attempts
        assert self.log.head("default").number == self.head
        assert {one.number for one in self.log.chain("default", self.head)} == self.line(self.head) - {0}
        drawn = self.log.replay_targets("default", limit=10_000, seed=0)
        learned = sorted(number for number, state in self.state.items() if state == "learned")
        assert sorted(one.experience_id for one in drawn) == learned


TestQueueAndVersions = QueueAndVersions.TestCase
TestQueueAndVersions.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
