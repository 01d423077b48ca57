"""What makes a base model the same one, beside its weights: how it computes, how it reads, and how it is spoken to.

Knows: hashing a configuration, a tokenizer and a prompt style. Refuses to know: where the hashes are kept, who compares
them.

Files written anew by another release of a library must not count as a change, so the tokenizer is known by what it does
and not by its bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from transformers import PreTrainedTokenizerBase

from updater.dialogue import OPTIONAL_INSTRUCTIONS, PromptStyle

# Who wrote the file, and the type that weights are stored in, which loading decides anew.
_NO_MATTER: Final = frozenset({"_commit_hash", "_name_or_path", "transformers_version", "torch_dtype", "dtype"})
_WORD_MARKS: Final = ("Ġ", "▁")  # how tokenizers write the blank before a word


def identity_of(
    configuration: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, style: PromptStyle
) -> dict[str, str]:
    """A sha256 by the name of each part: what has to stay the same for stored targets and learned weights to fit.

    Args:
        configuration: what the model's `config.json` says.
        tokenizer: its vocabulary, how it splits its own words, its end and padding.
        style: only what differs from the general style counts. How sentences are to be written does not: those that
            are stored fit the model whatever it is asked to write next.
    """
    return {
        "configuration": _hash({name: value for name, value in configuration.items() if name not in _NO_MATTER}),
        "tokenizer": _hash(_behaviour(tokenizer)),
        "chat template": _hash(tokenizer.chat_template),
        "prompt style": _hash(style.model_dump(exclude_defaults=True, exclude=set(OPTIONAL_INSTRUCTIONS))),
    }


def _behaviour(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    vocabulary = sorted(tokenizer.get_vocab().items())
    words = " ".join(token for token, _ in vocabulary)
    for mark in _WORD_MARKS:
        words = words.replace(mark, " ")
    ids = tokenizer(words, return_attention_mask=False, verbose=False)["input_ids"]
    return [vocabulary, ids, tokenizer.eos_token_id, tokenizer.pad_token_id]


def _hash(part: object) -> str:
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()
