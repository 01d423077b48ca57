"""Several workers in one thread, each in its turn.

Knows: whose turn it is, and waiting for all of their bells at once. Refuses to know: what a worker does with its turn.
"""

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple, Protocol

from memory_log.bells import Bell, wait_for_any

# However often a bell rings, its worker does not look more often.
LEAST_LOOK_SECONDS: Final = 0.05


class Look(NamedTuple):
    """When a worker wants its next turn."""

    seconds: float
    """From now; 0 at once, after the others."""
    wakes_at_bell: bool = True
    """Whether its bell may bring it forward."""


class TakesTurns(Protocol):
    """What can be given turns."""

    @property
    def is_stopped(self) -> bool:
        """Whether it wants no more turns."""
        ...

    def hang_bell(self) -> Bell:
        """The bell that brings its next turn forward; it is closed when there are no more turns."""
        ...

    def turn(self) -> Look:
        """One piece of work, or none. What fails in it is its own business: nothing is raised."""
        ...


def take_turns(workers: Sequence[TakesTurns]) -> None:
    """Give every worker its turns until all are stopped: each whose time has come has one before any has another."""
    with ExitStack() as hung:
        bells = [hung.enter_context(worker.hang_bell()) for worker in workers]  # before the first look: none is missed
        places = [_Place(worker, bell) for worker, bell in zip(workers, bells, strict=True)]
        while places := [place for place in places if not place.worker.is_stopped]:
            for place in places:
                if not place.worker.is_stopped and time.monotonic() >= place.next_at:
                    place.take_turn()
            next_at = min((place.next_at for place in places if not place.worker.is_stopped), default=-math.inf)
            rung = wait_for_any([place.bell for place in places], max(0.0, next_at - time.monotonic()))
            for place in places:
                if place.bell in rung:
                    place.ring()


class _Place:
    """A worker among the others, and when its next turn comes."""

    def __init__(self, worker: TakesTurns, bell: Bell) -> None:
        self.worker, self.bell = worker, bell
        self.next_at = -math.inf
        self._earliest, self._wakes_at_bell = -math.inf, True

    def take_turn(self) -> None:
        look = self.worker.turn()
        now = time.monotonic()
        self.next_at, self._wakes_at_bell = now + look.seconds, look.wakes_at_bell
        self._earliest = now + min(look.seconds, LEAST_LOOK_SECONDS)

    def ring(self) -> None:
        if self._wakes_at_bell:
            self.next_at = min(self.next_at, self._earliest)
