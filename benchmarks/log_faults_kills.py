"""Writers and workers of one log, killed at random moments while the others go on; the server restarted beneath them.

Knows when to kill and when to look. Refuses to know what a process does, and what a violation is.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final, Self

from benchmarks.log_faults_children import WORKER, WRITER, Role, start_child
from benchmarks.log_faults_ledger import Findings, Ledger, examine
from benchmarks.log_faults_server import DEATHS, Server
from memory_log.log import MemoryLog

ROLES: Final[tuple[Role, ...]] = (WRITER, WORKER, WRITER, WORKER)
MOST_SECONDS_ALIVE: Final = 0.35
KILLS_BETWEEN_LOOKS: Final = 25
SESSION_END_SECONDS: Final = 10.0


class Fleet:
    """Processes that use one log at once. Use it in a `with`, whose end kills those that are left.

    Args:
        url: of the log.
        folder: for their diaries.
        rng: decides whom to kill, and when.
    """

    def __init__(self, url: str, folder: Path, rng: random.Random) -> None:
        self.url = url
        self.ledger = Ledger()
        self.num_kills = 0
        self._folder, self._rng = folder, rng
        self._alive: dict[int, tuple[Role, Path]] = {}
        self._numbers = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._alive:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def fill_up(self) -> None:
        """Start whoever is missing. A new writer first repeats the calls that the dead left unfinished."""
        roles = [role for role, _ in self._alive.values()]
        for role in ROLES:
            if role in roles:
                roles.remove(role)
                continue
            number = next(self._numbers)
            diary = self._folder / f"{number}.jsonl"
            unfinished = list(self.ledger.unfinished.values()) if role == WRITER else []
            child = start_child(role, self.url, number, diary, unfinished)
            self._alive[child] = role, diary

    def kill_one(self) -> None:
        """kill -9 of any process, as it is."""
        self._kill(self._rng.choice(list(self._alive)))

    def kill_all(self) -> None:
        """kill -9 of every process at once."""
        for child in self._alive:
            os.kill(child, signal.SIGKILL)
        for child in list(self._alive):
            self._kill(child)

    def _kill(self, child: int) -> None:
        _, diary = self._alive.pop(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.num_kills += 1
        self.ledger.take(diary)

    def look(self) -> Findings:
        """Examine the log, which nobody writes: everybody was killed."""
        with MemoryLog(self.url) as log:
            return examine(log, self.ledger)


def kill_at_random(
    fleet: Fleet, num_kills: int, rng: random.Random, *, server: Server | None, progress: Callable[[int], None]
) -> list[Findings]:
    """Kill until so many are dead, and look now and then. What each look found.

    Args:
        server: whose sessions must end with their clients; None for SQLite.
        progress: called with the number of kills so far.
    """
    looks = []
    while fleet.num_kills < num_kills:
        fleet.fill_up()
        time.sleep(rng.uniform(0.0, MOST_SECONDS_ALIVE))
        if fleet.num_kills % KILLS_BETWEEN_LOOKS < KILLS_BETWEEN_LOOKS - len(ROLES):
            fleet.kill_one()
        else:
            fleet.kill_all()
            if server is not None:
                looks.append(sessions_left(server))
            looks.append(fleet.look())
        progress(fleet.num_kills)
    fleet.kill_all()
    return [*looks, fleet.look()]


def sessions_left(server: Server) -> Findings:
    """Wait until no session of a killed client is left; one that stays in a transaction would block the others."""
    found = Findings()
    give_up_at = time.monotonic() + SESSION_END_SECONDS
    while server.num_sessions() > 0:
        if time.monotonic() > give_up_at:
            found.add("num_torn", f"{server.num_sessions('%in transaction%')} sessions of killed clients stay open")
            break
        time.sleep(0.02)
    return found


def restart_at_random(
    fleet: Fleet, num_restarts: int, rng: random.Random, server: Server, progress: Callable[[int], None]
) -> list[Findings]:
    """Restart the server beneath the processes, in each way in turn, and look after each round of all ways."""
    looks = []
    for number in range(num_restarts):
        fleet.fill_up()
        time.sleep(rng.uniform(0.5, 2.0))
        server.restart(DEATHS[number % len(DEATHS)])
        time.sleep(rng.uniform(0.2, 1.0))
        if number % len(DEATHS) == len(DEATHS) - 1 or number == num_restarts - 1:
            fleet.kill_all()
            looks.append(fleet.look())
        progress(number + 1)
    return looks
