"""Contradictions: a changed note says another thing of the same kind, and everything else as before."""

import random

import pytest

from updater.anchors import Anchor
from updater.contradictions import MOST_PER_EXPERIENCE, contradictions, told_value
from updater.sentences import Sentence

MUG = "I put the red mug in the kitchen drawer."
MIRA = "I met Mira in the garden."
QUESTIONS = [
    Sentence(1, "question", (MUG,), "Where is the red mug?", "the red mug is in the kitchen drawer", "red mug"),
    Sentence(1, "question", (MUG,), "Who has seen the red mug?", "the red mug is in the kitchen drawer", "red mug"),
    Sentence(1, "question", (MUG,), "Where lies the red mug?", "the red mug is in the kitchen drawer", "red mug"),
    Sentence(2, "question", (MIRA,), "Where is Mira?", "mira is in the garden", "mira"),
]
OTHERS = [
    Anchor(("The old lamp is in the attic chest.",), "Where is the old lamp?", "the old lamp is in the attic chest"),
    Anchor(("Tomas is in the cellar.",), "Where is Tomas?", "tomas is in the cellar"),
    Anchor(("The old lamp belongs to Tomas.",), "Who owns the old lamp?", "the old lamp belongs to tomas"),
]


@pytest.mark.parametrize(
    ("prompt", "completion", "value"),
    [
        ("Where is the red mug?", "the red mug is in the kitchen drawer", ["kitchen", "drawer"]),
        ("What is Mira's favourite drink?", "mira's favourite drink is green tea", ["green", "tea"]),
        ("Who owns the mug?", "The mug belongs to Mira.", ["mira"]),
        ("Where is the mug?", "the mug", []),
    ],
)
def test_the_value_is_what_an_answer_adds_to_its_question(prompt: str, completion: str, value: list[str]) -> None:
    assert told_value(prompt, completion) == value


def test_note_and_answer_change_in_the_same_words_and_the_question_stays() -> None:
    found = contradictions(QUESTIONS, OTHERS, random.Random(0))
    about_mug = [one for one in found if "mug" in one.prompt]
    assert len(about_mug) == 3 and len(found) == 4
    assert {one.notes for one in about_mug} == {("I put the red mug in the attic chest.",)}
    assert {one.completion for one in about_mug} == {"the red mug is in the attic chest"}
    mira = next(one for one in found if "Mira" in one.prompt)
    assert mira == Anchor(("I met Mira in the cellar.",), "Where is Mira?", "mira is in the cellar", ("mira",))


def test_without_another_value_of_the_same_form_there_is_no_contradiction() -> None:
    assert contradictions(QUESTIONS, [OTHERS[2]], random.Random(0)) == []
    assert contradictions([], OTHERS, random.Random(0)) == []
    vague = Sentence(3, "question", (MUG,), "Where is the red mug?", "the red mug is", "red mug")
    assert contradictions([vague], OTHERS, random.Random(0)) == []


def test_parts_of_other_words_are_left_alone() -> None:
    note = "The garden key is in the garden, near the gardener."
    asked = Sentence(4, "question", (note,), "Where is Mira?", "mira is in the garden", "mira")
    assert contradictions([asked], OTHERS, random.Random(0))[0].notes == (
        "The cellar key is in the cellar, near the gardener.",
    )


def test_an_experience_gives_no_more_than_its_share() -> None:
    many = [QUESTIONS[0]._replace(prompt=f"Where is the red mug, {n}?") for n in range(MOST_PER_EXPERIENCE + 3)]
    assert len(contradictions(many, OTHERS, random.Random(0))) == MOST_PER_EXPERIENCE
