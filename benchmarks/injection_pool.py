"""Methods and seeds run beside each other, each in a process of one thread, with a bar that counts updates.

Knows: processes and the screen. Refuses to know: what a method does.
"""

import functools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Final, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agent.study.lines import ITEMS_FILE
from benchmarks.injection_plan import Plan, folder_of, run_pair

LOOK_SECONDS: Final = 1.0
TIME_LEFT_OVER: Final = 3600.0
"""Seconds of the past that the time left is judged by: updates are few and long."""


class Piece(NamedTuple):
    """A part of a run that goes on by itself from where it was: its folder, its lines when done, and what does it."""

    folder: Path
    num_lines: int
    run: Callable[[], None]
    """Travels to another process, so give a function of a module, or a `functools.partial` of one."""


def run_all(plan: Plan, methods: Sequence[str], seeds: Sequence[int], work: Path, *, jobs: int) -> None:
    """Every method and seed, several at a time; the first error of one ends all."""
    pieces = []
    for seed in seeds:
        for method in methods:
            folder = folder_of(work, method, seed)
            run = functools.partial(run_pair, plan, method, seed, folder)
            pieces.append(Piece(folder, plan.updates_of(method), run))
    run_pieces(plan.protocol, pieces, jobs=jobs)


def run_pieces(title: str, pieces: Sequence[Piece], *, jobs: int) -> None:
    """Every piece, several at a time; the first error of one ends all.

    Args:
        title: of the bar.
        pieces: each appends a line to the `items.jsonl` of its folder for each thing that it finishes.
        jobs: processes, of one thread each.
    """
    files = [piece.folder / ITEMS_FILE for piece in pieces]
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left:"), TimeRemainingColumn(),
    )  # fmt: skip
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_begin_worker, initargs=(os.getpid(),)
    )
    total = sum(piece.num_lines for piece in pieces)
    with (
        pool,
        Progress(*columns, console=Console(stderr=True), speed_estimate_period=TIME_LEFT_OVER) as progress,
    ):
        task = progress.add_task(title, total=total, completed=num_lines(files))
        running: set[Future[None]] = {
            pool.submit(piece.run)
            for piece, file in zip(pieces, files, strict=True)
            if num_lines([file]) < piece.num_lines
        }
        try:
            while running:
                ended, running = wait(running, timeout=LOOK_SECONDS)
                for future in ended:
                    future.result()
                progress.update(task, completed=num_lines(files))
        except BaseException:
            # Also on Ctrl-C: what has ended is on disk, and the same command goes on from there.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def num_lines(files: Sequence[Path]) -> int:
    """Finished updates in all of these files."""
    return sum(path.read_bytes().count(b"\n") for path in files if path.is_file())


def _begin_worker(parent: int) -> None:
    """One thread for each process, and none that outlives the process that started it."""
    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
