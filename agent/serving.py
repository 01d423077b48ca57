"""A model server that takes up new weights while it answers.

Knows versions that are loaded, requests bound to them, and one worker thread that decodes. Refuses to know where
weights come from, tokenizers, HTTP and Ray.
"""

import logging
import math
import operator
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor
from transformers import PreTrainedModel

from agent.buffers import ModelSkeleton, same_weights
from agent.decoding import Generation, GenerationCancelled, Request, Watch
from agent.overlay import Overlay, fits_over
from agent.sampling import GREEDY, Sampling
from agent.schedule import BatchSchedule
from agent.versions import LoadedVersion, LoadedVersions
from memory_log.closing import Closing
from memory_log.errors import BadInput, DeltaMismatch, NotAModel, SelfParamError
from updater.caches import has_plain_cache, reads_a_cache
from updater.delta import Change, LowRank

Result = TypeVar("Result")

_LOGGER = logging.getLogger(__name__)

CHORES_AT_ONCE = 4  # between two steps; one is a copy of a layer at most
NUM_SWAPS_KEPT = 1000  # newest entries of the statistics; a server may run for months


class ServerBusy(SelfParamError, RuntimeError):
    """As many requests wait as the server lets wait; ask again in a moment."""


class OverlayPending(SelfParamError, RuntimeError):
    """The version that serves is not merged into its weights yet; one delta at a time lies beside them."""


class ServerClosed(SelfParamError, RuntimeError):
    """The server was closed before it could answer; start another one and ask again."""


class Swap(BaseModel):
    """One change of the serving version.

    Example:
        Swap(version=3, prepare_seconds=0.021, swap_seconds=0.00002, num_in_flight=7)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    prepare_seconds: float  # beside serving: checking and copying the tensors
    swap_seconds: float  # from the call until new requests bind to the version
    num_in_flight: int  # requests bound to older versions at that moment; all of them are answered by theirs


class ServerStats(BaseModel):
    """What a server has done and holds, read at one moment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_requests: int  # accepted; each ends answered, failed or cancelled
    num_answered: int
    num_failed: int  # accepted but not answered
    num_cancelled: int  # withdrawn by the caller
    num_refused: int  # never accepted: bad input, a version that is not loaded, a full queue
    num_in_flight: int
    num_waiting: int  # of those, the ones whose decoding has not begun
    num_tokens: int
    serving_version: int
    loaded_versions: tuple[int, ...]
    swaps: tuple[Swap, ...]  # the newest NUM_SWAPS_KEPT


class ModelServer(Closing):
    """Answers prompts in batches and swaps weights between two requests, never within one.

    Args:
        model: Hugging Face causal LM with the weights of `version`; put into eval mode. It belongs to the server from
            here on: nobody else may write to its tensors.
        eos_token_ids: Tokens that end an answer.
        pad_token_id: Any valid id; it fills up shorter prompts and is masked.
        max_batch: Requests of one version that are decoded together.
        max_waiting: Most requests that wait for their first token; None bounds nothing.
        max_versions: Versions kept loaded, at least 2. The least recently used one without requests goes first;
            versions with unfinished requests stay even above this number.
        version: The number of the weights in `model`.
        clock: Monotonic seconds.

    Example:
        with ModelServer(model, eos_token_ids={2}, pad_token_id=0) as server:
            answer = server.submit([5, 17, 9]).result()
            server.prepare(1, new_state_dict)
            server.activate(1)
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        eos_token_ids: Collection[int],
        pad_token_id: int,
        max_batch: int = 16,
        max_waiting: int | None = None,
        max_versions: int = 3,
        version: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_batch < 1 or max_versions < 2:
            raise BadInput(
                f"got max_batch {max_batch} and max_versions {max_versions}; needed are at least 1 and 2 "
                "(the version that serves and the one that is made ready)"
            )
        if not reads_a_cache(model):
            raise NotAModel(
                f"{type(model).__name__} takes no cache of keys and values, so it cannot decode token by token here; "
                "use a causal language model of transformers that does"
            )
        model.train(False)
        config = model.config.get_text_config(decoder=True)
        self._max_positions: int | None = getattr(config, "max_position_embeddings", None)
        self._num_token_ids: int = config.vocab_size
        self._skeleton = ModelSkeleton(model)
        self._schedule = BatchSchedule(
            eos_token_ids=frozenset(eos_token_ids),
            pad_token_id=pad_token_id,
            max_batch=max_batch,
            is_plain=has_plain_cache(model),
        )  # used by the worker thread alone
        self._clock, self._max_waiting = clock, max_waiting

        self._changed = threading.Condition()  # guards everything below; never held during a forward pass
        self._versions = LoadedVersions(version, model, max_versions=max_versions)
        self._waiting: deque[Request] = deque()
        self._chores: deque[tuple[Callable[[], object], Future[Any]]] = deque()  # done between two steps
        self._swaps: deque[Swap] = deque(maxlen=NUM_SWAPS_KEPT)
        self._counts = dict.fromkeys(("requests", "answered", "failed", "cancelled", "refused", "tokens"), 0)
        self._is_closed = False
        self._worker = threading.Thread(target=self._decode_until_closed, name="model-server", daemon=True)
        self._worker.start()

    @property
    def is_closed(self) -> bool:
        """Whether it answers nothing any more."""
        with self._changed:
            return self._is_closed

    @property
    def has_room(self) -> bool:
        """Whether one more version could be loaded without more of them in memory than `max_versions`."""
        with self._changed:
            return self._versions.has_room

    @property
    def serving_version(self) -> int:
        """The version that new requests bind to."""
        with self._changed:
            return self._versions.serving

    def submit(
        self,
        prompt_ids: Sequence[int],
        *,
        version: int | None = None,
        max_new_tokens: int = 48,
        sampling: Sampling = GREEDY,
        watch: Watch | None = None,
        timeout_seconds: float = math.inf,
    ) -> "Future[Generation]":
        """Bind a request to a version now and return its future answer. Thread-safe; does not block on decoding.

        Args:
            prompt_ids: 1 to (the model's longest sequence - 1) token ids.
            version: A loaded version, or None for the one that serves at this moment.
            max_new_tokens: The answer ends here at the latest (`finish_reason` "length"), or where the model's
                longest sequence ends.
            sampling: How tokens are chosen; greedily by default.
            watch: Called on the decoding thread with each token as it comes, see `agent.decoding.Watch`.
            timeout_seconds: From now; a request that has not ended by then fails with `DeadlinePassed`.

        Returns:
            A future with the answer; cancelling it works until decoding has begun.

        Raises:
            BadInput: The prompt is empty, too long, or holds ids that the model does not have.
            UnknownVersion: The version is not loaded.
            ServerBusy: As many requests wait as may.
            ServerClosed: The server was closed.
            TypeError: An id is not a whole number.
        """
        prompt = tuple(map(operator.index, prompt_ids))
        with self._changed:
            try:
                if self._is_closed:
                    raise ServerClosed("this server is closed; start another one and ask again")
                max_new_tokens = self._checked_max_new_tokens(prompt, max_new_tokens)
                bound = self._versions.serving if version is None else version
                loaded = self._versions.get(bound)
                self._check_room()
            except SelfParamError:
                self._counts["refused"] += 1
                raise
            now = self._clock()
            request = Request(
                prompt, bound, max_new_tokens, started_at=now, sampling=sampling, watch=watch,
                deadline=now + timeout_seconds,
            )  # fmt: skip
            loaded.num_in_flight += 1
            self._counts["requests"] += 1
            self._waiting.append(request)
            self._changed.notify_all()
        return request.future

    def prepare(self, version: int, state_dict: Mapping[str, Tensor]) -> None:
        """Make a version ready beside the one that serves; what serves is not touched, also on failure.

        A version number always means the same weights: preparing a loaded one again with equal tensors does nothing.

        Args:
            version: Its number.
            state_dict: All weights, folded; see `ModelSkeleton.build`. Copied.

        Raises:
            DeltaMismatch: The tensors do not fit this model, or the version is loaded with other weights.
            DeltaCorrupt: A tensor holds NaN or infinity.
            ServerClosed: The server was closed.
        """
        with self._changed:
            held = self._versions.get(version) if version in self._versions.numbers else None
        if held is None:
            started = self._clock()
            built = LoadedVersion(self._skeleton.build(state_dict, version=version))
            built.prepare_seconds = self._clock() - started
            with self._changed:
                if self._is_closed:
                    raise ServerClosed(f"this server was closed before version {version} was ready; start another one")
                held = self._versions.add(version, built)
            if held is built:
                return
        if held.overlay is None and not same_weights(held.model, state_dict):
            raise DeltaMismatch(
                f"version {version} is loaded with other weights than the ones given now; numbers are never reused, "
                "give the new weights a new one"
            )

    def activate(self, version: int) -> None:
        """Let new requests bind to a prepared version; requests in flight keep theirs. Idempotent.

        Raises:
            UnknownVersion: The version is not loaded; what serves goes on serving.
        """
        started = self._clock()
        with self._changed:
            loaded = self._versions.get(version)
            if version == self._versions.serving:
                return
            self._versions.serving = version
            self._versions.release_unused()
            self._swaps.append(
                Swap(
                    version=version,
                    prepare_seconds=loaded.prepare_seconds,
                    swap_seconds=self._clock() - started,
                    num_in_flight=self._versions.num_in_flight - loaded.num_in_flight,
                )
            )

    def lay_over(self, version: int, changes: Mapping[str, Change], *, below: int) -> None:
        """Make a version ready as factors beside another one's weights: no second copy, and next to no time.

        `activate` then lets it serve, and `merge` puts it into the weights once older requests have ended.

        Args:
            version: Its number; one that is loaded already stays as it is.
            changes: What it adds to the version below.
            below: A loaded version, as a rule the one that serves.

        Raises:
            DeltaMismatch: The changes are not factors of untied linear layers; use `prepare`.
            OverlayPending: A version lies over those weights already; merge or discard it first, or use `prepare`.
            UnknownVersion: The version below is not loaded.
            ServerClosed: The server was closed.
        """
        started = self._clock()
        with self._changed:
            if version in self._versions.numbers:
                return
            model = self._versions.get(below).model
            if any(self._versions.get(one).overlay is not None for one in (below, *self._versions.sharing(below))):
                raise OverlayPending
        factors = {name: change for name, change in changes.items() if isinstance(change, LowRank)}
        if len(factors) < len(changes) or not fits_over(model, changes):
            raise DeltaMismatch(f"version {version} changes more than linear layers by factors; prepare it as a copy")
        overlay = self._between_steps(lambda: Overlay(model, factors))
        with self._changed:
            self._versions.add(version, LoadedVersion(model, overlay, prepare_seconds=self._clock() - started))

    def merge(self, version: int, folded: Callable[[str], Tensor], *, timeout_seconds: float) -> bool:
        """Overwrite the weights below a version with its own, layer by layer, a few between two steps.

        From when it begins, the versions that had those weights are no longer loaded. Where `folded` fails, the layers
        not reached keep their factors: answers go on being this version's, and merging again goes on from there.

        Args:
            version: One that was laid over; another one is merged already.
            folded: The whole weight of a layer by name. Called on this thread, one layer at a time.
            timeout_seconds: How long to wait for requests of the versions below.

        Returns:
            False where such requests, or the choice of what serves, still need the weights.

        Raises:
            UnknownVersion: The version is not loaded.
        """
        with self._changed:
            held = self._versions.get(version)
            if held.overlay is None:
                return True
            overlay = held.overlay
            if not self._changed.wait_for(lambda: not self._needed_below(version), timeout_seconds):
                return False
            for below in self._versions.sharing(version):
                self._versions.take_out(below)
        # A few layers ahead of the decoding thread: it has a step to make between two looks at what is to be done.
        under_way: deque[Future[None]] = deque()
        for name in overlay.names:
            if len(under_way) == CHORES_AT_ONCE:
                under_way.popleft().result()
            under_way.append(self._handed_over(partial(overlay.overwrite, name, folded(name))))
        for done in under_way:
            done.result()
        with self._changed:
            held.overlay = None
        return True

    def _needed_below(self, version: int) -> bool:
        return any(
            below == self._versions.serving or self._versions.look(below).num_in_flight
            for below in self._versions.sharing(version)
        )

    def discard(self, version: int, *, timeout_seconds: float) -> bool:
        """Take a version off the weights that it was laid over, after another one was activated.

        Returns:
            False where it serves, or its requests have not ended in time.
        """
        with self._changed:

            def is_unused() -> bool:
                return version != self._versions.serving and not self._versions.look(version).num_in_flight

            if version not in self._versions.numbers or self._versions.get(version).overlay is None:
                return True
            if not self._changed.wait_for(is_unused, timeout_seconds):
                return False
            overlay = self._versions.get(version).overlay
            self._versions.take_out(version)
        assert overlay is not None, "seen above, under the same lock"
        self._between_steps(overlay.remove)
        return True

    def _between_steps(self, act: Callable[[], Result]) -> Result:
        """Do something on the decoding thread while no forward pass runs, and wait for it."""
        return self._handed_over(act).result()

    def _handed_over(self, act: Callable[[], Result]) -> "Future[Result]":
        """The same without waiting."""
        done: Future[Result] = Future()
        with self._changed:
            if self._is_closed:
                raise ServerClosed("this server is closed; start another one")
            self._chores.append((act, done))
            self._changed.notify_all()
        return done

    def stats(self) -> ServerStats:
        """Return consistent figures of this moment; an answer that a caller has seen is counted."""
        with self._changed:
            counts = {f"num_{name}": count for name, count in self._counts.items()}
            return ServerStats(
                **counts,
                num_in_flight=self._versions.num_in_flight,
                num_waiting=len(self._waiting),
                serving_version=self._versions.serving,
                loaded_versions=self._versions.numbers,
                swaps=tuple(self._swaps),
            )

    def close(self) -> None:
        """Finish the answers that are being decoded, fail the ones that wait, and stop. Idempotent."""
        with self._changed:
            self._is_closed = True
            dropped = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for request in dropped:
            request.error = ServerClosed("the server was closed while this request waited; ask another server")
        self._settle([request for request in dropped if self._begin(request)])
        if threading.current_thread() is not self._worker:
            self._worker.join()

    def _check_room(self) -> None:
        if self._max_waiting is not None and len(self._waiting) >= self._max_waiting:
            raise ServerBusy(
                f"{len(self._waiting)} requests wait already, which is the most that this server lets wait; ask again "
                "in a moment"
            )

    def _checked_max_new_tokens(self, prompt: tuple[int, ...], max_new_tokens: int) -> int:
        if not prompt or max_new_tokens < 1:
            raise BadInput(
                f"got a prompt of {len(prompt)} tokens and max_new_tokens {max_new_tokens}; "
                "both must be at least 1: give the prompt some text"
            )
        outside = [token_id for token_id in prompt if not 0 <= token_id < self._num_token_ids]
        if outside:
            raise BadInput(
                f"the prompt holds the token id {outside[0]}, this model has 0 to {self._num_token_ids - 1}; "
                "use the tokenizer that belongs to the model"
            )
        if self._max_positions is None:
            return max_new_tokens
        if len(prompt) >= self._max_positions:
            raise BadInput(
                f"the prompt has {len(prompt)} tokens, this model reads at most {self._max_positions} with the "
                "answer; shorten it"
            )
        return min(max_new_tokens, self._max_positions - len(prompt))

    def _decode_until_closed(self) -> None:
        try:
            while self._let_join():
                self._settle(self._schedule.turn(self._clock()))
        except BaseException as exc:
            _LOGGER.exception("decoding has ended; every request fails from here on")
            self._fail_all(exc)

    def _fail_all(self, why: BaseException) -> None:
        """Close without the decoding thread: nobody may wait for ever."""
        with self._changed:
            self._is_closed = True
            waiting, chores = list(self._waiting), list(self._chores)
            self._waiting.clear()
            self._chores.clear()
        for request in waiting:
            request.error = ServerClosed("the server failed while this request waited; ask another server")
        self._settle([request for request in waiting if self._begin(request)] + self._schedule.give_up(repr(why)))
        for _, done in chores:
            done.set_exception(ServerClosed("the server failed; start another one"))

    def _let_join(self) -> bool:
        """Wait for work and hand what fits to the schedule; False when closed and done."""
        with self._changed:
            while not self._waiting and not self._chores and self._schedule.is_empty:
                if self._is_closed:
                    return False
                self._changed.wait()
            chores = [self._chores.popleft() for _ in range(min(CHORES_AT_ONCE, len(self._chores)))]
            now = self._clock()
            # Those that were given up make room for others at once.
            late = [one for one in self._waiting if one.future.cancelled() or one.expire(now)]
            for request in late:
                self._waiting.remove(request)
            joining: defaultdict[int, list[Request]] = defaultdict(list)
            for request in self._schedule.take_from(self._waiting):
                joining[request.version].append(request)
            held = {version: self._versions.get(version) for version in joining}
        self._settle([request for request in late if self._begin(request)])
        for version, requests in joining.items():
            begun = [request for request in requests if self._begin(request)]
            if begun:
                self._settle(self._schedule.join(held[version].model, begun, held[version].overlay))
        for act, done in chores:
            try:
                done.set_result(act())
            except Exception as exc:  # noqa: BLE001 - raised where it was asked for
                done.set_exception(exc)
        return True

    def _begin(self, request: Request) -> bool:
        """Make a request uncancellable; False where its caller has cancelled it already."""
        if request.future.set_running_or_notify_cancel():
            return True
        with self._changed:
            self._counts["cancelled"] += 1
            self._versions.unbind(request.version)
            self._changed.notify_all()
        return False

    def _settle(self, ended: Sequence[Request]) -> None:
        """Account for ended requests, release what only they held, then tell their callers."""
        finished_at = self._clock()
        with self._changed:
            for request in ended:
                self._counts[_outcome(request)] += 1
                self._counts["tokens"] += len(request.token_ids)
                self._versions.unbind(request.version)
            self._changed.notify_all()
        for request in ended:
            if request.error is not None:
                request.future.set_exception(request.error)
            else:
                request.future.set_result(request.generation(finished_at))


def _outcome(request: Request) -> str:
    if request.error is None:
        return "answered"
    return "cancelled" if isinstance(request.error, GenerationCancelled) else "failed"
