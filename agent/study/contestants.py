"""The methods by name, and making one.

Knows: which there are, what each is, and in which protocols it means something. Refuses to know: how they learn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.study.baselines import (
    Baseline,
    RawText,
    as_cross_entropy,
    baseline_settings,
    without_anchors,
    without_replay,
)
from agent.study.methods import InContext, Learner, NoMemory, Ours, Remembering
from agent.study.records import Stream
from agent.study.retrieval import Bm25, Dense, check_encoder, minilm
from updater.language_model import LanguageModel
from updater.settings import UpdateSettings

METHODS: Final = {
    "ours": "SELF-PARAM as it ships, with its gate",
    "none": "the base model alone: the floor",
    "in_context": "the base model reads what it needs: the ceiling",
    "ce_sentences": "cross-entropy on the same sentences instead of the KL to the teacher",
    "ce_raw": "cross-entropy on the experiences' own text",
    "bm25": "retrieval by shared words into the base model's prompt",
    "dense": "retrieval by sentence embeddings into the base model's prompt",
    "fresh_lora": "one fresh LoRA on everything so far; its cost grows with the updates",
    "kl_no_anchors": "ours without anchors",
    "kl_no_replay": "ours without replay",
}
ONLY_SEQUENTIAL: Final = ("fresh_lora", "kl_no_replay")
"""With a single update they are ours."""


def check_installed(methods: Sequence[str]) -> None:
    """Say so when a method needs what is not installed.

    Raises:
        BadInput: one does.
    """
    if "dense" in methods:
        check_encoder()


def learner_of(
    method: str, base: LanguageModel, stream: Stream, settings: UpdateSettings, top: int, folder: Path, update: int
) -> Learner:
    """One method with its memory in a folder.

    Args:
        method: its name, one of `METHODS`.
        base: theta_0.
        stream: the experiences and questions.
        settings: how an update of ours is made; baselines that train are made alike.
        top: experiences that retrieval puts into a prompt.
        folder: where a method that trains keeps its log and blobs.
        update: the update that it begins with, from 1.
    """
    own = baseline_settings(method, settings, num_updates=update)
    match method:
        case "ours":
            return Ours(base, folder, settings)
        case "ce_raw":
            return RawText(base, folder, own)
        case "bm25":
            return Bm25(base, stream, top=top)
        case "dense":
            return Dense(base, stream, top=top, encode=minilm())
        case "none" | "in_context":
            plain: type[Remembering] = {"none": NoMemory, "in_context": InContext}[method]
            return plain(base, stream)
    change = {
        "ce_sentences": as_cross_entropy, "kl_no_anchors": without_anchors, "kl_no_replay": without_replay,
        "fresh_lora": without_replay,
    }[method]  # fmt: skip
    return Baseline(base, folder, own, change)
