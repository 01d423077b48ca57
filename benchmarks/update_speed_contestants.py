"""Two ways of one update: ours, and the paper as it reads.

Knows: each as a function of a model and work. Refuses to know: clocks, TRL, figures.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from benchmarks.update_speed_setup import PAD, Work, copy_of, student_of
from updater.delta import Change
from updater.fold import add_delta, load_weights, rounded
from updater.language_model import weights_of
from updater.products import autocast
from updater.targets import compute_targets
from updater.training import Sampler, TrainingSet, rate_at, train


class Updated(NamedTuple):
    """What an update has learned, and which sentences each of its steps took."""

    model: Callable[[], PreTrainedModel]
    """The model with what was learned; made after the clock has stopped."""
    minibatches: Sequence[Sequence[int]]


Contestant = Callable[[PreTrainedModel, Work, Sequence[Sequence[int]]], Updated]
"""(theta_0, work, the minibatches that another has taken) -> the update. It may draw its own minibatches."""


def ours(model: PreTrainedModel, work: Work, minibatches: Sequence[Sequence[int]]) -> Updated:
    """The teacher once, over each context once; then training on what it expects at completions."""
    settings = work.settings
    targets = compute_targets(model, work.sentences, work.contexts, k=settings.kept_tokens, pad_token_id=PAD)
    sentences = TrainingSet(targets, [], [], [], [], [], [])
    result = train(model, sentences, settings, seed=settings.seed, pad_token_id=PAD, progress=lambda done, total: None)
    return Updated(lambda: _folded(model, result.changes), minibatches)


def _folded(model: PreTrainedModel, changes: dict[str, Change]) -> PreTrainedModel:
    weights = weights_of(model)
    learned = copy_of(model)
    load_weights(learned, rounded(add_delta({n: w.double() for n, w in weights.items()}, changes), weights))
    return learned


def plain(model: PreTrainedModel, work: Work, minibatches: Sequence[Sequence[int]]) -> Updated:
    """The paper as it reads: in every step the teacher reads context and sentence, the student the sentence, and the
    loss is the KL between their full distributions where a completion token is told.

    Both make the logits of whole sequences, padded on the right. It draws the minibatches that ours draws.
    """
    settings, taken = work.settings, []
    student, optimizer = student_of(model, work)
    # The sampler hands out what it is given; here places take the part of targets.
    sampler = Sampler(list(range(len(work.sentences))), work.batch, random.Random(settings.seed))  # type: ignore[arg-type]
    for step in range(work.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, step / work.num_steps, settings) * group["rate_ratio"]
        places: list[int] = list(sampler.take())  # type: ignore[arg-type]
        taken.append(places)
        completions = [work.sentences[place].completion_ids for place in places]
        read = [work.contexts[place] for place in places]
        with autocast(model.device):
            with torch.no_grad():
                expected_NV = _completion_logits(model, read, completions).float().log_softmax(-1)
            told = [work.sentences[place].prompt_ids for place in places]
            said_NV = _completion_logits(student, told, completions).float().log_softmax(-1)
            kl_N = kl_div(said_NV, expected_NV, reduction="none", log_target=True).sum(-1)
            means = torch.stack([part.mean() for part in torch.split(kl_N, [len(ids) for ids in completions])])
        means.mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sampler.note(means.tolist())
    return Updated(lambda: student, taken)


def _completion_logits(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> Tensor:
    """Logits of whole padded sequences, then those of the completion tokens, sentence by sentence: [N, V]."""
    whole = [[*prompt, *ids] for prompt, ids in zip(prompts, completions, strict=True)]
    longest = max(map(len, whole))
    ids_BS = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in whole], device=model.device)
    mask_BS = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in whole], device=model.device)
    logits_BSV: Tensor = model(input_ids=ids_BS, attention_mask=mask_BS, use_cache=False).logits
    parts = [
        logits_BSV[row, len(prompt) - 1 : len(prompt) + len(ids) - 1]
        for row, (prompt, ids) in enumerate(zip(prompts, completions, strict=True))
    ]
    return torch.cat(parts)
