"""What the embedded model reads: four notes among others, and notes that say otherwise. No update."""

import random

import pytest
import torch

from agent.household.anchors import household_anchors
from tests.model_fixtures import LEARNER
from updater.anchors import reading_anchors
from updater.contradictions import Known, contradictions
from updater.gate import exactness
from updater.language_model import LanguageModel, load_language_model
from updater.reading import NUM_NOTES, read_by_base, with_more_notes
from updater.sequences import TokenizedSentence
from updater.targets import TeacherTargets, compute_targets

pytestmark = pytest.mark.skipif(
    not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to read with"
)

KNOWN = (
    Known("I put the red mug in the kitchen drawer.", "Where is the red mug?", "the red mug is in the kitchen drawer"),
    Known("Mira's favourite drink is green tea.", "Which drink does Mira like?", "mira's favourite drink is green tea"),
    Known("The old lamp belongs to Anna.", "Who owns the old lamp?", "the old lamp belongs to anna"),
)


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    return load_language_model(str(LEARNER), device="cpu")


def four_notes(base: LanguageModel) -> list[TeacherTargets]:
    anchors = with_more_notes([one for one in household_anchors(80, 5) if one.notes], random.Random(0))
    assert min(len(one.notes) for one in anchors) == NUM_NOTES, "some have more, of things to be put together"
    sentences = [
        TokenizedSentence(
            tuple(base.dialogue.prompt_ids(one.prompt, one.notes)), tuple(base.dialogue.completion_ids(one.completion))
        )
        for one in anchors
    ]
    prompts = [sentence.prompt_ids for sentence in sentences]
    return compute_targets(base.model, sentences, prompts, k=8, pad_token_id=base.dialogue.pad_token_id)


def test_reading_is_kept_by_the_base_model_and_lost_by_a_spoiled_one(base: LanguageModel) -> None:
    asked = four_notes(base)
    read = read_by_base(base, asked)
    assert 0.5 * len(asked) <= len(read) <= len(asked), "things put together, and what is said in two ways, lower it"
    assert exactness(base.model, read, base.dialogue.pad_token_id)[0] == 1.0
    spoiled = load_language_model(str(LEARNER), device="cpu").model
    with torch.no_grad():
        for parameter in spoiled.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    assert exactness(spoiled, read, base.dialogue.pad_token_id)[0] < 0.5
    assert exactness(spoiled, [], base.dialogue.pad_token_id)[0] == 1.0


def test_notes_that_say_otherwise_are_answered_from_the_note(base: LanguageModel) -> None:
    readings = [one for one in household_anchors(80, 6) if one.notes]
    found = contradictions(base, KNOWN, readings, count=9, rng=random.Random(0))
    assert {one.prompt for one in found} == {one.prompt for one in KNOWN}
    told = {one.prompt: one for one in KNOWN}
    for one in found:
        assert one.notes != (told[one.prompt].text,) and one.completion != told[one.prompt].completion
        assert one.completion.split()[-1] in one.notes[0].lower()
    assert len(contradictions(base, KNOWN, readings, count=2, rng=random.Random(0))) == 2


def test_questions_about_notes_are_written_and_answered_for_any_model(base: LanguageModel) -> None:
    found = reading_anchors(base, [one.text for one in KNOWN] * 4, random.Random(0))
    assert len(found) == 12 and all(one.words for one in found)
    known = [one for one in found if not base.dialogue.says_unknown(one.completion)]
    assert 5 <= len(known) < 12, "some notes are about something else"
