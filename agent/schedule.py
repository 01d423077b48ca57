"""Which requests are decoded together, turn by turn.

Knows batches by version. Refuses to know threads, locks, which version serves, and where models come from.
"""

import logging
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from functools import partial

from transformers import PreTrainedModel

from agent.decoding import DecodeBatch, GenerationFailed, Request
from agent.overlay import Overlay

logger = logging.getLogger(__name__)


class BatchSchedule:
    """Continuous batching: requests join between two decode steps, and never share a batch across versions.

    Joining requests read their prompts as a batch of their own, whose cache is then merged into the running batch of
    their version. Models whose caches cannot be merged exactly decode several batches of equal prompt lengths in turn.

    Args:
        eos_token_ids, pad_token_id: As for `DecodeBatch`.
        max_batch: Requests of one version decoded at a time.
        is_plain: Whether batches can be padded and merged, see `has_plain_cache`.
    """

    def __init__(self, *, eos_token_ids: Collection[int], pad_token_id: int, max_batch: int, is_plain: bool) -> None:
        self._eos_token_ids = eos_token_ids
        self._pad_token_id = pad_token_id
        self._max_batch = max_batch
        self._is_plain = is_plain
        self._batches: list[DecodeBatch] = []

    @property
    def is_empty(self) -> bool:
        return not self._batches

    def take_from(self, waiting: "deque[Request]") -> list[Request]:
        """Remove and return the requests for which their version has room, first come first served."""
        num_rows: Counter[int] = Counter()
        for batch in self._batches:
            num_rows[batch.version] += len(batch.requests)
        taken: list[Request] = []
        left: list[Request] = []
        for request in waiting:
            has_room = num_rows[request.version] < self._max_batch
            (taken if has_room else left).append(request)
            num_rows[request.version] += has_room
        waiting.clear()
        waiting.extend(left)
        return taken

    def give_up(self, why: object) -> list[Request]:
        """End every request that has joined, and return them."""
        ended = [request for batch in self._batches for request in batch.requests]
        for request in ended:
            request.error = _failed_after(request, why)
        self._batches = []
        return ended

    def join(
        self, model: PreTrainedModel, requests: Collection[Request], overlay: Overlay | None = None
    ) -> list[Request]:
        """Let requests of one version begin with the next turn; return failed ones.

        Args:
            model: with the version's weights, or those that the overlay adds to.
            requests: of the version.
            overlay: what the version adds to the model's weights.
        """
        groups: defaultdict[int, list[Request]] = defaultdict(list)
        for request in requests:
            groups[0 if self._is_plain else len(request.prompt_ids)].append(request)
        failed: list[Request] = []
        for group in groups.values():
            failed += _guarded(partial(self._add, model, group, overlay), group)
        return failed

    def _add(self, model: PreTrainedModel, group: Sequence[Request], overlay: Overlay | None) -> list[Request]:
        self._batches.append(
            DecodeBatch(
                model,
                group,
                eos_token_ids=self._eos_token_ids,
                pad_token_id=self._pad_token_id,
                is_plain=self._is_plain,
                overlay=overlay,
            )
        )
        return []

    def turn(self, now: float = -math.inf) -> list[Request]:
        """Decode one token for every request that has joined; return the requests that ended.

        Args:
            now: the moment by which deadlines are judged.
        """
        ended: list[Request] = []
        for batch in self._batches:
            ended += _guarded(partial(batch.expire, now), batch.requests, batch)
        self._batches = [batch for batch in self._batches if batch.requests]
        merged_into: dict[int, DecodeBatch] = {}
        for batch in self._batches:
            ended += _guarded(batch.step, batch.requests, batch)
            if not batch.requests or not self._is_plain:
                continue
            running = merged_into.get(batch.version)
            if running is None or not running.requests:
                merged_into[batch.version] = batch
            else:
                ended += _guarded(partial(running.absorb, batch), running.requests + batch.requests, running, batch)
        self._batches = [batch for batch in self._batches if batch.requests]
        return ended


def _failed_after(request: Request, why: object) -> GenerationFailed:
    return GenerationFailed(
        f"version {request.version} failed after {len(request.token_ids)} tokens ({why}); ask again, or ask another "
        "version"
    )


def _guarded(act: Callable[[], list[Request]], requests: Sequence[Request], *batches: DecodeBatch) -> list[Request]:
    """Return the requests that ended; an error ends all of these requests and no others."""
    requests = list(requests)
    try:
        return act()
    except Exception as error:
        logger.exception("a batch of version %d failed, %d requests with it", requests[0].version, len(requests))
        for batch in batches:
            batch.requests = []
        for request in requests:
            request.error = _failed_after(request, repr(error))
        return requests
