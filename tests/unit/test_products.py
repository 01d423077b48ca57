"""The student's products with fewer passes: the same values and the same gradients as peft's."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from tests.model_fixtures import tiny_llama, tokenized
from updater.adapters import attach_lora
from updater.language_model import weights_hash, weights_of
from updater.products import _Factored, autocast, merged_factors, spare_passes
from updater.sequences import collate, completion_logits
from updater.settings import UpdateSettings

SETTINGS = UpdateSettings(rank=4, lowest_adapted=0.0)
CPU = torch.device("cpu")


def gradients_of(student: nn.Module, *, rounded: bool, merged: bool = False) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    with merged_factors(student) if merged else nullcontext():
        for piece in (tokenized()[:1], tokenized()[1:]):
            with autocast(CPU) if rounded else torch.autocast("cpu", enabled=False):
                logits = completion_logits(student, collate(piece, 0, CPU))  # type: ignore[arg-type]
            logits.float().pow(2).mean().backward()
    return logits.detach().float(), [parameter.grad for parameter in student.parameters() if parameter.grad is not None]


def student(*, spares: bool) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = attach_lora(tiny_llama(), SETTINGS)
    if spares:
        spare_passes(made)
    return made


def test_a_student_that_spares_passes_is_no_further_from_the_exact_values_and_gradients_than_without() -> None:
    def whole(found: tuple[torch.Tensor, list[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        return found[0], torch.cat([gradient.flatten() for gradient in found[1]])

    exact = whole(gradients_of(student(spares=False), rounded=False))
    usual = whole(gradients_of(student(spares=False), rounded=True))
    spared = whole(gradients_of(student(spares=True), rounded=True))
    merged = whole(gradients_of(student(spares=True), rounded=True, merged=True))
    for one, other, right in [*zip(spared, usual, exact, strict=True), *zip(merged, usual, exact, strict=True)]:
        # bfloat16, where the processor has units for it, rounds both; elsewhere only the order of sums differs.
        assert float((one - right).norm()) < 1.5 * float((other - right).norm()) + 1e-5 * float(right.norm())
        assert float((one - right).norm()) < 0.1 * float(right.norm())


@pytest.mark.parametrize("has_bias", [True, False])
def test_the_product_with_factors_has_the_gradient_of_the_formula(has_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x, A, B = drawn(2, 3, 5).requires_grad_(), drawn(2, 5).requires_grad_(), drawn(4, 2).requires_grad_()
    weight, bias = drawn(4, 5), drawn(4) if has_bias else None
    made = _Factored.apply(x, weight, bias, A, B)
    expected = torch.nn.functional.linear(x, weight, bias) + x @ A.T @ B.T
    torch.testing.assert_close(made, expected)
    torch.autograd.gradcheck(lambda x, A, B: _Factored.apply(x, weight, bias, A, B), (x, A, B))


def test_the_model_that_a_student_was_made_of_keeps_its_weights_to_the_bit() -> None:
    model = tiny_llama()
    before = weights_hash(weights_of(model))
    made = attach_lora(model, SETTINGS)
    spare_passes(made)
    assert weights_hash(weights_of(model)) == before
    embeddings = made.get_base_model().get_input_embeddings().weight
    assert embeddings.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_only_layers_that_are_small_beside_their_factors_are_merged_and_only_for_a_while() -> None:
    made = student(spares=True)
    layers = [module for module in made.modules() if hasattr(module, "merged_OI")]
    assert layers and all(layer.may_merge for layer in layers)
    with merged_factors(made):
        assert all(layer.merged_OI is not None for layer in layers)
    assert all(layer.merged_OI is None for layer in layers)
    with pytest.raises(MemoryError), merged_factors(made):
        raise MemoryError
    assert all(layer.merged_OI is None for layer in layers)
    thin = attach_lora(tiny_llama(), SETTINGS.model_copy(update={"rank": 1}))
    spare_passes(thin)
    assert not any(layer.may_merge for layer in thin.modules() if hasattr(layer, "merged_OI"))
