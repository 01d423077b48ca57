"""Questions about made-up households, and judging answers in any wording."""

import pytest

from agent.household.language import Triple
from agent.reading_check import (
    Item,
    facts_to_tell,
    is_right,
    latest_items,
    num_right,
    reading_items,
    recall_items,
    share_asked,
    share_right,
    unknown_items,
    value_words,
)
from tests.model_fixtures import tiny_base, tiny_llama
from updater.sentences import words_of

READ = Item(("The red mug is in the kitchen drawer.", "Mira is in the garden."), "Where?", "in the kitchen drawer",
            ("in the garden",))  # fmt: skip


def test_small_words_do_not_count() -> None:
    assert value_words("in the kitchen drawer") == {"kitchen", "drawer"}
    assert value_words("lily of the valley") == {"lily", "valley"}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("the red mug is in the kitchen drawer", True),
        ("Kitchen, in the drawer!", True),
        ("It's the drawer of the KITCHEN.", True),
        ("in the kitchen", False),
        ("in the garden", False),
        ("The red mug is in the kitchen drawer. Mira is in the garden.", False),
        ("the kitchen drawer is unknown", False),
        ("", False),
    ],
)
def test_an_answer_is_right_when_it_holds_the_value_and_no_other(answer: str, right: bool) -> None:
    assert is_right(tiny_base(), READ, answer) == right


def test_where_nothing_is_known_only_unknown_is_right() -> None:
    nothing = READ._replace(right=None)
    assert is_right(tiny_base(), nothing, "That is unknown.")
    assert not is_right(tiny_base(), nothing, "in the kitchen drawer") and not is_right(tiny_base(), nothing, "")


def test_every_question_has_its_value_in_one_note_and_no_value_hides_in_another() -> None:
    for item in [*reading_items(40, num_notes=4, seed=1), *latest_items(40, seed=1)]:
        assert item.right is not None
        values = [value_words(item.right), *map(value_words, item.others)]
        assert all(values) and sum(values[0] <= set(words_of(note)) for note in item.notes) == 1
        assert not any(a <= b for a in values for b in values if a is not b)


def test_the_latest_value_stands_in_the_last_note() -> None:
    for item in latest_items(20, seed=2):
        assert item.right is not None and value_words(item.right) <= set(words_of(item.notes[-1]))


def test_a_near_miss_is_about_nothing_that_was_told() -> None:
    assert all(item.right is None and len(item.notes) == 4 for item in unknown_items(20, num_notes=4, seed=0))
    assert all(item.right is None and not item.notes for item in unknown_items(20, num_notes=0, seed=0))


def test_the_same_seed_asks_the_same_and_another_one_otherwise() -> None:
    assert reading_items(5, num_notes=1, seed=3) == reading_items(5, num_notes=1, seed=3)
    assert reading_items(5, num_notes=1, seed=3) != reading_items(5, num_notes=1, seed=4)


def test_what_is_told_can_be_asked_about_without_notes() -> None:
    (fact, text), *_ = told = facts_to_tell(3, seed=0)
    assert isinstance(fact, Triple) and value_words(fact.value) <= set(words_of(text))
    items = recall_items([fact for fact, _ in told], per_fact=2, seed=0)
    assert [item.right for item in items] == [f.value for f, _ in told for _ in range(2)]
    assert not any(item.notes for item in items)


def test_random_weights_read_and_ask_nothing() -> None:
    base, items = tiny_base(), reading_items(4, num_notes=1, seed=0)
    assert share_right(base, items) == 0.0 == share_asked(base, 4, seed=0)
    assert num_right(base, items, model=tiny_llama(seed=1)) == 0
