"""The gradients of one training step, in as many pieces as memory needs.

Knows: the three terms of the objective as one weighted sum over sentences, and the student's passes. Refuses to know:
which sentences are drawn, the optimiser.

Shapes: B = sentences, T = completion positions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from updater.memory import in_pieces
from updater.objective import sentence_means
from updater.products import autocast, merged_factors
from updater.sequences import length_buckets
from updater.settings import UpdateSettings
from updater.targets import TeacherTargets, kl_of_targets


def kl_of_each(model: Any, sentences: Sequence[TeacherTargets], pad_token_id: int) -> torch.Tensor:  # noqa: ANN401
    """Every sentence's mean KL in nats a token, with gradient: [B]. Empty without sentences."""
    if not sentences:
        return torch.zeros(0, device=model.device)
    return sentence_means(*kl_of_targets(model, sentences, pad_token_id))


def mean_or_zero(kl_nats: Sequence[float]) -> float:
    """The mean over sentences; zero where there are none, such as replay in a first update."""
    return sum(kl_nats) / len(kl_nats) if kl_nats else 0.0


def mean_kl(student: Any, sentences: Sequence[TeacherTargets], pad_token_id: int, *, model: nn.Module) -> float:  # noqa: ANN401
    """The student's mean KL in nats a token over sentences that are only watched; `model` is what it was made from."""

    @torch.inference_mode()
    def watched(piece: Sequence[TeacherTargets]) -> list[float]:
        with autocast(student.device):
            return list(kl_of_each(student, piece, pad_token_id).tolist())

    pieces = in_pieces(sentences, watched, most=max(1, len(sentences)), model=model, work="training")
    return mean_or_zero([kl for _, found in pieces for kl in found])


class WeightedSentence(NamedTuple):
    """A sentence of a minibatch and its factor in the loss."""

    target: TeacherTargets
    weight: float


def weighted_sentences(
    minibatches: Sequence[Sequence[TeacherTargets]], read: Sequence[TeacherTargets], settings: UpdateSettings
) -> list[WeightedSentence]:
    """The sentences of one step, such that the objective is the sum of weight times KL over them.

    Args:
        minibatches: questions and near misses about the batch, the same two replayed, anchors.
        read: anchors with notes; one mean with the other anchors.
        settings: the weights of replay and anchors.
    """
    terms = [
        (minibatches[:2], 1.0), (minibatches[2:4], settings.replay_weight),
        (minibatches[4:], settings.anchor_weight), ([read], settings.anchor_weight),
    ]  # fmt: skip
    num_anchors = sum(map(len, minibatches[4:])) + len(read)
    nums = [sum(map(len, minibatches[:2])), sum(map(len, minibatches[2:4])), num_anchors, num_anchors]
    return [
        WeightedSentence(target, weight / num)
        for (parts, weight), num in zip(terms, nums, strict=True)
        for part in parts
        for target in part
    ]


def accumulate_gradients(
    student: Any,  # noqa: ANN401
    sentences: Sequence[WeightedSentence],
    pad_token_id: int,
    size: int,
) -> list[float]:
    """Leave the gradients of sum(weight * KL) over the sentences in the student; their KLs in nats a token.

    Sentences of like length go through the student together, so that little of it is padding. The weights are those of
    the whole minibatch, so that buckets of any size give the same gradients up to rounding.

    Args:
        student: trains; gradients of an attempt that failed are dropped first.
        sentences: of one step.
        pad_token_id: any valid id.
        size: sentences whose activations are held at once.
    """
    student.zero_grad(set_to_none=True)
    kl_nats = [0.0] * len(sentences)
    lengths = [len(prompt) + len(completion) for prompt, completion in (s.target.sentence for s in sentences)]
    with freeing_a_failed_pass(), merged_factors(student):
        for places in length_buckets(lengths, most=size):
            bucket = [sentences[place] for place in places]
            with autocast(student.device):
                kl_B = kl_of_each(student, [sentence.target for sentence in bucket], pad_token_id)
            weights_B = torch.tensor([sentence.weight for sentence in bucket], device=kl_B.device)
            (kl_B * weights_B).sum().backward()  # type: ignore[no-untyped-call]
            for place, kl in zip(places, kl_B.tolist(), strict=True):
                kl_nats[place] = kl
    return kl_nats


@contextmanager
def freeing_a_failed_pass() -> Iterator[None]:
    """After a backward pass that ran out of memory, free what it held.

    On CPUs autograd leaves the steps that it did not come to in the thread's queue, with every tensor saved for them,
    and takes the newest first. A pass through something older goes past all of them, and drops them.
    """
    older = torch.zeros((), requires_grad=True) * 1.0
    try:
        yield
    except (MemoryError, RuntimeError):
        older.backward()  # type: ignore[no-untyped-call]
        raise
