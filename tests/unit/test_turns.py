"""Turns: every worker whose time has come has one before any has another; bells and stops bring them forward."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.turns import Look, take_turns
from memory_log.bells import Bell
from memory_log.log import MemoryLog

FOREVER = 3600.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{tmp_path / 'log.db'}") as opened:
        yield opened


class Scripted:
    """Takes the looks of a list as its turns, one after the other, and is stopped after the last."""

    def __init__(self, log: MemoryLog, name: str, looks: list[Look], told: list[str]) -> None:
        self._log, self.name, self._looks, self._told = log, name, looks, told
        self.rings: Bell | None = None
        self.on_turn: Callable[[], None] = lambda: None

    @property
    def is_stopped(self) -> bool:
        return not self._looks

    def hang_bell(self) -> Bell:
        self.rings = self._log.bell(self.name)
        return self.rings

    def turn(self) -> Look:
        self._told.append(self.name)
        self.on_turn()
        return self._looks.pop(0)


def test_those_who_always_have_work_take_turns(log: MemoryLog) -> None:
    told: list[str] = []
    take_turns([Scripted(log, name, [Look(0.0)] * 3, told) for name in ("a", "b", "c")])
    assert told == ["a", "b", "c"] * 3


def test_one_that_waits_does_not_hold_up_the_others(log: MemoryLog) -> None:
    told: list[str] = []
    waits = Scripted(log, "waits", [Look(FOREVER), Look(0.0)], told)
    busy = Scripted(log, "busy", [Look(0.0)] * 4, told)
    busy.on_turn = lambda: waits.rings is not None and told.count("busy") == 4 and waits.rings.ring()
    take_turns([waits, busy])
    assert told == ["waits", "busy", "busy", "busy", "busy", "waits"], "its bell brought its turn forward"


def test_a_bell_does_not_end_a_pause_after_a_failure_but_stopping_does(log: MemoryLog) -> None:
    told: list[str] = []
    failed = Scripted(log, "failed", [Look(FOREVER, wakes_at_bell=False), Look(0.0)], told)
    thread = threading.Thread(target=take_turns, args=([failed],))
    thread.start()
    deadline = time.monotonic() + 20
    while not told:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert failed.rings is not None
    failed.rings.ring()
    thread.join(0.3)
    assert thread.is_alive() and told == ["failed"]
    failed._looks.clear()
    failed.rings.ring()
    thread.join(20)
    assert not thread.is_alive() and told == ["failed"]


def test_nobody_to_take_turns_is_the_end(log: MemoryLog) -> None:
    take_turns([])
    take_turns([Scripted(log, "a", [], [])])
