"""Parts of a study beside each other, each as a Ray task of one thread, or one after the other in this process.

Knows: Ray tasks, and counting what has ended. Refuses to know: what a part does.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import ray
import torch
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    WorkerCrashedError,
)

from agent.runtime import start_ray
from agent.study.config import StudyConfig
from agent.study.folder import Part, StudyFolder
from agent.study.parts import run_part
from memory_log.errors import SelfParamError

LOOK_SECONDS: Final = 1.0
GONE: Final = (WorkerCrashedError, OutOfMemoryError, NodeDiedError, LocalRayletDiedError)
RETRIES: Final = 3
"""Of a part whose process died: it goes on after its last finished update."""


class StudyInterrupted(SelfParamError, RuntimeError):
    """A part's process died again and again."""


Look = Callable[[], None]
"""Called every second or so, and after every part."""


def run_parts(folder: StudyFolder, parts: Sequence[Part], *, jobs: int, look: Look) -> None:
    """Run these parts to their end; the first error of one ends all, and what has ended is on disk.

    Args:
        folder: the study's.
        parts: in the order in which they begin.
        jobs: how many at a time; 1 runs them in this process, without Ray, where they set torch to one thread.
        look: shows how far they are.

    Raises:
        StudyInterrupted: a process died again and again, as where memory is short.
    """
    if jobs == 1 or len(parts) < 2:
        _run_here(folder, parts, look)
    else:
        _run_on_ray(folder, parts, jobs, look)


def _run_here(folder: StudyFolder, parts: Sequence[Part], look: Look) -> None:
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(LOOK_SECONDS):
            look()

    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        for part in parts:
            _run_part(folder.config, *part, folder.part(*part))
    finally:
        ended.set()
        watcher.join()
        look()


def _run_on_ray(folder: StudyFolder, parts: Sequence[Part], jobs: int, look: Look) -> None:
    is_ours = start_ray()
    task = ray.remote(num_cpus=0, max_retries=RETRIES)(_run_part)
    waiting = list(parts)
    running: dict[ray.ObjectRef[None], Part] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                part = waiting.pop(0)
                running[task.remote(folder.config, *part, folder.part(*part))] = part
            ended, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
            for reference in ended:
                method, seed = running.pop(reference)
                try:
                    ray.get(reference)
                except RayTaskError as exc:
                    # As it was raised, without the other process's traceback in its text.
                    if isinstance(exc.cause, SelfParamError):
                        raise exc.cause from None
                    raise
                except GONE as exc:
                    raise StudyInterrupted(
                        f"the process of {method}, seed {seed}, died {RETRIES + 1} times, perhaps for want of memory; "
                        f"go on with fewer jobs: selfparam study resume {folder.path} --jobs 1"
                    ) from exc
            look()
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if is_ours:
            ray.shutdown()


def _run_part(config: StudyConfig, method: str, seed: int, folder: Path) -> None:
    torch.set_num_threads(1)  # as everywhere here, so that results do not depend on how many run at a time
    run_part(config, method, seed, folder)
