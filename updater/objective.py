"""The SELF-PARAM objective: forward KL against stored top-k teacher targets.

Knows: torch. Refuses to know: models, tokenizers, where targets come from.

Shapes: B = sentences, T = completion positions, V = vocabulary, K = kept teacher tokens.
Source: Wang et al., "Self-Updatable Large Language Models by Integrating Context into Model Parameters", arXiv
2410.00487, section 3: minimise KL( P_theta0(. | x, s_<t) || P_theta'(. | s_<t) ) over sentences s about the experience
x, and over unrelated sentences without x.
"""

import torch
from torch import Tensor

from memory_log.errors import EmptyMask


def top_k_targets(logits_BTV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The teacher's k most likely tokens at every position.

    Args:
        logits_BTV: teacher logits, any float dtype.
        k: tokens to keep; everything is kept when `k >= V`.

    Returns:
        teacher_logprobs_BTK: natural log-probabilities, float32, normalised over the whole vocabulary (the tail is what
            they leave of 1).
        teacher_ids_BTK: their token ids, int64.
    """
    logprobs_BTV = torch.log_softmax(logits_BTV.float(), dim=-1)
    values, ids = logprobs_BTV.topk(min(k, logits_BTV.shape[-1]), dim=-1)
    return values, ids


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
