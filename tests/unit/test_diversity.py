"""Diversity: worked by hand, and bounds that hold for any texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater.diversity import distinct_share, diversities


def test_diversity_is_what_the_nearest_other_text_of_the_owner_leaves() -> None:
    texts = ["where is the mug", "where is the red mug", "who owns it", "where is the mug"]
    # Pairs of the first: where-is, is-the, the-mug; the second has two of the three, and four of its own.
    assert diversities(texts, [1, 1, 1, 2]) == pytest.approx([1 / 3, 1 - 2 / 4, 1.0, 1.0])


def test_case_and_punctuation_make_no_difference() -> None:
    assert diversities(["Where is it?", "where is it"], [1, 1]) == [0.0, 0.0]


def test_a_text_alone_is_all_its_own_and_one_without_words_too() -> None:
    assert diversities(["where is it"], [1]) == [1.0]
    assert diversities(["", "where is it", "?"], [1, 1, 1]) == [1.0, 1.0, 1.0]
    assert diversities(["mug", "mug"], [1, 1]) == [0.0, 0.0]


def test_the_distinct_share_is_different_pairs_over_all_pairs() -> None:
    assert distinct_share(["where is the mug", "where is the cup"]) == pytest.approx(4 / 6)
    assert distinct_share([]) == distinct_share([""]) == 1.0


@given(st.lists(st.tuples(st.text(alphabet="ab ", max_size=12), st.integers(1, 2)), max_size=8))
def test_all_values_are_shares_and_a_repeated_text_has_none(pairs: list[tuple[str, int]]) -> None:
    texts, owners = [text for text, _ in pairs], [owner for _, owner in pairs]
    values = diversities(texts, owners)
    assert len(values) == len(texts) and all(0.0 <= value <= 1.0 for value in values)
    assert 0.0 <= distinct_share(texts) <= 1.0
    for (text, owner), value in zip(pairs, values, strict=True):
        if text.strip() and pairs.count((text, owner)) > 1:
            assert value == 0.0
