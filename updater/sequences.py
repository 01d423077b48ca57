"""Prompts with completions as padded batches, and a model's logits at the completions.

Knows: padding, positions, which logits to compute. Refuses to know: objectives, what the text says.

Shapes: B = sentences, S = padded tokens of prompt + completion, T = longest completion, N = completion tokens of all
sentences, V = vocabulary, H = width of the states that a head reads.
Everything is padded on the left, so that all completions end together and only the last T + 1 logits need computing.
"""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from memory_log.errors import EmptyMask
from updater.caches import cache_argument
from updater.dialogue import left_padded
from updater.heads import PlainHead
from updater.prefixes import PASS_TOKENS


class TokenizedSentence(NamedTuple):
    """A prompt and the completion that follows it, as token ids."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


class CompletionBatch(NamedTuple):
    """A batch ready for a model; `mask_BT` is True at completion tokens, right-aligned like `completion_ids_BT`."""

    input_ids_BS: Tensor
    attention_mask_BS: Tensor
    completion_ids_BT: Tensor
    mask_BT: Tensor


def collate(sentences: Sequence[TokenizedSentence], pad_token_id: int, device: torch.device) -> CompletionBatch:
    """Pad sentences into one batch.

    Raises:
        EmptyMask: a sentence has no completion.
    """
    if not sentences or any(not sentence.completion_ids for sentence in sentences):
        raise EmptyMask("A batch needs sentences, and each of them a completion; drop empty ones before.")
    input_ids, attention_mask = left_padded([s.prompt_ids + s.completion_ids for s in sentences], pad_token_id, device)
    completion_ids, mask = left_padded([s.completion_ids for s in sentences], pad_token_id, device)
    return CompletionBatch(input_ids, attention_mask, completion_ids, mask.bool())


def completion_logits(model: PreTrainedModel, batch: CompletionBatch, prefix: DynamicCache | None = None) -> Tensor:
    """The model's logits for every completion token, given all before it: [B, T, V].

    Args:
        model: any causal LM.
        batch: what is read.
        prefix: what stands before every row of the batch and has been read already (`updater.caches.read_prefix`).
    """
    num_positions = batch.completion_ids_BT.shape[1]
    call: Any = model
    whole: nn.Module = getattr(model, "get_base_model", lambda: model)()
    names = inspect.signature(whole.forward).parameters
    options = _options(whole, batch, prefix)
    if "position_ids" not in names:  # models such as Bloom count from the mask by themselves
        del options["position_ids"]
    if "logits_to_keep" in names:
        options["logits_to_keep"] = num_positions + 1
    logits: Tensor = call(input_ids=batch.input_ids_BS, **options).logits
    return logits[:, -num_positions - 1 : -1]


def completion_states(parts: PlainHead, batch: CompletionBatch, prefix: DynamicCache | None = None) -> Tensor:
    """The states that the head makes the completion tokens' logits of, sentence by sentence: [N, H].

    Only these positions go on: not the prompts', and not the padding of shorter completions.
    """
    num_positions = batch.completion_ids_BT.shape[1]
    states_BSH = parts.states(batch.input_ids_BS, _options(parts.backbone, batch, prefix))
    return states_BSH[:, -num_positions - 1 : -1][batch.mask_BT]


def _options(module: nn.Module, batch: CompletionBatch, prefix: DynamicCache | None) -> dict[str, Any]:
    """How a batch is read: its padding masked and not counted, after what stands before every row."""
    mask_BS = batch.attention_mask_BS
    if prefix is None:
        cached: dict[str, Any] = {"use_cache": False}
    else:
        mask_BS = torch.nn.functional.pad(mask_BS, (prefix.get_seq_length(), 0), value=1)
        argument = cache_argument(module)
        assert argument is not None, "what stands before a batch was read by the same model"
        cached = {"use_cache": True, argument: prefix}
    position_ids = (mask_BS.cumsum(-1) - 1).clamp_min(0)[:, -batch.input_ids_BS.shape[1] :]
    return {"attention_mask": mask_BS, "position_ids": position_ids, **cached}


def length_buckets(lengths: Sequence[int], *, most: int) -> list[list[int]]:
    """Places of sequences in buckets that cost the fewest tokens once each is padded to its longest.

    Args:
        lengths: of the sequences, in tokens.
        most: sequences in a bucket.
    """
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    # By end: the cost of all before it, and where the last bucket begins.
    cheapest: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        starts = range(max(0, end - most), end)
        cheapest.append(min((cheapest[start][0] + (end - start) * longest + PASS_TOKENS, start) for start in starts))
    buckets, end = [], len(order)
    while end:
        start = cheapest[end][1]
        buckets.append(order[start:end])
        end = start
    return buckets[::-1]


def exact_completions(logits_BTV: Tensor, batch: CompletionBatch, end_ids_B: Tensor | None = None) -> Tensor:
    """[B] True where greedy decoding would give the whole completion: every completion token is the most likely one.

    Args:
        logits_BTV: of the completion positions.
        batch: what was asked.
        end_ids_B: another token that is right in each completion's last place.
    """
    best_BT = logits_BTV.argmax(-1)
    right_BT = best_BT == batch.completion_ids_BT
    if end_ids_B is not None:
        right_BT[:, -1] |= best_BT[:, -1] == end_ids_B.to(best_BT.device)
    return (right_BT | ~batch.mask_BT).all(-1)
