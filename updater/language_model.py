"""A base model as this project uses it: weights, tokenizer, identity and the way it is spoken to.

Knows: loading Hugging Face causal LMs from safetensors, and their fingerprint. Refuses to know: updates, versions,
serving.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
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
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.device


def hash_tensors(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The sha256 of named tensors in the order of their names: name, dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        stored = tensor.detach().contiguous().cpu()
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
        tokenizer: Any = AutoTokenizer.from_pretrained(str(source))
        # `Any`: the auto classes return unions that no caller can use without a cast.
        load: Any = AutoModelForCausalLM.from_pretrained
        loaded: Any = load(str(source), dtype=dtype, use_safetensors=True)
        configuration, _ = PretrainedConfig.get_config_dict(str(source))
    except (OSError, ValueError, KeyError) as exc:
        raise NotAModel(
            f"{source} could not be loaded as a causal language model: {str(exc).splitlines()[0]} Give a folder that "
            "holds config.json, a tokenizer "
            "and safetensors weights, or a Hugging Face id that this machine has cached or can reach."
        ) from exc
    model: PreTrainedModel = loaded.to(torch.device(device)).eval()
    model.requires_grad_(False)
    _check_vocabulary(model, tokenizer, source)
    style = PromptStyle.for_model(folder)
    return LanguageModel(
        name=str(source), model=model, dialogue=Dialogue(tokenizer, style), fingerprint=weights_hash(weights_of(model)),
        identity=identity_of(configuration, tokenizer, style),
    )  # fmt: skip


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str | Path) -> None:
    embeddings: Any = model.get_input_embeddings()
    num_embeddings = embeddings.weight.shape[0]
    if len(tokenizer) > num_embeddings:
        raise NotAModel(
            f"{source}: the tokenizer has {len(tokenizer)} tokens, the model embeds {num_embeddings}; they do not "
            "belong together."
        )


def quiet_transformers() -> None:
    """Turn off the library's progress bars and notices: the commands have their own."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
