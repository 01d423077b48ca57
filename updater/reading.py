"""Reading kept: whether a model still answers from notes in its prompt as the base model does.

Knows: making questions with four notes from anchors, and which of them theta_0 answers. Refuses to know: where anchors
come from, what share is enough.
"""

import random
from collections.abc import Sequence
from typing import Final

from updater.anchors import Anchor
from updater.gate import sentence_fits
from updater.language_model import LanguageModel
from updater.targets import TeacherTargets

NUM_NOTES: Final = 4


def with_more_notes(anchors: Sequence[Anchor], rng: random.Random) -> list[Anchor]:
    """Each reading anchor with the notes of others before and after its own, four in all where there are so many."""
    pooled = []
    for anchor in anchors:
        others = [note for other in anchors for note in other.notes if note not in anchor.notes]
        added = rng.sample(others, min(len(others), max(0, NUM_NOTES - len(anchor.notes))))
        before = rng.randint(0, len(added))
        pooled.append(anchor._replace(notes=(*added[:before], *anchor.notes, *added[before:])))
    return pooled


def read_by_base(base: LanguageModel, targets: Sequence[TeacherTargets]) -> list[TeacherTargets]:
    """The questions that theta_0 answers with the anchor's completion: only those can be unlearned."""
    fits = sentence_fits(base.model, targets, base.dialogue.pad_token_id)
    return [target for target, fit in zip(targets, fits, strict=True) if fit.is_exact]
