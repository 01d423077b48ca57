"""How the throughput benchmark holds its clock: writers that start together, rounds in changing order, percentiles.

Knows contestants by their interface. Refuses to know what they store.
"""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple

from benchmarks.log_throughput_contestants import Contestant, texts
from memory_log.log import MemoryLog


class Case(NamedTuple):
    """One way to append: so many writers, so many experiences in each call."""

    num_writers: int
    batch_size: int

    @property
    def name(self) -> str:
        """Such as `single_4_writers`."""
        size = "single" if self.batch_size == 1 else f"batch_of_{self.batch_size}"
        return f"{size}_{self.num_writers}_writer{'s' if self.num_writers > 1 else ''}"


def append_rate(contestant: Contestant, case: Case, num_calls: int, seed: int) -> float:
    """Experiences a second that the case's writers store together, `num_calls` calls in all.

    Each writer makes one call before the clock starts, so that its connection is there.
    """
    calls_each = max(1, num_calls // case.num_writers)
    work = [
        _calls(contestant, case.batch_size, calls_each + 1, seed * 16 + writer) for writer in range(case.num_writers)
    ]
    barrier = Barrier(case.num_writers)

    def write(calls: Sequence[Sequence[Any]]) -> tuple[float, float]:
        contestant.append(calls[0])
        barrier.wait()
        began = time.perf_counter()
        for call in calls[1:]:
            contestant.append(call)
        return began, time.perf_counter()

    with ThreadPoolExecutor(case.num_writers) as pool:
        times = list(pool.map(write, work))
    seconds = max(ended for _, ended in times) - min(began for began, _ in times)
    return case.num_writers * calls_each * case.batch_size / seconds


def _calls(contestant: Contestant, batch_size: int, num_calls: int, seed: int) -> list[Sequence[Any]]:
    items = contestant.prepared(texts(batch_size * num_calls, seed))
    return [items[start : start + batch_size] for start in range(0, len(items), batch_size)]


def turned(items: Sequence[Any], turns: int) -> list[Any]:
    """The items beginning with another one each round, so that none always comes first."""
    start = turns % len(items)
    return [*items[start:], *items[:start]]


def percentile(seconds: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values do not exceed (nearest rank)."""
    return sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)]


def replay_seconds(log: MemoryLog, lineage: str, limit: int, num_draws: int, first_seed: int) -> list[float]:
    """What each draw of `limit` targets took."""
    seconds = []
    for seed in range(first_seed, first_seed + num_draws):
        before = time.perf_counter()
        drawn = log.replay_targets(lineage, limit=limit, seed=seed)
        seconds.append(time.perf_counter() - before)
        assert len(drawn) == limit, f"drew {len(drawn)} of {limit} targets"
    return seconds
