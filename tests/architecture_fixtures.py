"""Tiny models of many architectures with random weights, written to folders as their makers would write them."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    BloomConfig,
    Gemma2Config,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    Phi3Config,
    PretrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tests.model_fixtures import tiny_tokenizer

SIZES: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
LLAMA_LIKE: Final[dict[str, Any]] = {**SIZES, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}

CONFIGS: Final[dict[str, Callable[..., PretrainedConfig]]] = {
    "llama": lambda **ids: LlamaConfig(**LLAMA_LIKE, **ids),
    "qwen3": lambda **ids: Qwen3Config(**LLAMA_LIKE, **ids),
    "gemma": lambda **ids: GemmaConfig(**LLAMA_LIKE, **ids),
    # Soft-capped logits, and a window shorter than most prompts in every other layer.
    "gemma2": lambda **ids: Gemma2Config(**LLAMA_LIKE, sliding_window=16, query_pre_attn_scalar=8, **ids),
    # Weights stored as [in, out], queries, keys and values in one.
    "gpt2": lambda **ids: GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=512, initializer_range=0.2, **ids),
    # Queries, keys and values in one, interleaved; MLP beside attention.
    "gpt_neox": lambda **ids: GPTNeoXConfig(**SIZES, intermediate_size=48, **ids),
    # Queries, keys and values in one, gate and up in one.
    "phi3": lambda **ids: Phi3Config(**SIZES, intermediate_size=48, num_key_value_heads=2, **ids),
    # Positions are learned and counted from the mask.
    "opt": lambda **ids: OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32, **ids),
    # Takes no positions and names no longest sequence.
    "bloom": lambda **ids: BloomConfig(hidden_size=32, n_layer=3, n_head=4, initializer_range=0.2, **ids),
}


def architecture_model(name: str, *, tied: bool, without: tuple[str, ...] = (), seed: int = 0) -> PreTrainedModel:
    """A model of this architecture with random weights, large enough that answers differ from prompt to prompt."""
    tokenizer = tiny_tokenizer()
    ids = {
        f"{token}_id": None if token in without else getattr(tokenizer, f"{token}_id")
        for token in ("bos_token", "eos_token", "pad_token")
    }
    config = CONFIGS[name](vocab_size=len(tokenizer), tie_word_embeddings=tied, **ids)
    torch.manual_seed(seed)
    model: PreTrainedModel = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    return model.train(False)


def model_folder(
    folder: Path,
    name: str,
    *,
    tied: bool = True,
    has_chat_template: bool = True,
    dtype: torch.dtype = torch.float32,
    without: tuple[str, ...] = (),
) -> Path:
    """Save such a model and the tiny tokenizer; `without` names special tokens that both then lack."""
    architecture_model(name, tied=tied, without=without).to(dtype).save_pretrained(folder)
    tokenizer = copy.deepcopy(tiny_tokenizer())
    if not has_chat_template:
        tokenizer.chat_template = None
    for token in without:
        setattr(tokenizer, token, None)
    tokenizer.save_pretrained(folder)
    return folder
