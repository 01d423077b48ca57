"""Which of an update's sentences are trained on, and which only measured: no sentence is both.

Knows: the held-out side of the batch, and shares of the anchors. Refuses to know: how either side is used.
"""

import random
from collections.abc import Sequence
from typing import Final

from updater.dialogue import Dialogue
from updater.gate import GateSentences
from updater.material import Material
from updater.rewording import reworded_target
from updater.targets import TeacherTargets
from updater.training import TrainingSet

NUM_GATE_ANCHORS: Final = 40


def gate_sentences(material: Material) -> GateSentences:
    """What a candidate is measured on."""
    return GateSentences(
        questions=material.of(held_out=True, kind="question"),
        near_misses=material.of(held_out=True, kind="near_miss"),
        replay=material.watched_replay,
        anchors=material.anchors[: _num_measured(material.anchors, NUM_GATE_ANCHORS)],
        read=material.read,
    )


def training_set(material: Material, dialogue: Dialogue, seed: int) -> TrainingSet:
    """What a run trains on: the batch's sentences, as they are and reworded, and all that is to be kept.

    Its `held_out` are watched only, to end training early.
    """
    rng = random.Random(seed)

    def with_reworded(*, is_near_miss: bool) -> list[TeacherTargets]:
        taught = [(s, target) for s, target in material.about if not s.held_out]
        mine = [(s, target) for s, target in taught if (s.kind == "near_miss") == is_near_miss]
        return [
            either
            for s, target in mine
            for either in (target, reworded_target(dialogue, target, s.prompt, s.subject, material.fillers, rng))
        ]

    return TrainingSet(
        questions=with_reworded(is_near_miss=False),
        near_misses=with_reworded(is_near_miss=True),
        held_out=material.of(held_out=True),
        anchors=material.anchors[_num_measured(material.anchors, NUM_GATE_ANCHORS) :],
        reading_anchors=[*material.reading_anchors, *material.contradictions],
        replay_questions=material.replay_questions,
        replay_near_misses=material.replay_near_misses,
    )


def _num_measured(anchors: Sequence[TeacherTargets], most: int) -> int:
    # Never all: without anchors in training nothing would hold the model still.
    return min(most, len(anchors) // 2)
