"""The same appends by whole processes, each with a log of its own, for information: no lock of ours helps there."""

import multiprocessing
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Final

from benchmarks.log_throughput_contestants import Contestant, OurLog, texts
from benchmarks.log_throughput_raw import RawPostgresql, RawSqlite

_KINDS: Final[dict[str, Callable[[str], Contestant]]] = {
    "ours": OurLog,
    "raw_sqlite": RawSqlite,
    "raw_postgresql": RawPostgresql,
}


def process_rate(kind: str, url: str, *, num_processes: int, num_calls: int, seed: int) -> float:
    """Experiences a second that the processes store together, one at a time; `kind` is `ours` or the raw driver's."""
    context = multiprocessing.get_context("spawn")
    barrier, times = context.Barrier(num_processes), context.Queue()
    calls_each = max(1, num_calls // num_processes)
    processes = [
        context.Process(target=_write, args=(kind, url, calls_each, seed * num_processes + number, barrier, times))
        for number in range(num_processes)
    ]
    for process in processes:
        process.start()
    found: list[tuple[float, float]] = [times.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    seconds: float = max(ended for _, ended in found) - min(began for began, _ in found)
    return num_processes * calls_each / seconds


def _write(
    kind: str, url: str, num_calls: int, seed: int, barrier: Barrier, times: "Queue[tuple[float, float]]"
) -> None:
    with closing(_KINDS[kind](url)) as contestant:
        items = contestant.prepared(texts(num_calls + 1, seed))
        contestant.append(items[:1])
        barrier.wait(timeout=120)
        began = time.perf_counter()
        for index in range(1, len(items)):
            contestant.append(items[index : index + 1])
        times.put((began, time.perf_counter()))
