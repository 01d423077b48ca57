"""The SELF-PARAM objective: forward KL against stored top-k teacher targets.

Knows: torch. Refuses to know: models, tokenizers, where targets come from.

Shapes: B = sentences, T = completion positions, N = positions of all sentences, V = vocabulary, K = kept teacher
tokens, H = the width of the states that the head reads.
Source: Wang et al., "Self-Updatable Large Language Models by Integrating Context into Model Parameters", arXiv
2410.00487, section 3: minimise KL( P_theta0(. | x, s_<t) || P_theta'(. | s_<t) ) over sentences s about the experience
x, and over unrelated sentences without x.
"""

from typing import Any, Final

import torch
from torch import Tensor

from memory_log.errors import EmptyMask

CHUNK: Final = 256
"""Positions whose logits are held at once: enough of them for the head's products to be fast."""
CACHED_LOGITS: Final = 2**18
"""Logits that are worked on at once on a CPU, so that they stay in its cache for all that is done to them."""


def top_k_targets(logits_BTV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The teacher's k most likely tokens at every position.

    Args:
        logits_BTV: teacher logits, any float dtype; any shape before V.
        k: tokens to keep; everything is kept when `k >= V`.

    Returns:
        teacher_logprobs_BTK: natural log-probabilities, float32, normalised over the whole vocabulary (the tail is what
            they leave of 1).
        teacher_ids_BTK: their token ids, int64.
    """
    logits_BTV = logits_BTV.float()
    values, ids = logits_BTV.topk(min(k, logits_BTV.shape[-1]), dim=-1)
    return values - torch.logsumexp(logits_BTV, dim=-1, keepdim=True), ids


def forward_kl(student_logits_BTV: Tensor, teacher_logprobs_BTK: Tensor, teacher_ids_BTK: Tensor) -> Tensor:
    """KL(teacher || student) in nats at every position, with everything outside the teacher's top k as one tail bucket.

        KL = sum_k p_k (log p_k - log q_k) + p_tail (log p_tail - log q_tail),  p_tail = 1 - sum_k p_k

    Merging tokens into a bucket can only lower the KL (data processing inequality), so this is a lower bound of the
    full one; with K = V the tail is empty and it is the full one.

    Args:
        student_logits_BTV: student logits; gradients flow through them.
        teacher_logprobs_BTK: log-probabilities of the kept tokens, as `top_k_targets` gives them.
        teacher_ids_BTK: their token ids.

    Returns:
        kl_BT: nats, non-negative up to rounding.
    """
    student_logits_BTV = student_logits_BTV.float()
    log_total_BT = torch.logsumexp(student_logits_BTV, dim=-1)
    kept_BTK = student_logits_BTV.gather(-1, teacher_ids_BTK)
    teacher_BTK = teacher_logprobs_BTK.exp()
    kept_kl_BT = (teacher_BTK * (teacher_logprobs_BTK - (kept_BTK - log_total_BT.unsqueeze(-1)))).sum(-1)
    tail_BT = 1.0 - teacher_BTK.sum(-1)
    if teacher_ids_BTK.shape[-1] == student_logits_BTV.shape[-1]:
        return kept_kl_BT
    # The tail's student mass is summed over the tokens outside the top k: 1 - sum(q_k) would lose it to cancellation
    # when it is small.
    outside_BTV = student_logits_BTV.scatter(-1, teacher_ids_BTK, float("-inf"))
    log_student_tail_BT = torch.logsumexp(outside_BTV, dim=-1) - log_total_BT
    tail_BT = tail_BT.clamp_min(torch.finfo(torch.float32).tiny)
    return kept_kl_BT + tail_BT * (tail_BT.log() - log_student_tail_BT)


def sentence_means(kl_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over every sentence's completion tokens, in nats: [B].

    Args:
        kl_BT: per-position values.
        mask_BT: True at completion tokens; masked positions contribute neither value nor gradient.

    Raises:
        EmptyMask: a sentence has no completion token (its mean would be NaN), or there is no sentence.
    """
    tokens_B = mask_BT.sum(-1)
    if mask_BT.shape[0] == 0 or bool((tokens_B == 0).any()):
        raise EmptyMask(
            f"{int((tokens_B == 0).sum())} of {mask_BT.shape[0]} sentences have no completion token; "
            "drop empty completions before training."
        )
    return torch.where(mask_BT, kl_BT, 0.0).sum(-1) / tokens_B


def sentence_mean(kl_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over a sentence's completion tokens, then mean over sentences, in nats. Raises as `sentence_means` does."""
    return sentence_means(kl_BT, mask_BT).mean()


def kl_of_states(
    states_NH: Tensor,
    head_VH: Tensor,
    bias_V: Tensor | None,
    teacher_logprobs_NK: Tensor,
    teacher_ids_NK: Tensor,
) -> Tensor:
    """`forward_kl` at N positions from the states that a linear head makes logits of, without ever holding all logits.

    Logits, KL and gradient are made of a few positions at a time. With z = W h + b, q = softmax(z) and q_tail the
    student's mass outside the teacher's top k, the gradient of the KL above is

        dKL/dz_v = q_v - p_v  inside the top k,   q_v (1 - p_tail / q_tail)  outside,   dKL/dh = W^T dKL/dz

    Args:
        states_NH: what the head reads; gradients flow through them, and through nothing else.
        head_VH: the head's weights, in the type in which the products are computed; they do not train.
        bias_V: the head's bias, if it has one.
        teacher_logprobs_NK: log-probabilities of the kept tokens.
        teacher_ids_NK: their token ids.

    Returns:
        kl_N: nats, float32; empty without positions.
    """
    kl_N: Tensor = _KlOfStates.apply(states_NH, head_VH, bias_V, teacher_logprobs_NK, teacher_ids_NK)  # type: ignore[no-untyped-call]
    return kl_N


class _KlOfStates(torch.autograd.Function):
    """The gradient is made together with the KL: it needs the same logits, which are gone afterwards."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        states_NH: Tensor,
        head_VH: Tensor,
        bias_V: Tensor | None,
        teacher_logprobs_NK: Tensor,
        teacher_ids_NK: Tensor,
    ) -> Tensor:
        kl_N = states_NH.new_empty(states_NH.shape[0], dtype=torch.float32)
        trains = ctx.needs_input_grad[0]
        gradient_NH = torch.empty_like(states_NH) if trains else None
        with torch.autocast(states_NH.device.type, enabled=False):
            for start in range(0, len(states_NH), CHUNK):
                rows = slice(start, start + CHUNK)
                logits_NV = torch.nn.functional.linear(states_NH[rows].to(head_VH.dtype), head_VH, bias_V)
                kl_N[rows] = _kl_leaving_gradient(logits_NV, teacher_logprobs_NK[rows], teacher_ids_NK[rows], trains)
                if gradient_NH is not None:
                    gradient_NH[rows] = (logits_NV @ head_VH).to(gradient_NH.dtype)
        ctx.gradient_NH = gradient_NH
        return kl_N

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (grad_N,) = grad_outputs
        per_state_NH = ctx.gradient_NH
        scaled_NH = None if per_state_NH is None else per_state_NH * grad_N.unsqueeze(-1).to(per_state_NH.dtype)
        return scaled_NH, None, None, None, None


def _kl_leaving_gradient(
    logits_NV: Tensor, teacher_logprobs_NK: Tensor, teacher_ids_NK: Tensor, trains: bool
) -> Tensor:
    """The KL of some positions, [N]; where it trains, its gradient stands in the logits' place afterwards."""
    kl_N = logits_NV.new_empty(len(logits_NV), dtype=torch.float32)
    few = max(1, CACHED_LOGITS // logits_NV.shape[-1]) if logits_NV.device.type == "cpu" else len(logits_NV)
    tiny = torch.finfo(torch.float32).tiny
    for start in range(0, len(logits_NV), few):
        rows = slice(start, start + few)
        z_NV, teacher_NK, ids_NK = logits_NV[rows].float(), teacher_logprobs_NK[rows], teacher_ids_NK[rows]
        p_NK = teacher_NK.exp()
        z_NK = z_NV.gather(-1, ids_NK)
        has_tail = ids_NK.shape[-1] < z_NV.shape[-1]
        tail_N = (1.0 - p_NK.sum(-1)).clamp_min(tiny) if has_tail else torch.zeros_like(p_NK[:, 0])
        top_N = z_NV.amax(-1)
        # As in `forward_kl` the tail is summed over its own tokens; 1 - sum(q_k) would lose it to cancellation.
        e_NV = z_NV.sub_(top_N.unsqueeze(-1)).exp_().scatter_(-1, ids_NK, 0.0)
        outside_N = e_NV.sum(-1)
        log_total_N = torch.logaddexp(outside_N.log(), torch.logsumexp(z_NK - top_N.unsqueeze(-1), -1))
        log_q_NK = z_NK - (top_N + log_total_N).unsqueeze(-1)
        kl_N[rows] = (p_NK * (teacher_NK - log_q_NK)).sum(-1)
        if has_tail:
            outside_N = outside_N.clamp_min(tiny)
            kl_N[rows] += tail_N * (tail_N.log() - (outside_N.log() - log_total_N))
        if trains:
            total_N = p_NK.sum(-1) + tail_N  # 1 but for rounding
            scale_N = total_N * (-log_total_N).exp() - (tail_N / outside_N if has_tail else 0.0)
            e_NV.mul_(scale_N.unsqueeze(-1)).scatter_(-1, ids_NK, total_N.unsqueeze(-1) * log_q_NK.exp() - p_NK)
            if logits_NV.dtype != e_NV.dtype:  # otherwise it stands there already
                logits_NV[rows] = e_NV.to(logits_NV.dtype)
    return kl_N
