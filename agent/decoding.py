"""Decoding of one batch by one set of weights.

Knows prompts, caches, left padding and when an answer ends. Refuses to know which version serves, threads, queues
and Ray: a batch is handed a model and requests, and every token of these requests comes from that model.
"""

# B = rows of the batch, T = positions of this step, S = positions seen so far (left padding included), V = vocabulary

import contextlib
import inspect
import math
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from agent.overlay import Overlay
from agent.sampling import GREEDY, Sampling, TokenLogprobs, draw, token_logprobs
from memory_log.errors import SelfParamError
from updater.caches import cache_argument

FinishReason = Literal["stop", "length"]
Verdict = Literal["go on", "stop", "give up"]
Watch = Callable[[int, TokenLogprobs | None], Verdict]
"""Called on the decoding thread with each token of an answer as it comes, the end not among them; it must be quick.

"stop" ends the answer with this token; "give up" ends the request unanswered, since nobody waits for it any more.
"""


class GenerationFailed(SelfParamError, RuntimeError):
    """A request was accepted, but its version could not finish the answer; other requests are not affected."""


class GenerationCancelled(SelfParamError, RuntimeError):
    """The caller has given the answer up."""


class DeadlinePassed(SelfParamError, TimeoutError):
    """The answer was not finished within the time that its caller gave it; ask again, with more time."""


class Generation(BaseModel):
    """One answer, every token of which comes from `version`.

    Example:
        Generation(token_ids=(17, 4, 9), version=3, finish_reason="stop", started_at=12.00, finished_at=12.04,
                   min_top2_gap=0.8)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_ids: tuple[int, ...]  # without the end-of-sequence token
    version: int
    finish_reason: FinishReason
    started_at: float  # monotonic seconds, when the request was bound to its version
    finished_at: float  # monotonic seconds
    min_top2_gap: float  # smallest gap between the two best logits over all steps; below 1e-4 is a near tie
    logprobs: tuple[TokenLogprobs, ...] = ()  # of every token, where they were asked for


@dataclass(eq=False)
class Request:
    """A prompt on its way to an answer, bound to one version from the start."""

    prompt_ids: tuple[int, ...]
    version: int
    max_new_tokens: int
    started_at: float
    sampling: Sampling = GREEDY
    watch: Watch | None = None
    deadline: float = math.inf  # on the server's clock
    future: "Future[Generation]" = field(default_factory=Future)
    generator: torch.Generator | None = None
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    min_top2_gap: float = math.inf
    finish_reason: FinishReason | None = None
    error: SelfParamError | None = None

    @property
    def is_finished(self) -> bool:
        return self.finish_reason is not None or self.error is not None

    def generation(self, finished_at: float) -> Generation:
        """The answer of a request that ended without an error."""
        assert self.finish_reason is not None, "the request has not ended"
        return Generation(
            token_ids=tuple(self.token_ids),
            version=self.version,
            finish_reason=self.finish_reason,
            started_at=self.started_at,
            finished_at=finished_at,
            min_top2_gap=self.min_top2_gap,
            logprobs=tuple(self.logprobs),
        )

    def choose(self, logits_V: Tensor, best_id: int) -> int:
        """The next token; `best_id` is the greedy choice."""
        if self.sampling.temperature == 0 or not bool(torch.isfinite(logits_V).all()):
            return best_id  # logits that are not finite are reported by `take`
        if self.generator is None:
            self.generator = self.sampling.generator()
        return draw(logits_V, self.sampling, self.generator)

    def take(
        self, token_id: int, top2: Sequence[float], eos_token_ids: Collection[int], logits_V: Tensor | None = None
    ) -> None:
        """Add one decoded token and end the request where this was its last one.

        Args:
            token_id: the token.
            top2: the two best logits of its position.
            eos_token_ids: tokens that end an answer.
            logits_V: all logits, where log-probabilities are kept.
        """
        best, second = top2
        if not math.isfinite(best):
            self.error = GenerationFailed(
                f"version {self.version} gave the logit {best} after {len(self.token_ids)} tokens where a finite one "
                "is needed; ask another version, and roll this one back"
            )
            return
        self.min_top2_gap = min(self.min_top2_gap, best - second)
        if token_id in eos_token_ids:
            self.finish_reason = "stop"
            return
        self.token_ids.append(token_id)
        kept = None
        if logits_V is not None and self.sampling.num_logprobs is not None:
            kept = token_logprobs(logits_V, token_id, self.sampling.num_logprobs)
            self.logprobs.append(kept)
        if len(self.token_ids) >= self.max_new_tokens:
            self.finish_reason = "length"
        if self.watch is not None:
            self._heed(self.watch, token_id, kept)

    def _heed(self, watch: Watch, token_id: int, logprobs: TokenLogprobs | None) -> None:
        try:
            verdict = watch(token_id, logprobs)
        except Exception as exc:  # noqa: BLE001 - a caller's function must not end other requests of the batch
            self.error = GenerationFailed(f"what watches this answer failed ({exc!r}); other answers go on")
            return
        if verdict == "stop":
            self.finish_reason = "stop"
        elif verdict == "give up":
            self.error = GenerationCancelled()

    def expire(self, now: float) -> bool:
        """End the request if its deadline has passed; whether it did."""
        if now < self.deadline:
            return False
        self.error = DeadlinePassed(
            f"the answer had {len(self.token_ids)} tokens when its time was over; ask again with more time, or for "
            "fewer tokens"
        )
        return True


class DecodeBatch:
    """Requests of one version that are decoded together, with a cache that nobody else reads.

    Args:
        model: Hugging Face causal LM in eval mode.
        requests: At least one, all of one version; of equal prompt lengths unless `is_plain`.
        eos_token_ids: Tokens that end an answer.
        pad_token_id: Fills up shorter prompts from the left; masked, so any valid id gives the same answers.
        is_plain: `updater.caches.has_plain_cache(model)`.
        overlay: what the version adds to the model's weights; None where it has them as they are.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        requests: Sequence[Request],
        *,
        eos_token_ids: Collection[int],
        pad_token_id: int,
        is_plain: bool,
        overlay: Overlay | None = None,
    ) -> None:
        self.requests = list(requests)
        self.version = self.requests[0].version
        self._model, self._overlay = model, overlay
        self._forward_names = frozenset(inspect.signature(model.forward).parameters)
        argument = cache_argument(model)
        assert argument is not None, "the server refuses models that take no cache"
        self._cache_argument = argument
        self._is_plain = is_plain
        self._eos_token_ids = eos_token_ids
        self._cache = DynamicCache(config=model.config)
        self._has_begun = False
        longest = max(len(request.prompt_ids) for request in self.requests)
        paddings = [longest - len(request.prompt_ids) for request in self.requests]
        rows = [[pad_token_id] * n + list(r.prompt_ids) for n, r in zip(paddings, self.requests, strict=True)]
        masks = [[0] * n + [1] * (longest - n) for n in paddings]
        self._input_BT = torch.tensor(rows, dtype=torch.long, device=model.device)
        self._mask_BS = torch.tensor(masks, dtype=torch.long, device=model.device)

    @torch.inference_mode()
    def step(self) -> list[Request]:
        """Decode one token for every request (the first step reads the prompts); return those that ended with it."""
        logits_BV = self._forward().float()
        self._has_begun = True
        top2 = logits_BV.topk(2, dim=-1)
        token_ids: list[int] = top2.indices[:, 0].tolist()
        for row, (request, values) in enumerate(zip(self.requests, top2.values.tolist(), strict=True)):
            if request.sampling.is_plain:
                request.take(token_ids[row], values, self._eos_token_ids)
            else:
                token_ids[row] = self._sampled(request, logits_BV[row], token_ids[row], values)
        self._input_BT = torch.tensor(token_ids, dtype=torch.long, device=logits_BV.device).unsqueeze(1)
        finished = self._drop_finished()
        self._mask_BS = pad(self._mask_BS, (0, 1), value=1)
        return finished

    def _sampled(self, request: Request, logits_V: Tensor, best_id: int, top2: Sequence[float]) -> int:
        """One row's token, where it is more than the best one; what fails here ends this row only."""
        try:
            token_id = request.choose(logits_V, best_id)
            request.take(token_id, top2, self._eos_token_ids, logits_V)
        except Exception as exc:  # noqa: BLE001 - the other rows go on
            request.error = GenerationFailed(f"the next token could not be drawn ({exc!r}); other answers go on")
            return best_id
        return token_id

    @torch.inference_mode()
    def expire(self, now: float) -> list[Request]:
        """End the requests whose deadline has passed, between two steps; before the first one it ends none."""
        late = [request for request in self.requests if request.expire(now)] if self._has_begun else []
        return self._drop_finished() if late else []

    def _drop_finished(self) -> list[Request]:
        kept = [row for row, request in enumerate(self.requests) if not request.is_finished]
        finished = [request for request in self.requests if request.is_finished]
        if finished and kept:
            self._keep_rows(torch.tensor(kept, device=self._input_BT.device))
        self.requests = [self.requests[row] for row in kept]
        return finished

    def _forward(self) -> Tensor:
        """Run the model over the new positions; logits_BV of the last one, which left padding makes every row's."""
        num_positions = self._input_BT.shape[1]
        options: dict[str, Any] = {}
        if "position_ids" in self._forward_names:
            # Counted from the mask, so that a row's positions do not depend on how far it was padded.
            options["position_ids"] = (self._mask_BS.cumsum(-1) - 1).clamp(min=0)[:, -num_positions:]
        if "logits_to_keep" in self._forward_names:
            options["logits_to_keep"] = 1
        with self._overlay.on() if self._overlay is not None else contextlib.nullcontext():
            output = self._model(
                input_ids=self._input_BT,
                attention_mask=self._mask_BS,
                use_cache=True,
                **{self._cache_argument: self._cache},
                **options,
            )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV

    def _keep_rows(self, rows_B: Tensor) -> None:
        """Drop ended rows, and the padding that only they needed."""
        self._cache.reorder_cache(cast(torch.LongTensor, rows_B))
        self._input_BT = self._input_BT[rows_B]
        self._mask_BS = self._mask_BS[rows_B]
        if not self._is_plain:
            return
        padding = int((self._mask_BS.sum(0).cumsum(0) == 0).sum())
        if padding:
            self._mask_BS = self._mask_BS[:, padding:]
            for layer in self._cache.layers:
                keys, values = _states(layer)
                _set_states(layer, keys[..., padding:, :], values[..., padding:, :])

    @torch.inference_mode()
    def absorb(self, other: "DecodeBatch") -> list[Request]:
        """Take over the rows of another plain batch of the same version, both past their first step; none ends."""
        assert self._is_plain and self.version == other.version, "only plain caches of one version can be merged"
        longest = max(self._mask_BS.shape[1], other._mask_BS.shape[1])
        for mine, theirs in zip(self._cache.layers, other._cache.layers, strict=True):
            # The mask already counts the token that the next step reads; the caches do not hold it yet.
            states = [_states(mine), _states(theirs)]
            keys = torch.cat([_left_pad(keys, longest - 1) for keys, _ in states])
            values = torch.cat([_left_pad(values, longest - 1) for _, values in states])
            _set_states(mine, keys, values)
        masks = [pad(batch._mask_BS, (longest - batch._mask_BS.shape[1], 0)) for batch in (self, other)]
        self._mask_BS = torch.cat(masks)
        self._input_BT = torch.cat([self._input_BT, other._input_BT])
        self.requests, other.requests = self.requests + other.requests, []
        return []


def _left_pad(states_BHSD: Tensor, length: int) -> Tensor:
    """Zeros before the first position: masked, and finite so that weight 0 times them stays 0."""
    return pad(states_BHSD, (0, 0, length - states_BHSD.shape[-2], 0))


def _states(layer: object) -> tuple[Tensor, Tensor]:
    assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
    return layer.keys, layer.values


def _set_states(layer: object, keys_BHSD: Tensor, values_BHSD: Tensor) -> None:
    assert isinstance(layer, DynamicLayer)
    layer.keys, layer.values = keys_BHSD, values_BHSD
