"""Plain classes as Ray actors.

Knows processes: how they start, restart and are asked. Refuses to know what a class computes; everything that is
worth a unit test stands in the plain class.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import ray
import torch
from torch import Tensor
from transformers import PreTrainedModel

from agent.decoding import Generation
from agent.serving import ModelServer, ServerStats
from memory_log.errors import UnknownVersion

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
