"""A context that many sentences share is read once, and every sentence gets what it would get alone."""

import functools
from collections.abc import Callable

import pytest
import torch
from transformers import (
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tests.architecture_fixtures import CONFIGS, LLAMA_LIKE, SIZES, architecture_model
from tests.model_fixtures import logits_alone
from updater.caches import can_share_prefixes, read_prefix
from updater.prefixes import prefix_groups
from updater.sequences import TokenizedSentence, collate, completion_logits
from updater.targets import compute_targets

VOCABULARY = 200
# Their caches cannot be gone on from exactly: states of a convolution or a recurrence, a window, rotations by length.
UNSHARED: dict[str, Callable[[], PretrainedConfig]] = {
    "lfm2": lambda: Lfm2Config(
        **{**LLAMA_LIKE, "num_hidden_layers": 4}, vocab_size=VOCABULARY, pad_token_id=0,
        layer_types=["conv", "full_attention", "conv", "full_attention"],
    ),
    "mamba": lambda: MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4),
    "mistral": lambda: MistralConfig(**LLAMA_LIKE, vocab_size=VOCABULARY, sliding_window=24),
    "longrope": lambda: Phi3Config(
        **SIZES, intermediate_size=48, num_key_value_heads=2, vocab_size=VOCABULARY, pad_token_id=0,
        original_max_position_embeddings=64,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
            "original_max_position_embeddings": 64, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4,
        },
    ),
    "dynamic": lambda: LlamaConfig(
        **{**LLAMA_LIKE, "max_position_embeddings": 64}, vocab_size=VOCABULARY,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
    ),
}  # fmt: skip
SHARED = [name for name in CONFIGS if name != "gemma2"]


@functools.cache
def model_of(name: str) -> PreTrainedModel:
    if name in CONFIGS:
        return architecture_model(name, tied=True).requires_grad_(False)
    config = UNSHARED[name]()
    torch.manual_seed(0)
    model: PreTrainedModel = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    return model.train(False).requires_grad_(False)


def told() -> tuple[list[TokenizedSentence], list[tuple[int, ...]]]:
    """Sentences of different lengths about two experiences, each with its prompt with the experience before it."""
    generator = torch.Generator().manual_seed(0)

    def some(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, VOCABULARY, (length,), generator=generator).tolist())

    start, sentences, contexts = some(9), [], []
    for experience in (some(90), some(60)):
        for place in range(5):
            prompt = some(3 + 4 * place)
            sentences.append(TokenizedSentence(start + prompt, some(2 + 3 * (place % 3))))
            contexts.append(start + experience + prompt)
    return sentences, contexts


@pytest.mark.parametrize("name", SHARED)
def test_sentences_behind_a_shared_prefix_get_the_logits_that_they_get_alone(name: str) -> None:
    model, (sentences, contexts) = model_of(name), told()
    assert can_share_prefixes(model)
    groups = prefix_groups(contexts, most=64, sharing=True)
    assert sorted(group.num_shared for group in groups) == [69, 99]
    for group in groups:
        prefix = read_prefix(model, contexts[group.rows[0]][: group.num_shared])
        rest = [TokenizedSentence(contexts[r][group.num_shared :], sentences[r].completion_ids) for r in group.rows]
        for again in range(2):  # the prefix is as it was
            batch = collate(rest if not again else rest[::-1], 0, torch.device("cpu"))
            with torch.inference_mode():
                logits_BTV = completion_logits(model, batch, prefix)
            for place, row in enumerate(group.rows if not again else group.rows[::-1]):
                alone = logits_alone(model, TokenizedSentence(contexts[row], sentences[row].completion_ids))
                length = len(sentences[row].completion_ids)
                torch.testing.assert_close(logits_BTV[place, -length:], alone, rtol=0, atol=1e-4)


def test_rotations_that_change_with_the_length_of_the_sequence_are_not_shared() -> None:
    assert not can_share_prefixes(model_of("dynamic"))


# What a model with dynamic rotations expects depends on the other rows of a batch, however it is read.
@pytest.mark.parametrize("name", [*CONFIGS, *(name for name in UNSHARED if name != "dynamic")])
def test_targets_are_those_of_each_sentence_alone_whether_the_cache_can_be_shared_or_not(name: str) -> None:
    model, (sentences, contexts) = model_of(name), told()
    assert can_share_prefixes(model) == (name in SHARED)
    found = compute_targets(model, sentences, contexts, k=8, pad_token_id=0)
    assert [one.sentence for one in found] == sentences
    for one, context in zip(found, contexts, strict=True):
        alone = compute_targets(model, [one.sentence], [context], k=8, pad_token_id=0)[0]
        torch.testing.assert_close(one.top_logprobs_TK, alone.top_logprobs_TK, rtol=0, atol=2e-3)


def test_the_targets_of_a_group_come_from_one_reading_of_its_experience() -> None:
    model, (sentences, contexts) = model_of("llama"), told()
    compute_targets(model, sentences[:1], contexts[:1], k=8, pad_token_id=0)  # what is found out once about a model
    read: list[tuple[int, int]] = []
    handle = model.base_model.register_forward_pre_hook(
        lambda module, given, options: read.append(tuple(options["input_ids"].shape)), with_kwargs=True
    )
    try:
        compute_targets(model, sentences, contexts, k=8, pad_token_id=0)
    finally:
        handle.remove()
    assert sorted(read) == [(1, 69), (1, 99), (5, 24), (5, 24)]
