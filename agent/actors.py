"""Plain classes as Ray actors.

Knows processes: how they start, restart and are asked. Refuses to know what a class computes; everything that is
worth a unit test stands in the plain class.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import ray
import torch
from torch import Tensor
from transformers import PreTrainedModel

from agent.decoding import Generation
from agent.due import Schedule
from agent.serving import ModelServer, ServerStats
from agent.turns import take_turns
from agent.worker import UpdateWorker, WorkerStatus
from memory_log.errors import UnknownVersion
from updater.update import Updater

ANNOUNCE_SECONDS = 120.0  # a serving actor that was killed is back long before
STOP_SECONDS = 20.0
NUM_TASK_RETRIES = 5  # a call lost with its process is sent again this often; every method here may run twice


@dataclass(frozen=True)
class ServedModel:
    """A base model (version 0) and how its answers end."""

    model: PreTrainedModel
    eos_token_ids: tuple[int, ...]
    pad_token_id: int


class WeightsSource(Protocol):
    """Where the serving actor finds weights; made by the composition root and pickled into the actor's process."""

    def serving_version(self) -> int:
        """The version that the log wants served now; 0 is the base model."""
        ...

    def state_dict(self, version: int) -> Mapping[str, Tensor]:
        """All weights of a version, folded and verified; of version 0 too, which may have been released meanwhile.

        Raises:
            UnknownVersion: There is no such version.
        """
        ...


class ServingActor:
    """A `ModelServer` in a process of its own, which after a crash comes back with the version that the log names.

    Every method may run twice without harm, because Ray sends calls again that a killed process did not answer.

    Args:
        load: Makes the base model; called in the actor's process at every start.
        weights: Read at every start, at every swap, and for versions that are asked but not loaded.
        num_threads: CPU threads of torch in this process.
        max_batch, max_versions: As for `ModelServer`.
    """

    def __init__(
        self,
        load: Callable[[], ServedModel],
        weights: WeightsSource,
        *,
        num_threads: int = 1,
        max_batch: int = 16,
        max_versions: int = 3,
    ) -> None:
        torch.set_num_threads(num_threads)
        base = load()
        self._weights = weights
        self._server = ModelServer(
            base.model,
            eos_token_ids=base.eos_token_ids,
            pad_token_id=base.pad_token_id,
            max_batch=max_batch,
            max_versions=max_versions,
        )
        # One version is read and prepared at a time: memory stays bounded, and none is released before its first use.
        self._loading = asyncio.Lock()
        version = weights.serving_version()
        if version != 0:
            self._server.prepare(version, weights.state_dict(version))
            self._server.activate(version)

    async def answer(
        self, prompt_ids: Sequence[int], version: int | None = None, max_new_tokens: int = 48
    ) -> Generation:
        """Answer with the version that serves now, or with a given one, which is loaded if need be.

        Raises:
            BadInput, UnknownVersion, GenerationFailed, ServerClosed: See `ModelServer.submit`.
        """
        try:
            future = self._server.submit(prompt_ids, version=version, max_new_tokens=max_new_tokens)
        except UnknownVersion:
            assert version is not None, "the version that serves is always loaded"
            async with self._loading:
                await self._prepare(version, None)
                future = self._server.submit(prompt_ids, version=version, max_new_tokens=max_new_tokens)
        return await asyncio.wrap_future(future)

    async def swap(self, version: int, arrays: Mapping[str, np.ndarray[Any, Any]] | None = None) -> ServerStats:
        """Take up a version while answering; return the figures right after the flip.

        Args:
            version: Its number.
            arrays: Its whole state dict, or None to read it from the weights source.

        Raises:
            DeltaMismatch, DeltaCorrupt, UnknownVersion: Nothing has changed.
        """
        async with self._loading:
            await self._prepare(version, arrays)
            self._server.activate(version)
            return self._server.stats()

    async def refresh(self) -> int:
        """Take up whatever version the log names now, forwards or back; return its number.

        Safe to call at any time and from anybody: unlike a late `swap(n)`, a late refresh cannot bring an old version
        back.
        """
        async with self._loading:
            version = await asyncio.to_thread(self._weights.serving_version)
            await self._prepare(version, None)
            self._server.activate(version)
            return version

    async def stats(self) -> ServerStats:
        """Return the figures since this process began."""
        return self._server.stats()

    async def pid(self) -> int:
        """Return the process id, which changes with every restart."""
        return os.getpid()

    async def _prepare(self, version: int, arrays: Mapping[str, np.ndarray[Any, Any]] | None) -> None:
        if arrays is not None:
            # Copied, because arrays out of Ray's object store are read-only.
            tensors = {name: torch.tensor(array) for name, array in arrays.items()}
            await asyncio.to_thread(self._server.prepare, version, tensors)
        elif version not in self._server.stats().loaded_versions:
            await asyncio.to_thread(lambda: self._server.prepare(version, self._weights.state_dict(version)))


def start_serving_actor(
    load: Callable[[], ServedModel],
    weights: WeightsSource,
    *,
    name: str | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    num_threads: int = 1,
    max_batch: int = 16,
    max_versions: int = 3,
) -> Any:  # noqa: ANN401 - Ray's actor handles have no static type
    """Start a serving actor that Ray restarts for ever, and return its handle; `ray.init` has been called.

    Args:
        load, weights, num_threads, max_batch, max_versions: See `ServingActor`.
        name: A name in Ray's namespace under which other processes find the actor.
        num_cpus, num_gpus: What Ray reserves for it.

    Example:
        serving = start_serving_actor(load, weights)
        answer = ray.get(serving.answer.remote([5, 17, 9]))
    """
    actor = ray.remote(ServingActor).options(
        name=name,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_restarts=-1,
        max_task_retries=NUM_TASK_RETRIES,
        max_concurrency=1000,
    )
    return actor.remote(load, weights, num_threads=num_threads, max_batch=max_batch, max_versions=max_versions)


class UpdateWorkerActor:
    """The `UpdateWorker`s of one or more lineages in a process of its own, where they take turns. They work from the
    moment it starts, and after a crash go on.

    Args:
        make_updater: makes the updater for an owner's name; called in the actor's process at every start.
        lineage: whose memory; the serving actor's.
        more_lineages: others whose experiences this process learns as well.
        schedule: when each of them wakes.
        serving_name: Name of the serving actor that takes up each version right after it was admitted; None for nobody.
            A name, because Ray cannot promise to restart an actor that was given a handle.
        num_threads: CPU threads of torch while it learns.
    """

    def __init__(
        self,
        make_updater: Callable[[str], Updater],
        *,
        lineage: str,
        schedule: Schedule,
        more_lineages: Sequence[str] = (),
        serving_name: str | None = None,
        num_threads: int = 1,
    ) -> None:
        # Only the thread that learns gets more: with a second team of OpenMP threads in the process there would be more
        # of them than cores, and GNU's OpenMP then lets them sleep at every step.
        torch.set_num_threads(1)
        self._serving = None if serving_name is None else ray.get_actor(serving_name)
        # Ray keeps an actor's id over its restarts, and never gives it to another one.
        updater = make_updater(f"update-worker-{ray.get_runtime_context().get_actor_id()}")
        self._workers = {
            name: UpdateWorker(
                updater, name, schedule, announce=self._refresh_serving if name == lineage else lambda version: None
            )
            for name in dict.fromkeys((lineage, *more_lineages))
        }
        self._lineage = lineage
        self._thread = threading.Thread(target=self._learn, args=(num_threads,), name="update-worker", daemon=True)
        self._thread.start()

    def status(self, lineage: str | None = None) -> WorkerStatus:
        """Return what the worker of a lineage, None for the served one's, does now and has done in this process."""
        return self._workers[lineage or self._lineage].status()

    def stop(self) -> bool:
        """Give up the update that runs, with its lease, and work no more; True when that is done."""
        for worker in self._workers.values():
            worker.stop()
        self._thread.join(STOP_SECONDS)
        return not self._thread.is_alive()

    def _learn(self, num_threads: int) -> None:
        torch.set_num_threads(num_threads)
        take_turns(list(self._workers.values()))

    def _refresh_serving(self, version: int) -> None:
        # A refresh reads the log itself, so it cannot bring an old version back however late it comes.
        if self._serving is not None:
            ray.get(self._serving.refresh.remote(), timeout=ANNOUNCE_SECONDS)


def start_update_worker(
    make_updater: Callable[[str], Updater],
    *,
    lineage: str,
    schedule: Schedule,
    more_lineages: Sequence[str] = (),
    serving_name: str | None = None,
    name: str | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    num_threads: int = 1,
) -> Any:  # noqa: ANN401 - Ray's actor handles have no static type
    """Start an update worker that Ray restarts for ever, and return its handle; `ray.init` has been called.

    Args:
        make_updater, lineage, schedule, more_lineages, serving_name, num_threads: See `UpdateWorkerActor`.
        name: A name in Ray's namespace under which other processes find the actor.
        num_cpus, num_gpus: What Ray reserves for it.
    """
    actor = ray.remote(UpdateWorkerActor).options(
        name=name,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_restarts=-1,
        max_task_retries=NUM_TASK_RETRIES,
        max_concurrency=2,  # `status` answers while `stop` waits
    )
    return actor.remote(
        make_updater,
        lineage=lineage,
        schedule=schedule,
        more_lineages=tuple(more_lineages),
        serving_name=serving_name,
        num_threads=num_threads,
    )
