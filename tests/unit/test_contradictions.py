"""Notes that say otherwise: what in a text is exchanged, and for what."""

import random

import pytest

from tests.model_fixtures import tiny_base
from updater.anchors import Anchor
from updater.contradictions import Known, Value, another_note, contradictions, value_of


def known(text: str, prompt: str, completion: str) -> Known:
    return Known(text, prompt, completion)


MUG = known("I put the red mug in the sink.", "Where is the red mug?", "the red mug is in the sink")
LAMP = known("The old lamp is on the floor now.", "Where is the old lamp?", "the old lamp is on the floor")
DRINK = known("Mira prefers green tea as a drink.", "What does Mira drink?", "mira's favourite drink is green tea")
OWNER = known("The red mug was sold to Bo.", "Who owns the red mug?", "the red mug belongs to bo")


@pytest.mark.parametrize(
    ("one", "phrase"),
    [
        (MUG, "in the sink"),
        (LAMP, "on the floor"),
        (DRINK, "green tea"),
        (OWNER, "to bo"),
        (known("It is there.", "Where is it?", "it is there"), None),
        (known("The red mug fell.", "Where is the red mug?", "the red mug is in the sink"), None),
        (known("Is it?", "Is it?", "it is"), None),
        (known("a", "a", ""), None),
    ],
)
def test_the_value_is_the_end_of_the_answer_that_the_text_says(one: Known, phrase: str | None) -> None:
    found = value_of(one)
    assert (found and found.phrase) == phrase


def test_a_note_says_another_value_of_the_same_kind_and_nothing_else() -> None:
    values = [value for one in (MUG, LAMP, DRINK, OWNER) if (value := value_of(one)) is not None]
    assert another_note(MUG, values, random.Random(0)) == ("I put the red mug on the floor.", "on the floor")
    assert another_note(LAMP, values, random.Random(0)) == ("The old lamp is in the sink now.", "in the sink")
    assert another_note(DRINK, values[2:3], random.Random(0)) is None
    names = [Value("bo", frozenset()), Value("ann", frozenset())]
    singer = known("The singer was Bo.", "Who was the singer?", "the singer was bo")
    assert another_note(singer, names, random.Random(0)) == ("The singer was Ann.", "ann")


def test_a_value_may_hold_what_patterns_mean_by_signs() -> None:
    dotted = known(r"The key is a\1 (b.c).", "What is the key?", r"the key is a\1 (b.c)")
    value = value_of(dotted)
    assert value is not None
    other = Value(r"\g<0> x", value.frame)
    assert another_note(dotted, [other], random.Random(0)) == (r"The key is \g<0> x.", r"\g<0> x")


def test_what_the_base_model_does_not_read_as_meant_is_left_out() -> None:
    # A model with random weights repeats no note.
    reading = Anchor(("The box is on the roof.",), "Where is the box?", "the box is on the roof")
    assert contradictions(tiny_base(), [MUG, LAMP], [reading], count=9, rng=random.Random(0)) == []
    assert contradictions(tiny_base(), [], [], count=9, rng=random.Random(0)) == []
