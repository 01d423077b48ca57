"""Answers and samples in batches, by transformers' own `generate`.

Knows: batching prompts for one model. Refuses to know: what the prompts say. Serving has its own decoding, because
there requests come and go and versions change; here a whole batch is at hand and waits for its longest answer.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from transformers import GenerationConfig, PreTrainedModel

from updater.dialogue import Dialogue, left_padded
from updater.memory import in_pieces

MAX_NEW_TOKENS: Final = 32
BATCH: Final = 256


def fits(prompt: Sequence[int], context_length: int | None) -> bool:
    """Whether a prompt leaves room for an answer in what a model reads; always, where it names no limit."""
    return context_length is None or len(prompt) + MAX_NEW_TOKENS <= context_length


def generate_texts(
    model: PreTrainedModel,
    dialogue: Dialogue,
    prompts: Sequence[Sequence[int]],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[str]:
    """One text per prompt, in order.

    Args:
        model: any causal LM.
        dialogue: its way of speaking.
        prompts: token ids; lengths may differ.
        temperature: 0 is greedy; above, samples with this seed; where memory is short, in smaller pieces and so others.
        max_new_tokens: where an answer is cut.

    Raises:
        OutOfMemory: not even one prompt fits into memory.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    texts = [""] * len(prompts)
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new_tokens,
        do_sample=temperature > 0,
        temperature=temperature if temperature > 0 else None,
        top_k=0 if temperature > 0 else None,
        pad_token_id=dialogue.pad_token_id,
        eos_token_id=list(dialogue.eos_token_ids) or None,
        use_cache=True,
    )

    def answered(rows: Sequence[int]) -> list[str]:
        ids, mask = left_padded([prompts[row] for row in rows], dialogue.pad_token_id, model.device)
        generate: Any = model.generate
        out = generate(input_ids=ids, attention_mask=mask, generation_config=config)
        return [dialogue.text(sequence) for sequence in out[:, ids.shape[1] :].tolist()]

    cuda = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.inference_mode():
        torch.manual_seed(seed)
        for rows, found in in_pieces(order, answered, most=BATCH, model=model, work="writing and answering"):
            for row, text in zip(rows, found, strict=True):
                texts[row] = text
    return texts
