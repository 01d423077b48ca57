"""How far a model has moved from its base on text that no update is about.

Knows: unrelated prompts of every kind that the base answers, its own answers to them, and the KL over the full
vocabulary. Refuses to know: updates, methods. Entities are half made-up words, half ordinary ones that no anchor has.

Shapes: B = sentences, T = completion positions, V = vocabulary.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedModel

from agent.household.anchors import reading, stranger
from agent.household.unseen import drawer_of, talks, told
from updater.anchors import self_sampled_anchors
from updater.generation import fits, generate_texts
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence, collate, completion_logits

NUM_EACH: Final = 60
"""Sentences of each kind."""
BATCH: Final = 32
FREE_TEXT: Final = "free_text"
"""What the base writes after nothing at all. The embedded model was hardly trained to (its notes have a twentieth of
the weight of its answers), so this kind is reported, and is not in the drift that has a target."""

KINDS: Final = ("strangers", "reading", "talk", "writing", FREE_TEXT)


def unrelated_prompts(base: LanguageModel, count: int, seed: int) -> dict[str, list[list[int]]]:
    """So many prompts of each kind: questions about strangers, notes to read, talk, notes to write a question about."""
    rng, dialogue = random.Random(f"drift/{seed}"), base.dialogue
    drawers = [drawer_of(rng) for _ in range(count)]
    plain = [dialogue.prompt_ids(stranger(drawer, rng).prompt) for drawer in drawers]
    readings = [reading(drawer, rng) for drawer in drawers]
    read = [dialogue.prompt_ids(anchor.prompt, anchor.notes) for anchor in readings]
    talk = [dialogue.prompt_ids(talks(rng).question) for _ in range(count)]
    writing = [dialogue.prompt_ids(dialogue.style.write_question, told([one.fact()], one)) for one in drawers]
    found = {"strangers": plain, "reading": read, "talk": talk, "writing": writing}
    return {
        kind: [prompt for prompt in prompts if fits(prompt, base.context_length)] for kind, prompts in found.items()
    }


def unrelated_sentences(base: LanguageModel, count: int, seed: int) -> dict[str, list[TokenizedSentence]]:
    """Unrelated sentences by kind: the base's own answers, sampled, behind each prompt; and free text of its own."""
    dialogue, found = base.dialogue, dict[str, list[TokenizedSentence]]()
    for kind, prompts in unrelated_prompts(base, count, seed).items():
        said = generate_texts(base.model, dialogue, prompts, temperature=1.0, seed=seed)
        found[kind] = [
            TokenizedSentence(tuple(prompt), tuple(dialogue.completion_ids(text)))
            for prompt, text in zip(prompts, said, strict=True)
        ]
    start = dialogue.tokenizer.bos_token_id
    first = (start if start is not None else dialogue.pad_token_id,)
    free = [f"{anchor.prompt} {anchor.completion}" for anchor in self_sampled_anchors(base)(count, seed)]
    found[FREE_TEXT] = [TokenizedSentence(first, tuple(dialogue.completion_ids(text))) for text in free]
    return {kind: sentences for kind, sentences in found.items() if sentences}


def drift_nats(
    base: LanguageModel, model: PreTrainedModel, unrelated: Mapping[str, Sequence[TokenizedSentence]]
) -> dict[str, float]:
    """KL(P_base || P_model) in nats over the full vocabulary, mean over tokens: of each kind, and as `all` of all kinds
    but free text.
    """
    sums = {kind: _summed_kl(base, model, sentences) for kind, sentences in unrelated.items()}
    counted = [found for kind, found in sums.items() if kind != FREE_TEXT]
    sums["all"] = (sum(kl for kl, _ in counted), sum(count for _, count in counted))
    return {kind: kl / count for kind, (kl, count) in sums.items()}


@torch.inference_mode()
def _summed_kl(
    base: LanguageModel, model: PreTrainedModel, sentences: Sequence[TokenizedSentence]
) -> tuple[float, int]:
    """The sum of the KL over all completion tokens, and how many there are."""
    total, num_tokens = 0.0, 0
    by_length = sorted(sentences, key=lambda one: len(one.prompt_ids) + len(one.completion_ids))
    for start in range(0, len(by_length), BATCH):
        batch = collate(by_length[start : start + BATCH], base.dialogue.pad_token_id, base.device)
        base_BTV = completion_logits(base.model, batch).float().log_softmax(-1)
        model_BTV = completion_logits(model, batch).float().log_softmax(-1)
        kl_BT: Tensor = (base_BTV.exp() * (base_BTV - model_BTV)).sum(-1)
        total += float(kl_BT[batch.mask_BT].sum())
        num_tokens += int(batch.mask_BT.sum())
    return total, num_tokens
