"""A base model as this project uses it: weights, tokenizer, identity and the way it is spoken to.

Knows: loading Hugging Face causal LMs from safetensors, and their fingerprint. Refuses to know: updates, versions,
serving.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from memory_log.errors import NotAModel
from updater.dialogue import Dialogue, PromptStyle
from updater.identity import identity_of
from updater.memory import naming_out_of_memory


@dataclass(frozen=True)
class LanguageModel:
    """A base model theta_0, ready to be asked.

    `fingerprint` names the weights: the sha256 over every tensor's name, shape, dtype and bytes. `identity` names what
    else has to stay the same, part by part (`updater/identity.py`).
    """

    name: str
    model: PreTrainedModel
    dialogue: Dialogue
    fingerprint: str
    identity: Mapping[str, str] = field(default_factory=dict)

    @property
    def context_length(self) -> int | None:
        """Most tokens that it reads, prompt and answer together; None where its configuration names no limit."""
        length: int | None = getattr(
            self.model.config.get_text_config(decoder=True), "max_position_embeddings", None
        )
        return length

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.device


def hash_tensors(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The sha256 of named tensors in the order of their names: name, dtype, shape and bytes."""
    known = dict(tensors)
    return hash_by_name(list(known), known.__getitem__)


def hash_by_name(names: Sequence[str], tensor_of: Callable[[str], Tensor]) -> str:
    """The same of tensors that are made when they are asked for, one at a time."""
    digest = hashlib.sha256()
    for name in sorted(names):
        stored = tensor_of(name).detach().contiguous().cpu()
        digest.update(f"{name} {stored.dtype} {tuple(stored.shape)}\n".encode())
        digest.update(stored.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """The model's parameters by name, tied ones once. The tensors are the model's own, not copies."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """The hash that names a version's weights."""
    return hash_tensors(weights.items())


@naming_out_of_memory("loading the model")
def load_language_model(
    source: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> LanguageModel:
    """Load a causal LM and its tokenizer from a folder or the Hugging Face hub; safetensors only.

    Args:
        source: a folder with `config.json`, tokenizer files and `*.safetensors`, or a hub id.
        device: a torch device.
        dtype: computing type; float32 on CPU keeps batched answers equal to single ones.

    Raises:
        NotAModel: nothing of the kind is there, with what was looked for and what to do.
        OutOfMemory: the weights do not fit into memory.
    """
    folder = Path(source)
    looks_like_path = folder.is_absolute() or str(source).startswith((".", "~")) or folder.exists()
    if looks_like_path and not (folder / "config.json").is_file():
        raise NotAModel(
            f"{source} is not a model folder: it has no config.json. Give a folder written by save_pretrained, or a "
            "Hugging Face id."
        )
    try:
        # Code that a model brings along is never run; by default the library would ask on the terminal.
        tokenizer: Any = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
        # `Any`: the auto classes return unions that no caller can use without a cast.
        load: Any = AutoModelForCausalLM.from_pretrained
        loaded, info = load(
            str(source), dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        configuration, _ = PretrainedConfig.get_config_dict(str(source))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as exc:
        problem = (str(exc).strip() or type(exc).__name__).splitlines()[0].rstrip(".")
        raise NotAModel(
            f"{source} could not be loaded as a causal language model: {problem}. Give a folder that holds "
            "config.json, a tokenizer and whole safetensors weights that fit the config, or a Hugging Face id that "
            "this machine has cached or can reach."
        ) from exc
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise NotAModel(
            f"{source} lacks {len(missing)} of the tensors that its config.json asks for, such as {missing[0]}; the "
            "library would fill them with random numbers. Give a folder with all weights of a causal language model."
        )
    model: PreTrainedModel = loaded.to(torch.device(device)).eval()
    model.requires_grad_(False)
    _check_vocabulary(model, tokenizer, source)
    _check_causal(model, source)
    dialogue = Dialogue(tokenizer, PromptStyle.for_model(folder), more_eos_token_ids=_generation_ends(model))
    return LanguageModel(
        name=str(source), model=model, dialogue=dialogue, fingerprint=weights_hash(weights_of(model)),
        identity=identity_of(configuration, tokenizer, dialogue.style),
    )  # fmt: skip


def _generation_ends(model: PreTrainedModel) -> list[int]:
    """The ends that the model's generation config names; chat models often have an end of turn only there."""
    ends: Any = getattr(model.generation_config, "eos_token_id", None)  # some models have no such config
    return list(ends) if isinstance(ends, (list, tuple)) else [ends] if ends is not None else []


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str | Path) -> None:
    embeddings: Any = model.get_input_embeddings()
    num_embeddings = embeddings.weight.shape[0]
    if len(tokenizer) > num_embeddings:
        raise NotAModel(
            f"{source}: the tokenizer has {len(tokenizer)} tokens, the model embeds {num_embeddings}; they do not "
            "belong together."
        )


@torch.inference_mode()
def _check_causal(model: PreTrainedModel, source: str | Path) -> None:
    """Refuse a model whose first position sees the second, such as BERT, which loads under the same name."""
    logits_BTV = model(input_ids=torch.tensor([[0, 1], [0, 2]], device=model.device)).logits
    first_BV = logits_BTV[:, 0].float()
    if not torch.allclose(first_BV[0], first_BV[1], rtol=1e-3, atol=1e-3):
        raise NotAModel(
            f"{source} is no causal language model: what {type(model).__name__} says at a word depends on the words "
            "after it. Give a model that writes from left to right, such as Llama's, Qwen's or GPT-2's kind."
        )


def quiet_transformers() -> None:
    """Turn off the library's progress bars and notices: the commands have their own."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
