"""A tiny real language model, versions of it, and the slowest possible reference for what it answers."""

import functools
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from agent.actors import ServedModel
from memory_log.errors import UnknownVersion

NUM_TOKEN_IDS = 300
PAD = 0
EOS = frozenset(range(2, 12))  # several, so that random weights end answers at different lengths
NEAR_TIE = 1e-4


def tiny_model(seed: int = 0, **changes: object) -> LlamaForCausalLM:
    """A Llama with random weights, large enough ones that its best token is rarely a near tie."""
    config = LlamaConfig(
        **{
            "vocab_size": NUM_TOKEN_IDS,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "initializer_range": 0.2,
            "tie_word_embeddings": True,
            **changes,
        }
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(config).train(False)


@functools.cache
def version_weights(version: int) -> dict[str, Tensor]:
    """The weights of a version: the same for the same number, in every process."""
    return tiny_model(seed=version).state_dict()


@functools.cache
def version_model(version: int) -> LlamaForCausalLM:
    return tiny_model(seed=version)


def prompts(count: int, *, seed: int = 0, longest: int = 60) -> Iterator[tuple[int, ...]]:
    """Prompts of mixed lengths from 1 token up."""
    rng = random.Random(seed)
    for _ in range(count):
        yield tuple(rng.randrange(12, NUM_TOKEN_IDS) for _ in range(rng.randint(1, longest)))


@torch.inference_mode()
def answer_alone(
    model: PreTrainedModel, prompt: tuple[int, ...], max_new_tokens: int, eos_token_ids: Collection[int] = EOS
) -> tuple[int, ...]:
    """Greedy answer by reading everything again for every token: no cache, no batch, no padding."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + max_new_tokens:
        best = int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
        if best in eos_token_ids:
            break
        tokens.append(best)
    return tuple(tokens[len(prompt) :])


def load_served_model() -> ServedModel:
    """The base model, made in the process that asks for it."""
    return ServedModel(tiny_model(seed=0), eos_token_ids=tuple(EOS), pad_token_id=PAD)


@dataclass(frozen=True)
class FolderWeights:
    """A weights source in a folder: one safetensors file per version, and a file that names the one to serve."""

    folder: Path

    def write(self, version: int) -> None:
        state = {name: tensor for name, tensor in version_weights(version).items() if name != "lm_head.weight"}
        save_file(state, self.folder / f"{version}.safetensors")

    def serve(self, version: int) -> None:
        aside = self.folder / "serving.new"
        aside.write_text(str(version))
        aside.rename(self.folder / "serving")

    def serving_version(self) -> int:
        named = self.folder / "serving"
        return int(named.read_text()) if named.exists() else 0

    def state_dict(self, version: int) -> Mapping[str, Tensor]:
        path = self.folder / f"{version}.safetensors"
        if not path.exists():
            raise UnknownVersion(f"there is no version {version} in {self.folder}")
        return load_file(path)
