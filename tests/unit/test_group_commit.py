"""Who leads, who waits, and whose verdict is whose when several threads write at once."""

import threading
from collections.abc import Sequence

import pytest

from memory_log.errors import BadInput, OutcomeUnknown
from memory_log.group_commit import GroupCommit


class Gate:
    """A writer that can be held back, and remembers its groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.entered, self.open = threading.Semaphore(0), threading.Event()

    def __call__(self, group: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(group))
        self.entered.release()
        assert self.open.wait(timeout=30)
        return [BadInput(f"{number} is odd") if number % 2 else number * 10 for number in group]


def submitted(commit: GroupCommit[int, int], number: int, told: dict[int, object]) -> threading.Thread:
    def submit() -> None:
        try:
            told[number] = commit.submit(number)
        except (BadInput, OutcomeUnknown) as exc:
            told[number] = exc

    thread = threading.Thread(target=submit)
    thread.start()
    return thread


def waiting(commit: GroupCommit[int, int], count: int) -> None:
    """Until so many wait behind the leader."""
    while len(commit._waiting) < count:
        threading.Event().wait(0.001)


def test_one_writer_alone_is_a_group_of_one() -> None:
    gate = Gate()
    gate.open.set()
    commit = GroupCommit(gate)
    assert [commit.submit(2), commit.submit(4)] == [20, 40] and gate.groups == [[2], [4]]


def test_those_who_come_meanwhile_go_together_and_each_gets_its_own_verdict() -> None:
    gate, told = Gate(), {}
    commit = GroupCommit(gate)
    threads = [submitted(commit, 0, told)]
    gate.entered.acquire()
    for count, number in enumerate((1, 2, 3, 4), start=1):
        threads.append(submitted(commit, number, told))
        waiting(commit, count)
    gate.open.set()
    for thread in threads:
        thread.join(timeout=30)
    assert gate.groups == [[0], [1, 2, 3, 4]]
    assert [told[number] for number in (0, 2, 4)] == [0, 20, 40]
    assert [str(told[number]) for number in (1, 3)] == ["1 is odd", "3 is odd"]


def test_a_group_is_bounded_and_the_rest_go_next() -> None:
    gate, told = Gate(), {}
    commit = GroupCommit(gate, most=2)
    threads = [submitted(commit, 0, told)]
    gate.entered.acquire()
    for count, number in enumerate((2, 4, 6), start=1):
        threads.append(submitted(commit, number, told))
        waiting(commit, count)
    gate.open.set()
    for thread in threads:
        thread.join(timeout=30)
    assert gate.groups == [[0], [2, 4], [6]] and told == {0: 0, 2: 20, 4: 40, 6: 60}


def test_what_the_writing_raises_is_everybodys_error_and_the_next_group_goes_on() -> None:
    calls: list[list[int]] = []

    def write(group: Sequence[int]) -> list[int | Exception]:
        calls.append(list(group))
        if len(calls) == 1:
            raise BadInput("no room")
        return list(group)

    commit = GroupCommit(write)
    with pytest.raises(BadInput, match="no room"):
        commit.submit(1)
    assert commit.submit(2) == 2


def test_an_interrupted_leader_leaves_the_others_in_doubt_and_not_asleep() -> None:
    told: dict[int, object] = {}
    entered, go_on = threading.Event(), threading.Event()
    calls = 0

    def write(group: Sequence[int]) -> list[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        entered.set()
        assert go_on.wait(timeout=30)
        return list(group)

    commit = GroupCommit(write)

    def lead() -> None:
        with pytest.raises(KeyboardInterrupt):
            commit.submit(1)

    first = submitted(commit, 0, told)
    entered.wait(timeout=30)
    leader = threading.Thread(target=lead)
    leader.start()
    waiting(commit, 1)
    other = submitted(commit, 2, told)
    waiting(commit, 2)
    go_on.set()
    for thread in (first, leader, other):
        thread.join(timeout=30)
    assert told[0] == 0 and isinstance(told[2], OutcomeUnknown)
    assert commit.submit(3) == 3
