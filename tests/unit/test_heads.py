"""The KL from the states that a head reads: what `forward_kl` gives from all logits."""

import pytest
import torch

from tests.architecture_fixtures import CONFIGS, architecture_model
from tests.model_fixtures import tiny_llama, tokenized
from updater.heads import plain_head
from updater.objective import CACHED_LOGITS, CHUNK, forward_kl, kl_of_states, top_k_targets
from updater.sequences import collate, completion_logits

CPU = torch.device("cpu")
CASES = [(5, 40, 8), (CHUNK + 11, 40, 8), (7, 40, 40), (1, 40, 1), (9, CACHED_LOGITS // 4, 32)]


def drawn(num: int, vocabulary: int, k: int, *, bias: bool) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(num)
    states = torch.randn((num, 16), generator=generator)
    head = 0.7 * torch.randn((vocabulary, 16), generator=generator)
    shift = torch.randn(vocabulary, generator=generator) if bias else None
    logprobs, ids = top_k_targets(3.0 * torch.randn((num, vocabulary), generator=generator), k)
    return states, head, shift, logprobs, ids


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("num", "vocabulary", "k"), CASES)
def test_the_kl_and_its_gradient_are_those_of_all_logits(num: int, vocabulary: int, k: int, bias: bool) -> None:
    states, head, shift, logprobs, ids = drawn(num, vocabulary, k, bias=bias)
    weights = torch.linspace(0.1, 2.0, num)
    fused, plain = states.clone().requires_grad_(), states.clone().requires_grad_()
    kl = kl_of_states(fused, head, shift, logprobs, ids)
    expected = forward_kl(torch.nn.functional.linear(plain, head, shift), logprobs, ids)
    torch.testing.assert_close(kl, expected, rtol=1e-5, atol=1e-5)
    (kl * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(fused.grad, plain.grad, rtol=1e-4, atol=1e-5)
    assert fused.grad is not None and fused.grad.abs().max() > 0.01


def test_rounded_targets_and_a_student_that_is_certain_give_finite_numbers() -> None:
    states = torch.tensor([[60.0, 0.0], [0.0, 60.0]], requires_grad=True)
    head = torch.tensor([[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0], [-4.0, -4.0]])
    logprobs = torch.tensor([[0.0, -12.0], [-0.7, -0.69]]).half().float()  # float16 may give more than 1 together
    kl = kl_of_states(states, head, None, logprobs, torch.tensor([[0, 1], [1, 0]]))
    kl.sum().backward()
    assert torch.isfinite(kl).all() and states.grad is not None and torch.isfinite(states.grad).all()


def test_without_gradient_the_same_kl_comes_out() -> None:
    states, head, shift, logprobs, ids = drawn(9, 40, 8, bias=True)
    with torch.inference_mode():
        kl = kl_of_states(states, head, shift, logprobs, ids)
    torch.testing.assert_close(kl, forward_kl(torch.nn.functional.linear(states, head, shift), logprobs, ids))


def test_no_positions_have_no_kl() -> None:
    states, head, shift, logprobs, ids = drawn(1, 40, 8, bias=True)
    assert kl_of_states(states[:0], head, shift, logprobs[:0], ids[:0]).shape == (0,)


@pytest.mark.parametrize("name", CONFIGS)
def test_states_and_head_make_the_logits_of_the_model_where_nothing_comes_after(name: str) -> None:
    model = architecture_model(name, tied=True).requires_grad_(False)
    parts = plain_head(model)
    assert (parts is None) == (name == "gemma2")
    if parts is None:
        return
    batch = collate(tokenized(), 0, CPU)
    options = {"attention_mask": batch.attention_mask_BS, "use_cache": False}
    options["position_ids"] = (batch.attention_mask_BS.cumsum(-1) - 1).clamp_min(0)
    with torch.inference_mode():
        states = parts.states(batch.input_ids_BS, options)
        logits = torch.nn.functional.linear(states, parts.weight_VH, parts.bias_V)
        expected = completion_logits(model, batch)
    made = logits[:, -batch.mask_BT.shape[1] - 1 : -1]
    torch.testing.assert_close(made[batch.mask_BT], expected[batch.mask_BT], rtol=0, atol=1e-4)


def test_logits_that_are_scaled_after_the_head_are_noticed() -> None:
    model = tiny_llama()
    assert plain_head(model) is not None
    scaled = tiny_llama()
    scaled.register_forward_hook(lambda module, given, spoken: spoken.__class__(logits=0.5 * spoken.logits))
    assert plain_head(scaled) is None


def test_a_head_that_trains_gets_its_gradient_from_all_logits() -> None:
    model = tiny_llama()
    model.lm_head.weight.requires_grad_()
    assert plain_head(model) is None
