"""Questions in other words: what stays, what is exchanged, and what it is exchanged for."""

import random

from hypothesis import given
from hypothesis import strategies as st

from updater.rewording import fillers_of, reworded

ASKED = st.lists(st.sampled_from(["where", "is", "the", "red", "mug", "kept,", "Red", "mug's"]))
ABOUT = {"red", "Red", "mug", "mug's"}


@given(ASKED, st.lists(st.sampled_from(["who", "knows"]), max_size=2), st.integers())
def test_a_reworded_question_keeps_its_subject_and_has_no_words_but_its_own_and_the_fillers(
    words: list[str], fillers: list[str], seed: int
) -> None:
    found = reworded(" ".join(words), "red mug", fillers, random.Random(seed)).split()
    assert len(found) <= len(words)
    assert [word for word in found if word in ABOUT] == [word for word in words if word in ABOUT]
    rest = iter(words)
    assert all(word in rest for word in found if word not in fillers), "words in their order"


def test_words_of_a_reworded_question_are_exchanged_left_out_and_kept() -> None:
    found = reworded("where is the red mug " + "kept " * 1000, "red mug", ["who"], random.Random(1)).split()
    assert 0.35 < found.count("who") / 1000 < 0.45
    assert 0.4 < found.count("kept") / 1000 < 0.5


def test_fillers_are_the_words_that_questions_are_not_about() -> None:
    asked = [("What is Mira's favourite drink?", ["mira", "drink"]), ("Where is it?", [])]
    assert fillers_of(asked) == ["What", "is", "favourite", "Where", "is", "it?"]
