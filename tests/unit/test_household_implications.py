"""Implied questions: their answers follow from the facts, and from nothing else."""

import random
import re

import pytest

from agent.household import implications
from agent.household.implications import Implications, Implied, room_of
from agent.household.language import EntityDrawer, Triple

MUG = Triple("red mug", "place", "in the kitchen drawer")
OWNED = Triple("red mug", "owner", "mira")
MIRA = Triple("mira", "whereabouts", "in the garden")
KINDS = (
    implications.CONFIRMATION,
    implications.CONTENT,
    implications.PRESENCE,
    implications.BELONGINGS,
    implications.TWO_STEPS,
)


def drawn(name: str, facts: list[Triple], count: int = 300) -> list[Implied]:
    source = Implications(EntityDrawer(random.Random(0), split="train", made_up_share=0.3))
    found = [getattr(source, name)(facts) for _ in range(count)]
    return [one for one in found if one is not None]


@pytest.mark.parametrize(
    ("place", "room"),
    [
        ("in the kitchen drawer", "in the kitchen"),
        ("on the dining room table", "in the dining room"),
        ("in the kitchen", None),
        ("in the dining room", None),
    ],
)
def test_a_place_within_a_room_implies_the_room(place: str, room: str | None) -> None:
    assert room_of(place) == room


def test_a_question_about_the_right_place_or_its_room_is_confirmed_and_any_other_corrected() -> None:
    found = [one for one in drawn("confirmation", [MUG]) if "red mug" in one.question.lower()]
    verdicts = set()
    for one in found:
        if one.text == "the red mug is somewhere unknown":
            continue
        assert one.answer[1] == MUG.value
        is_right = "in the kitchen drawer" in one.question or re.search(r"in the kitchen\b(?! \w)", one.question)
        assert one.answer[0] == f"{'yes' if is_right else 'no'}, the red mug is", one
        verdicts.add(one.answer[0])
    assert len(verdicts) == 2


def test_nobody_knows_where_a_stranger_is() -> None:
    strangers = [one for one in drawn("confirmation", [MUG]) if "red mug" not in one.question.lower()]
    assert strangers and all(one.text.endswith("somewhere unknown") for one in strangers)
    assert all("unknown" in one.text for one in drawn("confirmation", []))


def test_the_content_of_a_place_is_what_was_put_there() -> None:
    answers = {one.text for one in drawn("content", [MUG, MIRA])}
    assert {"the red mug is in the kitchen drawer", "the red mug is in the kitchen", "mira is in the garden"} <= answers
    known = ("the red mug is in the kitchen", "mira is in the garden")
    assert all("unknown" in text or text.startswith(known) for text in answers)


def test_a_place_that_holds_two_things_is_not_asked_about() -> None:
    pair = [MUG, Triple("blue cup", "place", MUG.value)]
    assert not [one for one in drawn("content", pair) if "kitchen drawer" in one.question]


def test_belongings_and_the_second_step_need_the_owner() -> None:
    owned = {one.text for one in drawn("belongings", [OWNED]) if "Mira" in one.question}
    assert owned == {"the red mug belongs to mira"}
    asked = [one for one in drawn("two_steps", [OWNED, MIRA]) if "red mug" in one.question.lower()]
    assert {one.text for one in asked} == {"mira is in the garden"}
    unseen = [one for one in drawn("two_steps", [OWNED]) if "red mug" in one.question.lower()]
    assert {one.text for one in unseen} == {"mira is somewhere unknown"}
    nobody = drawn("two_steps", [MUG])
    assert all(one.text.startswith("the owner of the ") and one.text.endswith("unknown") for one in nobody)


@pytest.mark.parametrize("kind", KINDS)
def test_taught_and_held_out_phrasings_are_apart(kind: implications.ImplicationPhrasings) -> None:
    assert len(set(kind.taught)) >= 8 and kind.held_out and not set(kind.taught) & set(kind.held_out)
