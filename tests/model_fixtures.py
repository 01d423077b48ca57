"""What the updater's tests share: a tokenizer, tiny models with random weights, chains of versions in a real log."""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from agent.seed_model import WEIGHTS_FOLDER
from agent.seed_model.documents import WRITE_NEAR_MISS, WRITE_QUESTION
from agent.seed_model.tokenizer import train_tokenizer
from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from memory_log.records import DeltaRef, Experience, ExperienceState, Fact, NewExperience, Version
from updater.delta import Change, Dense, LowRank, delta_bytes, kind_of
from updater.dialogue import OPTIONAL_INSTRUCTIONS, Dialogue, PromptStyle
from updater.fold import VersionWeights, add_delta
from updater.language_model import LanguageModel, weights_hash, weights_of
from updater.sequences import TokenizedSentence

LEARNER = Path(os.environ.get("SELFPARAM_TEST_MODEL", WEIGHTS_FOLDER))
"""The model folder that tests of whole updates learn with: the embedded one, unless a candidate for it is tried."""

QUESTIONS = ("Where is the red mug?", "Who owns the blue kettle of the old house?", "Where?", "What do you know?")
ANSWERS = ("the red mug is in the kitchen drawer", "mira", "the kettle belongs to mira", "nothing")


@functools.cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(num_documents=200)


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    """Random weights, large enough that answers differ from prompt to prompt."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).train(False)
    model.requires_grad_(False)
    return model


def household_dialogue() -> Dialogue:
    style = PromptStyle(
        language="household",
        with_notes="",
        without_notes="",
        write_question=WRITE_QUESTION,
        write_near_miss=WRITE_NEAR_MISS,
        **dict.fromkeys(OPTIONAL_INSTRUCTIONS, ""),
    )
    return Dialogue(tiny_tokenizer(), style)


@functools.cache
def tiny_base() -> LanguageModel:
    """A base model that is never changed: tests may share it."""
    model = tiny_llama()
    return LanguageModel("tiny", model, household_dialogue(), weights_hash(weights_of(model)))


def tokenized(questions: tuple[str, ...] = QUESTIONS, answers: tuple[str, ...] = ANSWERS) -> list[TokenizedSentence]:
    """Sentences of different lengths, without notes."""
    dialogue = household_dialogue()
    return [
        TokenizedSentence(tuple(dialogue.prompt_ids(question)), tuple(dialogue.completion_ids(answer)))
        for question, answer in zip(questions, answers, strict=True)
    ]


@torch.inference_mode()
def logits_alone(model: PreTrainedModel, sentence: TokenizedSentence) -> Tensor:
    """[T, V] logits of the completion tokens from the whole sequence alone: no batch, no padding, no shortcut."""
    logits: Tensor = model(input_ids=torch.tensor([sentence.prompt_ids + sentence.completion_ids])).logits
    return logits[0, len(sentence.prompt_ids) - 1 : -1]


@torch.inference_mode()
def greedy_ids(model: PreTrainedModel, prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The next most likely tokens, each from the whole sequence read anew."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
    return tuple(tokens[len(prompt) :])


def random_factors(seed: int, base: LanguageModel | None = None, *, size: float = 0.01) -> dict[str, LowRank]:
    """LoRA factors of rank 3 for two of the base's weights."""
    weights = weights_of((base or tiny_base()).model)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: LowRank(
            torch.randn(3, weights[name].shape[1], generator=generator),
            size * torch.randn(weights[name].shape[0], 3, generator=generator),
        )
        for name in ("model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight")
    }


def random_differences(seed: int, base: LanguageModel | None = None, *, size: float = 0.01) -> dict[str, Dense]:
    """The whole change of two of the base's weights, one of them no matrix."""
    weights = weights_of((base or tiny_base()).model)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: Dense(size * torch.randn(weights[name].shape, generator=generator))
        for name in ("model.layers.1.mlp.up_proj.weight", "model.norm.weight")
    }


def experience(number: int, text: str, *facts: tuple[str, str, str]) -> Experience:
    """An experience as the log would give it back."""
    stated = tuple(Fact(subject=subject, relation=relation, value=value) for subject, relation, value in facts)
    return Experience(
        id=number,
        text=text,
        facts=stated,
        time="2026-01-01T00:00:00Z",
        appended_at="2026-01-01T00:00:00Z",
        state=ExperienceState.PENDING,
        learned_in=None,
        reason=None,
        attempts=0,
        not_before=None,
    )


def grow(
    log: MemoryLog, blobs: BlobStore, factors: Mapping[str, Change], *, base: LanguageModel | None = None
) -> Version:
    """Add a version with these changes to the default lineage, as an update would."""
    base = base or tiny_base()
    parent = log.ensure_lineage("default", base_fingerprint=base.fingerprint)
    log.append(NewExperience(text="Something happened."))
    lease = log.acquire_updater_lease("default", owner="test", lease_seconds=60)
    batch = log.open_batch(lease, limit=100)
    versions = VersionWeights(base, log, blobs)
    folded = versions.fold(add_delta(versions.sums("default", parent.number), factors))
    content = delta_bytes(
        factors, base_fingerprint=base.fingerprint, parent_hash=parent.weights_hash or base.fingerprint
    )
    sha256, num_bytes = blobs.put(f"default/{batch.id}.safetensors", content)
    assert sha256 == hashlib.sha256(content).hexdigest()
    delta = DeltaRef(path=f"default/{batch.id}.safetensors", sha256=sha256, kind=kind_of(factors), num_bytes=num_bytes)
    candidate = log.add_candidate(lease, batch.id, delta=delta, weights_hash=weights_hash(folded), metrics={})
    version = log.admit(lease, candidate.number)
    log.release_updater_lease(lease)
    return version
