"""Several processes on one log, over both databases."""

from memory_log.log import MemoryLog
from tests.log_fixtures import assert_learned_once, experience, start_worker


def test_racing_updaters_neither_fork_the_chain_nor_learn_anything_twice(log_url: str) -> None:
    with MemoryLog(log_url) as log:
        log.append_many([experience(f"Event {index}.") for index in range(24)])
        racers = [start_worker("race", log_url, seed) for seed in range(3)]
        for racer in racers:
            assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.communicate(timeout=120)[0].split() for racer in racers]
        assert [racer.returncode for racer in racers] == [0, 0, 0]
        assert sum(bool(lines) for lines in said) >= 2, "only one of them ever updated: nothing raced"
        admitted = [int(line) for lines in said for line in lines]
        assert len(admitted) == len(set(admitted))
        assert_learned_once(log, set(admitted))
        assert {one.state for one in log.experiences("default")} <= {"learned", "dead"}


def test_processes_that_open_a_new_log_at_once_all_can(log_url: str) -> None:
    openers = [start_worker("update", log_url, seed) for seed in range(4)]
    for opener in openers:
        opener.communicate(timeout=120)
    assert [opener.returncode for opener in openers] == [0, 0, 0, 0]
