"""The KL against torch's own, by hand, and at its edges."""

import math

import pytest
import torch

from memory_log.errors import EmptyMask
from updater.objective import forward_kl, sentence_mean, top_k_targets


def logits(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3


def test_with_everything_kept_it_equals_torch_kl_div() -> None:
    teacher, student = logits(2, 3, 17, seed=0), logits(2, 3, 17, seed=1)
    expected = torch.nn.functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none"
    ).sum(-1)
    torch.testing.assert_close(forward_kl(student, *top_k_targets(teacher, 17)), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(forward_kl(student, *top_k_targets(teacher, 99)), expected, rtol=1e-5, atol=1e-5)


def test_the_tail_bucket_equals_a_kl_over_merged_tokens() -> None:
    teacher, student = logits(1, 1, 6, seed=2), logits(1, 1, 6, seed=3)
    p, q = teacher.softmax(-1).flatten(), student.softmax(-1).flatten()
    top = p.topk(2).indices
    p_tail, q_tail = 1 - p[top].sum(), 1 - q[top].sum()
    by_hand = (p[top] * (p[top] / q[top]).log()).sum() + p_tail * (p_tail / q_tail).log()
    torch.testing.assert_close(forward_kl(student, *top_k_targets(teacher, 2)).squeeze(), by_hand, rtol=1e-4, atol=1e-6)


def test_a_hand_worked_example() -> None:
    teacher = torch.log(torch.tensor([[[0.5, 0.25, 0.25]]]))
    student = torch.log(torch.tensor([[[0.25, 0.5, 0.25]]]))
    found = forward_kl(student, *top_k_targets(teacher, 3)).item()
    assert found == pytest.approx(0.5 * math.log(2) - 0.25 * math.log(2))


@pytest.mark.parametrize("k", [1, 4, 17])
def test_equal_logits_give_zero(k: int) -> None:
    same = logits(2, 5, 17, seed=4)
    assert forward_kl(same, *top_k_targets(same, k)).abs().max() < 1e-5


@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_bucket_never_exceeds_the_full_kl(k: int) -> None:
    teacher, student = logits(4, 4, 17, seed=5), logits(4, 4, 17, seed=6)
    bucketed, full = forward_kl(student, *top_k_targets(teacher, k)), forward_kl(student, *top_k_targets(teacher, 17))
    assert (bucketed <= full + 1e-5).all()
    assert (bucketed >= -1e-5).all()


def test_a_certain_teacher_gives_finite_values_and_gradients() -> None:
    teacher = torch.zeros(1, 1, 9)
    teacher[..., 3] = 200.0
    student = logits(1, 1, 9, seed=7).requires_grad_()
    loss = forward_kl(student, *top_k_targets(teacher, 4)).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_masked_tokens_get_zero_gradient() -> None:
    teacher, student = logits(2, 3, 11, seed=8), logits(2, 3, 11, seed=9).requires_grad_()
    mask = torch.tensor([[True, False, True], [False, True, False]])
    sentence_mean(forward_kl(student, *top_k_targets(teacher, 5)), mask).backward()
    assert student.grad is not None
    assert (student.grad[~mask] == 0).all()
    assert (student.grad[mask].abs().sum(-1) > 0).all()


def test_every_sentence_counts_the_same_however_long_it_is() -> None:
    kl = torch.tensor([[1.0, 1.0, 1.0], [4.0, 9.0, 9.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert sentence_mean(kl, mask).item() == pytest.approx((1.0 + 4.0) / 2)


@pytest.mark.parametrize("mask", [torch.zeros(2, 3, dtype=torch.bool), torch.zeros(0, 3, dtype=torch.bool)])
def test_an_empty_mask_is_an_error_not_nan(mask: torch.Tensor) -> None:
    with pytest.raises(EmptyMask, match="no completion token"):
        sentence_mean(torch.zeros(mask.shape), mask)
