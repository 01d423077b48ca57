"""The arithmetic of `benchmarks.freshness`: when experiences come, how many wait, how long each waited.

Knows: moments in seconds. Refuses to know: logs, servers, clocks.
"""

import random
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean
from typing import NamedTuple

from agent.intervals import quantile
from memory_log.errors import BadInput


class Lived(NamedTuple):
    """One experience of a stream; moments are seconds on one clock."""

    came_at: float
    """When it happened: by the schedule, however late the log took it."""
    known_at: float | None = None
    """When a version that has learned it was seen to serve; None where that never came."""
    is_refused: bool = False
    is_right: bool | None = None
    """Whether the version that learned it answered right about it; None where it was not asked."""


def arrivals(count: int, *, per_minute: float, seed: int) -> list[float]:
    """So many moments from 0, at independent random distances with this rate: a Poisson process.

    Raises:
        BadInput: the rate is not above 0.
    """
    if per_minute <= 0:
        raise BadInput(f"got {per_minute} experiences a minute, needed more than 0")
    rng = random.Random(f"arrivals/{seed}")
    return list(accumulate(rng.expovariate(per_minute / 60) for _ in range(count)))


class NothingMeasured(BadInput):
    """A run was too short for a figure."""


def waited(stream: Sequence[Lived], share: float) -> float:
    """The seconds from event to known that this share of those that came to be known did not exceed.

    Raises:
        NothingMeasured: none did.
    """
    found = waits(stream)
    if not found:
        raise NothingMeasured("nothing came to be known; let the stream last longer")
    return quantile(found, share)


def waits(stream: Sequence[Lived]) -> list[float]:
    """Seconds from event to known, of those that came to be known."""
    return [one.known_at - one.came_at for one in stream if one.known_at is not None]


def max_backlog(stream: Sequence[Lived]) -> int:
    """The most that had come and were not known yet, at any moment. What was refused never counts."""
    taken = [one for one in stream if not one.is_refused]
    # At one moment, what becomes known goes before what comes.
    steps = sorted(
        [(one.came_at, 1) for one in taken] + [(one.known_at, -1) for one in taken if one.known_at is not None]
    )
    return max(accumulate(step for _, step in steps), default=0)


def sustained_per_minute(stream: Sequence[Lived]) -> float:
    """Experiences a minute at full speed: those known after the first version of the stream, over the time they took.

    The first version's time holds the start of the learner, which a long run has once.

    Raises:
        BadInput: there were not two versions.
    """
    moments = sorted(one.known_at for one in stream if one.known_at is not None)
    later = [moment for moment in moments if moment > moments[0]]
    if not later:
        raise BadInput("one version came of the experiences at full speed, two are needed; give it more of them")
    return 60 * len(later) / (later[-1] - moments[0])


def growth(values: Sequence[float]) -> float:
    """The mean of the last tenth over that of the first, one value each at least.

    Raises:
        NothingMeasured: there are no values, or the first are 0.
    """
    tenth = max(1, len(values) // 10)
    if not values or fmean(values[:tenth]) == 0:
        raise NothingMeasured("nothing was measured to compare; let the stream last longer")
    return fmean(values[-tenth:]) / fmean(values[:tenth])
