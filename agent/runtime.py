"""The composition root: log, update worker and serving actor put together on Ray, and taken down again.

Knows which part is told what, on which device, and what a client does when a process dies under its request. Refuses to
know environments, displays and measurements.
"""

import functools
import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
from ray._private import ray_constants
from ray.exceptions import GetTimeoutError, RayActorError
from torch import Tensor

from agent.actors import ServedModel, start_serving_actor, start_update_worker
from agent.decoding import Generation
from agent.due import Schedule
from agent.filtering import filter_for
from agent.home import Home
from agent.home_base import WEIGHTS, check_base
from agent.home_settings import read_settings
from agent.memory import anchors_for, choose_device
from agent.serving import ServerStats
from agent.threads import spin_briefly
from agent.worker import WorkerStatus
from agent.writing import writer_of
from memory_log.closing import Closing
from memory_log.errors import BadInput, SelfParamError
from memory_log.log import MemoryLog
from memory_log.records import ClaimOrder
from updater.candidates import Writer
from updater.filters import ExperienceFilter
from updater.fold import VersionWeights
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.settings import GateSettings, UpdateSettings
from updater.update import Updater

ANSWER_SECONDS: Final = 120.0
RETRY_PAUSE_SECONDS: Final = 0.2
MOST_THREADS: Final = 8  # the embedded model's matrices are too small for more
OBJECT_STORE_BYTES: Final = 128 * 2**20  # only prompts, answers and figures pass through it

# Set before Ray starts, unless the user has: no reports to anybody; no lower priority than the user's other programs,
# under which an update would starve (Ray's own default is 15); Ray's coming default about GPUs, without which it warns.
RAY_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class ServingUnavailable(SelfParamError, RuntimeError):
    """The serving actor did not come back in time."""


@functools.lru_cache(maxsize=1)
def _base_model(home: Path, lineage: str, source: str, device: str) -> LanguageModel:
    """The base model, read once in a process; its parts share it and write to none of its tensors.

    Raises:
        BaseModelChanged: it is not what the lineage began with. An actor that starts again reads its files again.
    """
    quiet_transformers()
    base = load_language_model(source, device=device)
    check_base(home, lineage, base.name, {WEIGHTS: base.fingerprint, **base.identity})
    return base


@dataclass(frozen=True)
class HomeParts:
    """What the actors make from a home folder in their own processes. Travels by pickle: paths and settings only."""

    home: Home
    lineage: str
    device: str
    settings: UpdateSettings | None = None
    gate: GateSettings | None = None
    filter: ExperienceFilter | None = None
    writer: Writer | None = None

    @property
    def base(self) -> LanguageModel:
        """theta_0."""
        return _base_model(self.home.path, self.lineage, self.home.model_source, choose_device(self.device))

    def served_model(self) -> ServedModel:
        """Version 0 for the serving actor."""
        dialogue = self.base.dialogue
        return ServedModel(self.base.model, eos_token_ids=dialogue.eos_token_ids, pad_token_id=dialogue.pad_token_id)

    def updater(self, owner: str) -> Updater:
        """An updater that holds its leases as `owner`; an endpoint's key is in its process's environment."""
        chosen = read_settings(self.home.path)
        return Updater(
            self.base, self.home.open_log(), self.home.blob_store(),
            anchors=anchors_for(self.base, self.home.config.anchors), owner=owner,
            settings=self.settings or chosen.update, gate=self.gate or chosen.gate,
            experience_filter=filter_for(self.home, self.filter),
            writer=self.writer or writer_of(chosen, os.environ),
        )  # fmt: skip


class HomeWeights:
    """The serving actor's weights source: whatever version the home's log names, folded and verified."""

    def __init__(self, parts: HomeParts) -> None:
        self._parts = parts

    def __reduce__(self) -> tuple[type["HomeWeights"], tuple[HomeParts]]:
        return HomeWeights, (self._parts,)  # connections stay behind; the other process opens its own

    @functools.cached_property
    def _log(self) -> MemoryLog:
        return self._parts.home.open_log()

    @functools.cached_property
    def _weights(self) -> VersionWeights:
        return VersionWeights(self._parts.base, self._log, self._parts.home.blob_store())

    def serving_version(self) -> int:
        """The head's number."""
        return self._log.head(self._parts.lineage).number

    def state_dict(self, version: int) -> Mapping[str, Tensor]:
        """All weights of a version, checked against its recorded hash."""
        return self._weights.weights(self._parts.lineage, version)


class Runtime(Closing):
    """A home's memory at work: an update worker that wakes by itself, and a serving actor that follows it.

    Both are Ray actors in processes of their own, on a GPU where Ray reports one; both come back after a crash. What is
    appended to the home's log, by this process or any other, is learned and served without further calls.

    Args:
        home: log, deltas and base model.
        lineage: whose memory.
        batch_size: the worker wakes at this many pending experiences, and learns at most as many at once.
        max_wait_seconds: it wakes for fewer after this time.
        surprise_nats: it wakes for fewer at this summed surprise, in nats a token; None never.
        order: which experiences it learns first.
        more_lineages: others that the same process learns, each in its turn; they are not served.
        device: `auto`, `cpu`, `cuda`.
        settings, gate: how updates are made and admitted; None takes what the home's `selfparam.toml` says when the
            worker begins, else the defaults.
        filter: what of each experience may be learned, after the filter that the home's config names. It travels to the
            worker's process by pickle: a function of a module, or what `updater.filters` makes.
        writer: who writes about experiences; None takes who `selfparam.toml` names, else the model. Travels by pickle.
        max_batch: requests of one version that are decoded together.
        max_versions: versions that the serving actor keeps loaded.

    Example:
        with Runtime(home, batch_size=5) as runtime:
            home.open_log().append(NewExperience(text="I put the red mug in the kitchen drawer."))
            answer = runtime.ask(prompt_ids)
    """

    def __init__(
        self,
        home: Home,
        *,
        lineage: str = "default",
        batch_size: int = 8,
        max_wait_seconds: float = 30.0,
        surprise_nats: float | None = None,
        order: ClaimOrder = "oldest",
        more_lineages: Sequence[str] = (),
        device: str = "auto",
        settings: UpdateSettings | None = None,
        gate: GateSettings | None = None,
        filter: ExperienceFilter | None = None,
        writer: Writer | None = None,
        max_batch: int = 32,
        max_versions: int = 4,
    ) -> None:
        schedule = Schedule(
            batch_size=batch_size, max_wait_seconds=max_wait_seconds, surprise_nats=surprise_nats, order=order
        )
        self._owns_ray = start_ray()
        self._num_retried = 0
        self._counting = threading.Lock()
        self._handles: list[Any] = []
        try:
            num_gpus = 0.5 if device != "cpu" and _ray_has_a_gpu() else 0
            if device.startswith("cuda") and not num_gpus:
                raise BadInput(f"the device {device!r} was asked for, but Ray reports no GPU; use --device auto")
            # Inside an actor, the GPU that Ray has assigned is the only one.
            self.parts = HomeParts(home, lineage, "cuda" if num_gpus else "cpu", settings, gate, filter, writer)
            with home.open_log() as log:
                log.ensure_lineage(lineage, base_fingerprint=self.parts.base.fingerprint)
            serving_name = f"serving-{uuid.uuid4().hex}"
            # No CPUs are reserved: on a single core both actors must still find room.
            self._serving = start_serving_actor(
                self.parts.served_model, HomeWeights(self.parts), name=serving_name, num_cpus=0, num_gpus=num_gpus,
                max_batch=max_batch, max_versions=max_versions,
            )  # fmt: skip
            self._handles.append(self._serving)
            self._worker = start_update_worker(
                self.parts.updater, lineage=lineage, more_lineages=more_lineages, schedule=schedule,
                serving_name=serving_name, num_cpus=0, num_gpus=num_gpus, num_threads=_update_threads(),
            )  # fmt: skip
            self._handles.append(self._worker)
            ray.get([self._serving.pid.remote(), self._worker.status.remote()])
        except BaseException:
            self.close()
            raise

    @property
    def num_retried(self) -> int:
        """Requests sent again because the serving process died under them."""
        return self._num_retried

    def ask(
        self, prompt_ids: Sequence[int], version: int | None = None, *, timeout_seconds: float = ANSWER_SECONDS
    ) -> Generation:
        """Answer a prompt with the version that serves, or a given one. Safe from any thread.

        A request that dies with the serving process is sent again, and is then bound anew unless it names a version.

        Raises:
            BadInput, UnknownVersion: see `ServingActor.answer`.
            ServingUnavailable: no answer came in time, or the serving actor cannot start again, with the reason.
        """
        return self.ask_many([prompt_ids], version, timeout_seconds=timeout_seconds)[0]

    def ask_many(
        self, prompts: Sequence[Sequence[int]], version: int | None = None, *, timeout_seconds: float = ANSWER_SECONDS
    ) -> list[Generation]:
        """Ask several prompts at once; see `ask`."""
        deadline = time.monotonic() + timeout_seconds
        # Without Ray's own retries, so that they can be counted.
        answer = self._serving.answer.options(max_task_retries=0)
        answers: dict[int, Generation] = {}
        while len(answers) < len(prompts):
            missing = [index for index in range(len(prompts)) if index not in answers]
            asked = {index: answer.remote(prompts[index], version) for index in missing}
            for index, reference in asked.items():
                try:
                    answers[index] = ray.get(reference, timeout=max(0.0, deadline - time.monotonic()))
                except GetTimeoutError as exc:
                    raise ServingUnavailable(
                        f"no answer within {timeout_seconds:.0f} s; the serving actor is overloaded or cannot start: "
                        "see the logs below /tmp/ray/session_latest/logs"
                    ) from exc
                except RayActorError as exc:
                    _raise_if_it_cannot_start(exc, "serving actor")
                    with self._counting:
                        self._num_retried += 1
            if len(answers) < len(prompts):
                time.sleep(RETRY_PAUSE_SECONDS)
        return [answers[index] for index in range(len(prompts))]

    def worker_status(self, lineage: str | None = None) -> WorkerStatus:
        """What the update worker of a lineage, None for the served one's, does now and has done since its process
        began; waits while it restarts."""
        status: WorkerStatus = _reply(self._worker.status.remote(lineage), "update worker")
        return status

    def serving_stats(self) -> ServerStats:
        """The serving actor's figures since its process began; waits while it restarts."""
        stats: ServerStats = _reply(self._serving.stats.remote(), "serving actor")
        return stats

    def serving_pid(self) -> int:
        """The serving process, another one after every restart."""
        pid: int = _reply(self._serving.pid.remote(), "serving actor")
        return pid

    def close(self) -> None:
        """Stop both actors, an update that runs included, and Ray if this object started it. Idempotent."""
        handles, self._handles = self._handles, []
        try:
            if len(handles) == 2:
                ray.get(handles[1].stop.remote(), timeout=30)  # gives the updater lease back
        except (GetTimeoutError, RayActorError):
            pass  # the lease runs out by itself
        finally:
            for handle in handles:
                ray.kill(handle)
            if self._owns_ray:
                self._owns_ray = False
                ray.shutdown()


def _reply(reference: Any, name: str) -> Any:  # noqa: ANN401 - whatever the actor's method returns
    try:
        return ray.get(reference)
    except RayActorError as exc:
        _raise_if_it_cannot_start(exc, name)
        raise


def _raise_if_it_cannot_start(error: RayActorError, name: str) -> None:
    """An actor whose constructor failed does not come back by itself, and says why; one that was killed does."""
    if error.actor_init_failed:
        raise ServingUnavailable(f"the {name} cannot start again: {str(error).strip().splitlines()[-1]}") from error


def start_ray() -> bool:
    """Start a local Ray unless one runs in this process; whether it was started here."""
    if ray.is_initialized():
        return False
    spin_briefly()  # Ray's processes inherit it
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Ray's only switch for staying on loopback, off macOS and Windows; it is otherwise read when Ray is imported, which
    # would bind the choice of a program that joins a cluster later. Child processes are told the address.
    ray_constants.ENABLE_RAY_CLUSTER = False
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # it says that its token is in use
    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, configure_logging=False,
        object_store_memory=OBJECT_STORE_BYTES, _node_ip_address="127.0.0.1",
    )  # fmt: skip
    return True


def _ray_has_a_gpu() -> bool:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get("GPU", 0) >= 1


def _update_threads() -> int:
    """All cores up to MOST_THREADS: between requests serving leaves its core free."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_THREADS, num_cores)
