"""Anchors: sentences unrelated to a batch, on which the model must not move.

Knows: what an anchor is, and a source that works for any model. Refuses to know: environments (the household's anchors
are the agent's).
"""

from collections.abc import Callable
from typing import NamedTuple

from updater.generation import generate_texts
from updater.language_model import LanguageModel


class Anchor(NamedTuple):
    """An unrelated prompt, with or without notes to read, and a completion.

    `words` say what it is about, so that anchors about a subject of the lineage can be left out; empty when it is about
    nothing of the kind.
    """

    notes: tuple[str, ...]
    prompt: str
    completion: str
    words: tuple[str, ...] = ()


AnchorSource = Callable[[int, int], list[Anchor]]
"""(count, seed) -> that many fresh anchors; another seed gives others."""


def self_sampled_anchors(base: LanguageModel) -> AnchorSource:
    """Anchors for any model: free samples of its own, with the second half as completion of the first.

    After "self-distillation on unrelated prompts": what a model says unprompted is what an update should leave alone.
    """

    def draw(count: int, seed: int) -> list[Anchor]:
        start = base.dialogue.tokenizer.bos_token_id
        ids = [start if start is not None else base.dialogue.pad_token_id]
        texts = generate_texts(base.model, base.dialogue, [ids] * count, temperature=1.0, seed=seed)
        anchors = []
        for text in texts:
            words = text.split()
            if len(words) >= 4:
                half = len(words) // 2
                anchors.append(Anchor((), " ".join(words[:half]), " ".join(words[half:])))
        return anchors

    return draw
