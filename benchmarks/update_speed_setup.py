"""What the contestants of `benchmarks.update_speed` share: the model, the experiences, the number of steps.

Knows: a model of moderate size from a configuration, with random weights, and experiences of random tokens, so that
nothing hangs on what a model has learned or how it spells. Refuses to know: how a contestant updates.
"""

import copy
import random
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from updater.adapters import trainable
from updater.sequences import TokenizedSentence
from updater.settings import UpdateSettings
from updater.targets import compute_targets, sentence_kl

PAD: Final = 0
FIRST_TOKEN: Final = 5
SEED: Final = 0
PEAKEDNESS: Final = 15.0
"""Of the final norm: 32 of 32,000 tokens then hold nineteen twentieths of what the random teacher expects."""
KEPT_TOKENS: Final = 256
"""These hold 0.994 of it. With 32, ours ended a tenth above the others' KL after contexts of 512 tokens."""


class Sizes(NamedTuple):
    """How large a model is, in numbers of a Llama's configuration."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    positions: int = 2560


MODERATE: Final = Sizes(32_000, 384, 1024, 8, 6, 6)
"""27 M parameters."""
LARGE: Final = Sizes(32_000, 768, 2048, 12, 12, 12)
"""Some 100 M parameters: large enough that a share of the peak means something."""
LLAMA_3_8B: Final = Sizes(128_256, 4096, 14_336, 32, 32, 8, 8192)
TINY: Final = Sizes(500, 32, 64, 2, 4, 2)


class Work(NamedTuple):
    """One update: sentences, each with the prompt that the teacher reads, and how long to train on them."""

    sentences: list[TokenizedSentence]
    """As the student sees them."""
    contexts: list[tuple[int, ...]]
    """For each the experience, followed by the same prompt."""
    num_experiences: int
    batch: int
    """Sentences a step."""
    num_steps: int

    @property
    def settings(self) -> UpdateSettings:
        """An update of these sentences alone: nothing held out, no replay, exactly as many steps as asked for.

        More teacher tokens are kept than by default: a random teacher's expectations are flatter than a trained one's.
        """
        return UpdateSettings(
            num_steps=self.num_steps, least_passes=0.0, batch_about=self.batch, near_miss_share=0.0, stop_kl_nats=0.0,
            learning_rate=2e-3, kept_tokens=KEPT_TOKENS,
        )  # fmt: skip


def model_of(sizes: Sizes, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LlamaForCausalLM:
    """A model with random weights whose expectations are peaked and depend on what it has read, as a trained one's."""
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.key_value_heads,
        max_position_embeddings=sizes.positions,
        initializer_range=0.4 / sizes.hidden**0.5,
        tie_word_embeddings=sizes.vocabulary < 100_000,
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(SEED)
    with torch.device(device):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            model = LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(before)
    with torch.no_grad():
        model.model.norm.weight.mul_(PEAKEDNESS)
    model.train(False).requires_grad_(False)
    return model


def work_of(
    context: int,
    *,
    seed: int,
    vocabulary: int,
    experiences: int = 2,
    sentences: int = 20,
    batch: int = 8,
    num_steps: int = 20,
    spread: int = 16,
) -> Work:
    """Random experiences of `context` tokens each, with sentences of 64 tokens on the average about each.

    Args:
        context: tokens of an experience.
        seed: of the tokens and lengths.
        vocabulary: token ids are below.
        experiences: how many.
        sentences: of each.
        batch: sentences a step.
        num_steps: steps.
        spread: prompts and completions have 32 tokens each, more or fewer by up to this.
    """
    rng = random.Random(seed)

    def some(length: int) -> tuple[int, ...]:
        return tuple(rng.randrange(FIRST_TOKEN, vocabulary) for _ in range(length))

    found, contexts = [], []
    for _ in range(experiences):
        told = some(context)
        for _ in range(sentences):
            prompt = some(32 + rng.randint(-spread, spread))
            found.append(TokenizedSentence(prompt, some(32 + rng.randint(-spread, spread))))
            contexts.append(told + prompt)
    return Work(found, contexts, experiences, batch, num_steps)


def student_of(model: PreTrainedModel, work: Work) -> tuple[PreTrainedModel, torch.optim.Optimizer]:
    """What every contestant trains, with the same start and optimiser: the factors of an update of ours."""
    torch.manual_seed(work.settings.seed)
    made = trainable(model, work.settings)
    return made.student, torch.optim.AdamW(made.groups, lr=work.settings.learning_rate, weight_decay=0.0)


def final_kl(student: PreTrainedModel, teacher: PreTrainedModel, work: Work) -> float:
    """The mean KL in nats a token over all sentences: the student's against everything that the teacher expects."""
    targets = compute_targets(teacher, work.sentences, work.contexts, k=teacher.config.vocab_size, pad_token_id=PAD)
    kl_nats: Sequence[float] = sentence_kl(student, targets, PAD)
    return sum(kl_nats) / len(kl_nats)


def copy_of(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights once more."""
    return copy.deepcopy(model)
