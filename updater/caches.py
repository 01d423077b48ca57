"""What a model keeps of the tokens that it has read, and whether others may go on from it.

Knows: the kinds of caches of Hugging Face causal LMs. Refuses to know: batches, requests, what is read.

Shapes: B = rows that go on from a prefix, H = heads, S = positions, D = head width.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

_CACHE_ARGUMENTS: Final = ("cache", "past_key_values")
# Their rotations depend on the length of the whole sequence, so that a key which was cached from a short one is not
# the key of a longer one.
_ROTATIONS_BY_LENGTH: Final = frozenset({"dynamic", "longrope"})


def has_plain_cache(model: PreTrainedModel) -> bool:
    """True where every layer caches keys and values of all positions, so that padding and merging are exact.

    Sliding windows and recurrent or convolutional states are not plain.
    """
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def cache_argument(module: nn.Module) -> str | None:
    """What a model calls the cache that it goes on from: transformers renamed it in 5.24. None where it takes none."""
    names = inspect.signature(module.forward).parameters
    return next((name for name in _CACHE_ARGUMENTS if name in names), None)


def reads_a_cache(model: PreTrainedModel) -> bool:
    """True where the model can go on from cached keys and values; recurrent states alone are none."""
    layers = DynamicCache(config=model.config).layers
    return cache_argument(model) is not None and (not layers or any(isinstance(one, DynamicLayer) for one in layers))


def can_share_prefixes(model: PreTrainedModel) -> bool:
    """True where several sequences may go on from one reading of what they begin with, and get what each would alone.

    That is where the model reads a cache, the cache is plain, every layer has one of its own, and no key depends on how
    long the sequence becomes.
    """
    if not (reads_a_cache(model) and has_plain_cache(model)):
        return False
    lends_keys = getattr(model.config.get_text_config(decoder=True), "num_kv_shared_layers", 0)
    return not lends_keys and not (_rotations(model) & _ROTATIONS_BY_LENGTH)


def _rotations(model: PreTrainedModel) -> set[str]:
    """The kinds of rotary positions that the configuration names, one for all layers or one for each kind of layer."""
    named: Any = getattr(model.config.get_text_config(decoder=True), "rope_parameters", None) or {}
    kinds = [named, *(one for one in named.values() if isinstance(one, dict))]
    return {str(kind["rope_type"]) for kind in kinds if "rope_type" in kind}


class SharedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer's keys and values of one prefix, for any number of rows that go on from it.

    What the rows add is handed to the attention and not kept: each row is read once, and keeping all layers' copies of
    the prefix would take the rows' number of times its memory.
    """

    def __init__(self, keys_1HSD: Tensor, values_1HSD: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = keys_1HSD, values_1HSD
        self.dtype, self.device = keys_1HSD.dtype, keys_1HSD.device
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *arguments: object, **options: object
    ) -> tuple[Tensor, Tensor]:
        """The prefix's states and the rows' own, one after the other: [B, H, S, D] each."""
        assert self.keys is not None and self.values is not None, "made with both"
        rows = key_states.shape[0]
        keys = torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2)
        values = torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2)
        return keys, values


@torch.inference_mode()
def read_prefix(model: PreTrainedModel, token_ids: Sequence[int]) -> DynamicCache:
    """A prefix read once, as a cache from which any number of sequences go on; it never changes.

    Args:
        model: `can_share_prefixes`.
        token_ids: what the sequences begin with, at least one token.
    """
    call: Any = model
    ids = torch.tensor([list(token_ids)], device=model.device)
    options = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    cache, argument = DynamicCache(config=model.config), cache_argument(model)
    assert argument is not None, "asked for by can_share_prefixes"
    call(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **{argument: cache}, **options)
    shared = DynamicCache()
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
        shared.layers.append(SharedLayer(layer.keys, layer.values))
    return shared
