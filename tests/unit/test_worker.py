"""The update worker: when it wakes, what it announces, what a dead predecessor or a failing update leaves to it.

The log is real; what learns is as small as the log's own rules allow, because no test here is about models.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.due import Schedule
from agent.turns import take_turns
from agent.worker import UpdateStopped, UpdateWorker
from memory_log.clock import Clock, utc_now
from memory_log.errors import BadInput, LineageBusy, NothingPending
from memory_log.log import MemoryLog
from memory_log.records import ClaimOrder, ExperienceState
from tests.log_fixtures import BASE, HandClock, delta, experience, target
from updater.report import UpdateReport


class LogUpdater:
    """Learns by the log's rules alone: lease, batch, targets, candidate, admission."""

    def __init__(self, log: MemoryLog, owner: str = "worker") -> None:
        self.log, self.owner = log, owner
        self.base = SimpleNamespace(fingerprint=BASE)
        self.during: Callable[[], None] = lambda: None

    def update(
        self, lineage: str, *, limit: int, progress: Callable[[str, int, int], None], order: ClaimOrder = "oldest"
    ) -> UpdateReport:
        lease = self.log.acquire_updater_lease(lineage, owner=self.owner, lease_seconds=60)
        try:
            batch = self.log.open_batch(lease, limit=limit, order=order)
            progress("training", 1, 2)
            self.during()
            progress("training", 2, 2)
            self.log.store_targets(lease, batch.id, [target(number) for number in batch.experience_ids])
            candidate = self.log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={})
            number = self.log.admit(lease, candidate.number).number
            learned = len(batch.experience_ids)
            return UpdateReport(version=number, parent=number - 1, admitted=True, num_experiences=learned)
        finally:
            self.log.release_updater_lease(lease)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def log(tmp_path: Path, clock: HandClock) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{tmp_path / 'log.db'}", clock=clock) as opened:
        yield opened


def worker_of(
    log: MemoryLog, clock: Clock, lineage: str = "default", options: dict[str, object] = {}, **changes: object  # noqa: B006
) -> tuple[UpdateWorker, list[int], LogUpdater]:
    announced: list[int] = []
    updater = changes.pop("updater", None) or LogUpdater(log)
    fields = {"batch_size": 2, "max_wait_seconds": 30}
    schedule = Schedule(**{name: changes.pop(name, value) for name, value in fields.items()}, **options)
    values = {
        "announce": announced.append, "clock": clock, "monotonic": lambda: clock().timestamp(), "poll_seconds": 0.001,
        **changes,
    }  # fmt: skip
    return UpdateWorker(updater, lineage, schedule, **values), announced, updater


def tell(log: MemoryLog, count: int) -> None:
    log.append_many([experience(f"Event {time.monotonic_ns()} {number}.") for number in range(count)])


def test_it_wakes_at_the_batch_size_and_learns_no_more_than_that(log: MemoryLog, clock: HandClock) -> None:
    worker, announced, _ = worker_of(log, clock)
    tell(log, 1)
    assert worker.step() is None
    tell(log, 4)
    outcome = worker.step()
    assert outcome is not None and outcome.report.num_experiences == 2
    assert worker.step() is not None and worker.step() is None, "one of five is left and has not waited long"
    assert announced == [0, 1, 2]
    assert [one.report.version for one in worker.status().outcomes] == [1, 2]


def test_it_wakes_for_fewer_once_they_have_waited(log: MemoryLog, clock: HandClock) -> None:
    worker, announced, _ = worker_of(log, clock)
    tell(log, 1)
    assert worker.step() is None
    clock.advance(29)
    assert worker.step() is None
    clock.advance(1)
    assert worker.step() is not None and announced == [0, 1]


def test_times_are_measured_from_the_stored_batch_to_the_announced_version(log: MemoryLog, clock: HandClock) -> None:
    def announce(version: int) -> None:
        clock.advance(0.5 * version)

    worker, _, updater = worker_of(log, clock, announce=announce)
    updater.during = lambda: clock.advance(7)
    tell(log, 2)
    outcome = worker.step()
    assert outcome is not None
    assert (outcome.update_seconds, outcome.swap_seconds) == (7.5, 0.5)


def test_a_moved_head_is_announced_whoever_moved_it(log: MemoryLog, clock: HandClock) -> None:
    worker, announced, _ = worker_of(log, clock)
    tell(log, 2)
    worker.step()
    log.rollback("default", 0)
    LogUpdater(log, "another process").update("default", limit=1, progress=lambda *_: None)
    worker.step()
    assert announced == [0, 1, 2]


def test_an_announcement_that_failed_is_made_again(log: MemoryLog, clock: HandClock) -> None:
    calls: list[int] = []

    def announce(version: int) -> None:
        calls.append(version)
        if len(calls) == 1:
            raise ConnectionError("serving is not there yet")

    worker, _, _ = worker_of(log, clock, announce=announce)
    with pytest.raises(ConnectionError):
        worker.step()
    worker.step()
    worker.step()
    assert calls == [0, 0]


def test_the_lease_of_a_dead_predecessor_ends_at_once_and_the_death_counts(log: MemoryLog, clock: HandClock) -> None:
    tell(log, 2)
    log.ensure_lineage("default", base_fingerprint=BASE)
    log.open_batch(log.acquire_updater_lease("default", owner="worker", lease_seconds=3600), limit=2)
    worker, _, _ = worker_of(log, clock)
    clock.advance(0.1)
    outcome = worker.step()
    assert outcome is not None and outcome.report.num_experiences == 2
    learned = log.experiences("default")
    assert [(one.state, one.attempts) for one in learned] == [(ExperienceState.LEARNED, 1)] * 2


def test_the_lease_of_another_worker_is_respected_until_it_expires(log: MemoryLog, clock: HandClock) -> None:
    tell(log, 4)
    log.ensure_lineage("default", base_fingerprint=BASE)
    log.open_batch(log.acquire_updater_lease("default", owner="somebody", lease_seconds=60), limit=2)
    worker, _, _ = worker_of(log, clock)
    with pytest.raises(LineageBusy):
        worker.step()
    clock.advance(61)
    assert worker.step() is not None


def test_what_an_expired_lease_holds_is_learned_though_nothing_is_pending(log: MemoryLog, clock: HandClock) -> None:
    tell(log, 2)
    log.ensure_lineage("default", base_fingerprint=BASE)
    log.open_batch(log.acquire_updater_lease("default", owner="somebody", lease_seconds=60), limit=2)
    worker, _, _ = worker_of(log, clock)
    assert worker.step() is None
    clock.advance(61)
    assert worker.step() is not None


def test_an_error_is_shown_and_the_next_try_learns(log: MemoryLog, clock: HandClock) -> None:
    worker, _, updater = worker_of(log, clock)
    errors = [RuntimeError("out of memory")]

    def fail_once() -> None:
        if errors:
            raise errors.pop()

    updater.during = fail_once
    tell(log, 2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    shown = set()
    deadline = time.monotonic() + 20
    while not worker.status().outcomes and time.monotonic() < deadline:
        shown.add(worker.status().last_error)
        time.sleep(0.01)
    worker.stop()
    thread.join(10)
    assert "RuntimeError: out of memory" in shown and worker.status().last_error is None
    assert log.count_by_state("default")[ExperienceState.LEARNED] == 2 and not thread.is_alive()


@contextmanager
def running(worker: UpdateWorker) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


def test_what_is_told_wakes_it_long_before_it_would_look_again(
    log: MemoryLog, clock: HandClock, tmp_path: Path
) -> None:
    worker, announced, _ = worker_of(log, clock, poll_seconds=3600)
    with running(worker), MemoryLog(f"sqlite:///{tmp_path / 'log.db'}", clock=clock) as other:
        until(lambda: announced == [0])
        for number in range(1, 4):
            tell(other, 2)
            until(lambda number=number: len(worker.status().outcomes) == number)
        other.pause("default", by="mira")  # else it might learn again before it announces where the head went
        other.rollback("default", 1)
        until(lambda: announced == [0, 1, 2, 3, 1])


def test_it_wakes_for_fewer_when_they_have_waited_though_nothing_rings(log: MemoryLog, clock: HandClock) -> None:
    worker, announced, _ = worker_of(
        log, clock, poll_seconds=3600, max_wait_seconds=0.3, batch_size=100, monotonic=time.monotonic
    )
    with running(worker):
        until(lambda: announced == [0])
        tell(log, 1)
        until(lambda: len(worker.status().outcomes) == 1)


def test_it_wakes_when_what_was_put_off_is_due(tmp_path: Path) -> None:
    with MemoryLog(f"sqlite:///{tmp_path / 'log.db'}") as log:
        log.ensure_lineage("default", base_fingerprint=BASE)
        tell(log, 1)
        for _ in range(2):
            log.open_batch(log.acquire_updater_lease("default", owner="dying", lease_seconds=0.01), limit=1)
            time.sleep(0.02)
        log.acquire_updater_lease("default", owner="worker", lease_seconds=0.001)
        assert log.next_due("default") is not None
        worker, _, _ = worker_of(log, utc_now, poll_seconds=3600, max_wait_seconds=0, monotonic=time.monotonic)
        with running(worker):
            until(lambda: len(worker.status().outcomes) == 1)


def test_what_waited_through_a_pause_does_not_keep_it_busy(log: MemoryLog, clock: HandClock) -> None:
    log.pause("default", by="mira")
    tell(log, 2)
    looks: list[float] = []

    def monotonic() -> float:
        looks.append(clock.now.timestamp())
        return looks[-1]

    worker, announced, _ = worker_of(log, clock, poll_seconds=3600, max_wait_seconds=0, monotonic=monotonic)
    with running(worker):
        until(lambda: announced == [0])
        time.sleep(0.5)
        assert 1 <= len(looks) < 8, "it looks again and again"
        log.resume("default")
        until(lambda: len(worker.status().outcomes) == 1)


def test_stopping_wakes_it(log: MemoryLog, clock: HandClock) -> None:
    worker, announced, _ = worker_of(log, clock, poll_seconds=3600)
    with running(worker) as thread:
        until(lambda: announced == [0])
        worker.stop()
        thread.join(60)
        assert not thread.is_alive()


def test_stopping_gives_up_the_update_that_runs_and_its_lease(log: MemoryLog, clock: HandClock) -> None:
    worker, _, updater = worker_of(log, clock)
    updater.during = worker.stop
    tell(log, 2)
    with pytest.raises(UpdateStopped):
        worker.step()
    assert log.updater_lease("default") is None
    assert log.count_by_state("default")[ExperienceState.PENDING] == 2
    assert not worker.status().is_updating


def test_a_quicker_worker_is_no_error(log: MemoryLog, clock: HandClock) -> None:
    class Late(LogUpdater):
        def update(self, lineage: str, **_: object) -> UpdateReport:
            raise NothingPending

    worker, _, _ = worker_of(log, clock, updater=Late(log))
    tell(log, 2)
    assert worker.step() is None


def test_a_paused_worker_waits_says_so_and_wakes_on_resume(log: MemoryLog, clock: HandClock) -> None:
    worker, announced, _ = worker_of(log, clock)
    log.pause("default", by="mira", reason="exam week")
    tell(log, 1)
    assert worker.step() is None
    pause = worker.status().pause
    assert pause is not None and (pause.by, pause.reason) == ("mira", "exam week")
    clock.advance(31)
    assert worker.step() is None and worker.status().last_error is None and announced == [0]
    log.resume("default")
    assert worker.step() is not None, "what waited during the pause has waited"
    assert worker.status().pause is None and announced == [0, 1]


def test_a_pause_between_the_look_and_the_lease_is_no_error(log: MemoryLog, clock: HandClock) -> None:
    class Slow(LogUpdater):
        def update(self, lineage: str, **options: object) -> UpdateReport:
            log.pause(lineage, by="mira")
            return super().update(lineage, **options)  # type: ignore[arg-type]

    worker, _, _ = worker_of(log, clock, updater=Slow(log))
    tell(log, 2)
    assert worker.step() is None and worker.step() is None
    assert log.count_by_state("default")[ExperienceState.PENDING] == 2
    assert worker.status().pause is not None and not worker.status().is_updating


def test_a_worker_without_a_batch_size_is_refused(log: MemoryLog, clock: HandClock) -> None:
    with pytest.raises(BadInput, match="batch_size"):
        worker_of(log, clock, batch_size=0)


def tell_to(log: MemoryLog, lineage: str, count: int) -> None:
    log.append_many([experience(f"Event {time.monotonic_ns()} {number}.", lineage=lineage) for number in range(count)])


def test_workers_of_several_lineages_take_turns_and_one_that_fails_fails_alone(
    log: MemoryLog, clock: HandClock
) -> None:
    order: list[str] = []

    class Told(LogUpdater):
        def update(self, lineage: str, **options: object) -> UpdateReport:
            order.append(lineage)
            if lineage == "broken":
                raise RuntimeError("no such device")
            return super().update(lineage, **options)  # type: ignore[arg-type]

    updater = Told(log)
    workers = {name: worker_of(log, clock, name, updater=updater)[0] for name in ("a", "broken", "b")}
    for name in workers:
        tell_to(log, name, 6)
    thread = threading.Thread(target=take_turns, args=(list(workers.values()),))
    thread.start()
    try:
        until(lambda: all(len(workers[name].status().outcomes) == 3 for name in "ab"))
        error = workers["broken"].status().last_error
    finally:
        for worker in workers.values():
            worker.stop()
        thread.join(60)
    assert [name for name in order if name != "broken"] == ["a", "b"] * 3
    assert error == "RuntimeError: no such device"
    assert log.count_by_state("broken")[ExperienceState.PENDING] == 6
    assert {worker.status().lineage for worker in workers.values()} == {"a", "broken", "b"}
    assert all(log.updater_lease(name) is None for name in workers)


def test_workers_on_different_lineages_update_at_the_same_time(log: MemoryLog, clock: HandClock) -> None:
    both = threading.Barrier(2)  # passed only when two updates are under way at once
    workers = []
    for name in ("a", "b"):
        worker, _, updater = worker_of(log, clock, name)
        updater.owner, updater.during = f"worker of {name}", lambda: both.wait(30) and None
        tell_to(log, name, 2)
        workers.append(worker)
    with running(workers[0]), running(workers[1]):
        until(lambda: all(len(worker.status().outcomes) == 1 for worker in workers))


def test_a_lineage_held_by_another_worker_does_not_keep_the_others_waiting(log: MemoryLog, clock: HandClock) -> None:
    for name in ("held", "free"):
        tell_to(log, name, 2)
        log.ensure_lineage(name, base_fingerprint=BASE)
    log.acquire_updater_lease("held", owner="somebody", lease_seconds=3600)
    held, free = (worker_of(log, clock, name)[0] for name in ("held", "free"))
    assert not held.turn().wakes_at_bell and "somebody" in str(held.status().last_error)
    assert free.turn().seconds == 0.0 and len(free.status().outcomes) == 1


def test_an_update_that_left_everything_waiting_is_tried_again_later_and_later(
    log: MemoryLog, clock: HandClock
) -> None:
    class Collapsed(LogUpdater):
        def update(self, lineage: str, *, progress: Callable[[str, int, int], None], **_: object) -> UpdateReport:
            progress("teacher targets", 0, 1)
            return UpdateReport(
                version=None, parent=0, admitted=False, num_experiences=2, reason="the teacher has collapsed"
            )

    worker, announced, _ = worker_of(log, clock, updater=Collapsed(log))
    tell(log, 2)
    looks = [worker.turn() for _ in range(8)]
    assert [look.seconds for look in looks] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert not any(look.wakes_at_bell for look in looks) and announced == [0]
    assert worker.status().last_error == "the teacher has collapsed"


class Surprised(LogUpdater):
    """Finds every experience as surprising as the number that its text ends in."""

    def measure_surprises(self, lineage: str, *, limit: int) -> int:
        waiting = self.log.unmeasured(lineage, limit=limit)
        self.log.note_surprises(lineage, {one.id: float(one.text.split()[-1]) for one in waiting})
        return len(waiting)


def test_it_wakes_for_fewer_when_they_are_surprising_enough_and_takes_the_most_surprising(
    log: MemoryLog, clock: HandClock
) -> None:
    options = {"surprise_nats": 5.0, "order": "surprise"}
    worker, announced, _ = worker_of(log, clock, options=options, updater=Surprised(log), batch_size=3)
    log.append_many([experience("Nothing new 0.5"), experience("A little 1.5")])
    assert worker.step() is None
    log.append(experience("A parrot speaks 3.5"))
    log.append(experience("Dull 0.1"))
    outcome = worker.step()
    assert outcome is not None and outcome.report.num_experiences == 3 and announced == [0, 1]
    left = [one.text for one in log.experiences("default", state=ExperienceState.PENDING)]
    assert left == ["Dull 0.1"] and worker.step() is None


def test_nothing_is_measured_while_nobody_asks_for_surprise_or_the_lineage_is_paused(
    log: MemoryLog, clock: HandClock
) -> None:
    tell(log, 2)
    worker_of(log, clock, updater=Surprised(log))[0].step()
    log.append(experience("A parrot speaks 9.5"))
    log.pause("default", by="mira")
    eager = worker_of(log, clock, options={"surprise_nats": 5.0}, updater=Surprised(log))[0]
    assert eager.step() is None
    assert len(log.unmeasured("default", limit=10)) == 1
    log.resume("default")
    assert eager.step() is not None


@pytest.mark.parametrize(
    "fields", [{"batch_size": 0}, {"max_wait_seconds": -1.0}, {"surprise_nats": 0.0}, {"order": "newest"}]
)
def test_a_schedule_that_cannot_be_kept_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=next(iter(fields))):
        Schedule(**{"batch_size": 1, "max_wait_seconds": 0.0, **fields})
