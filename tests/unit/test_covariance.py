"""The penalty on what a change adds to layers' outputs on unrelated text, against its definition."""

import copy
import random
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM, PreTrainedModel

from tests.model_fixtures import tiny_llama
from updater.adapters import trainable
from updater.covariance import change_penalty, changed_layers, factors_penalty, input_roots
from updater.sequences import TokenizedSentence
from updater.settings import Trained, UpdateSettings

PAD = 0


def tiny_gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    return GPT2LMHeadModel(config).train(False).requires_grad_(False)


def tiny_opt() -> PreTrainedModel:
    """Its MLPs read a batch flattened."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=48, word_embed_proj_dim=32,
        max_position_embeddings=64, dropout=0.0,
    )  # fmt: skip
    return OPTForCausalLM(config).train(False).requires_grad_(False)


def sentences(count: int = 12, vocabulary: int = 60) -> list[TokenizedSentence]:
    rng = random.Random(0)
    return [
        TokenizedSentence(
            tuple(rng.randrange(1, vocabulary) for _ in range(rng.randint(2, 9))),
            tuple(rng.randrange(1, vocabulary) for _ in range(rng.randint(1, 5))),
        )
        for _ in range(count)
    ]


def outputs_of(model: PreTrainedModel, layers: list[str], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    modules: dict[str, Any] = dict(model.named_modules())
    return {name: modules[name](inputs[name]) - (0 if (b := modules[name].bias) is None else b) for name in layers}


def inputs_one_by_one(model: PreTrainedModel, layers: list[str]) -> dict[str, Tensor]:
    """What each layer reads, without batches and so without padding."""
    modules, found = dict(model.named_modules()), {name: [] for name in layers}
    hooks = [
        modules[name].register_forward_pre_hook(lambda _, given, name=name: found[name].append(given[0].flatten(0, -2)))
        for name in layers
    ]
    for one in sentences():
        model(input_ids=torch.tensor([one.prompt_ids + one.completion_ids]))
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(rows) for name, rows in found.items()}


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2, tiny_opt])
@pytest.mark.parametrize("what", ["lora", "band", "full"])
def test_the_penalty_is_the_mean_squared_output_that_the_change_adds(
    make: Callable[[], PreTrainedModel], what: Literal["lora", "band", "full"]
) -> None:
    theta_n = make()
    to_train = trainable(theta_n, UpdateSettings(rank=3, trained=Trained(what=what)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in to_train.parameters:
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    layers = changed_layers(to_train.student)
    assert layers, "some layers change"
    roots = input_roots(theta_n, layers, sentences(), PAD, seed=0)
    penalty = change_penalty(to_train.student, theta_n, roots)

    changed: Any = copy.deepcopy(to_train.student)
    changed = changed.merge_and_unload() if what == "lora" else changed
    inputs = inputs_one_by_one(theta_n, layers)
    lengths = [len(one.prompt_ids) + len(one.completion_ids) for one in sentences()]
    share_N = torch.tensor([1 / length / len(lengths) for length in lengths for _ in range(length)])
    with torch.no_grad():
        before, after = (outputs_of(model, layers, inputs) for model in (theta_n, changed))
    expected = sum(
        float((after[name] - before[name]).pow(2).sum(-1) @ share_N / (before[name].pow(2).sum(-1) @ share_N))
        for name in layers
    )
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-3)
    penalty.backward()
    trained = [parameter for parameter in to_train.parameters if parameter.grad is not None]
    assert trained and all(bool(parameter.grad.abs().sum() > 0) for parameter in trained if parameter.grad is not None)


def test_a_change_that_unrelated_inputs_do_not_reach_costs_nothing() -> None:
    root = torch.zeros(4, 8)
    root[:, :4] = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    A, B = torch.zeros(2, 8), torch.ones(5, 2)
    A[:, 4:] = 1.0
    assert float(factors_penalty(A, B, root)) == 0.0
    A[:, 0] = 1.0
    assert float(factors_penalty(A, B, root)) > 0.0


def test_of_many_tokens_some_are_kept_the_same_for_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("updater.covariance.MOST_ROWS", 16)
    model = tiny_llama()
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and "down" in name]
    first, again, other = (input_roots(model, layers, sentences(), PAD, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in layers)
    assert not any(torch.equal(first[name], other[name]) for name in layers)
    assert all(root.shape[0] < 32 for root in first.values())


def test_without_unrelated_sentences_there_is_nothing_to_keep() -> None:
    model = tiny_llama()
    assert input_roots(model, ["model.layers.0.mlp.down_proj"], [], PAD, seed=0) == {}
