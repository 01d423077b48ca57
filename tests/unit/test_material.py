"""What an update says of itself that it cannot be measured by."""

from typing import Literal

import pytest

from tests.model_fixtures import tiny_base, tokenized
from updater.material import Material
from updater.report import NO_NEAR_MISSES, NOTHING_READ
from updater.sentences import Sentence
from updater.targets import compute_targets


@pytest.mark.parametrize(
    ("kinds", "num_read", "notes"),
    [
        (("question", "near_miss"), 1, ()),
        (("question",), 1, (NO_NEAR_MISSES,)),
        (("question", "near_miss"), 0, (NOTHING_READ,)),
        (("question",), 0, (NO_NEAR_MISSES, NOTHING_READ)),
    ],
)
def test_an_update_without_near_misses_or_without_anything_read_says_so(
    kinds: tuple[Literal["question", "near_miss"], ...], num_read: int, notes: tuple[str, ...]
) -> None:
    (said, *_) = tokenized()
    (target,) = compute_targets(tiny_base().model, [said], [said.prompt_ids], k=4, pad_token_id=0)
    material = Material(
        about=[(Sentence(1, kind, (), "Where?", "there", "red mug"), target) for kind in kinds],
        anchors=[], reading_anchors=[], contradictions=[], read=[target] * num_read, replay_questions=[],
        replay_near_misses=[], watched_replay=[], superseded={},
    )  # fmt: skip
    assert material.notes == notes
