"""An experience as the contexts that it is read in."""

import pytest

from tests.model_fixtures import experience, tiny_base
from updater.contexts import context_about, contexts_of, most_tokens
from updater.settings import TeacherSettings

LONG = " ".join(f"I put the {colour} mug in the drawer." for colour in ("red", "blue", "green", "old", "small") * 4)


def test_two_windows_and_what_is_asked_about_them_fit_into_what_the_model_reads() -> None:
    base = tiny_base()
    most = most_tokens(base, TeacherSettings())
    assert most is not None
    window = "mug " * 1000
    ids = base.dialogue.tokenizer(window)["input_ids"][:most]
    text = base.dialogue.tokenizer.decode(ids)
    prompt = base.dialogue.prompt_ids("x", [text, text])
    assert len(prompt) + 90 <= 256 + 2


@pytest.mark.parametrize(("asked", "expected"), [(20, 20), (10_000, None)])
def test_a_window_is_never_larger_than_the_settings_or_the_model_allow(asked: int, expected: int | None) -> None:
    base = tiny_base()
    room = most_tokens(base, TeacherSettings())
    assert most_tokens(base, TeacherSettings(window_tokens=asked)) == (expected or room)


def test_what_fits_is_one_context_and_stays_the_told_experience() -> None:
    told = experience(1, "I put the red mug in the drawer.")
    assert contexts_of(tiny_base(), told, TeacherSettings()) == [told]


def test_what_is_longer_is_several_contexts_of_one_experience_and_all_of_it_is_in_them() -> None:
    told = experience(7, LONG, ("red mug", "place", "in the drawer"))
    found = contexts_of(tiny_base(), told, TeacherSettings())
    assert len(found) > 1 and {one.id for one in found} == {7} and {one.facts for one in found} == {told.facts}
    assert {word for one in found for word in one.text.split()} == set(LONG.split())
    assert found[0].text.startswith(LONG[:20]) and found[-1].text.endswith(LONG[-20:])


def test_a_word_that_is_longer_than_a_window_cannot_be_read() -> None:
    assert contexts_of(tiny_base(), experience(1, "Say " + "x1" * 400), TeacherSettings()) == []


def test_a_sentence_is_about_the_context_that_holds_its_words_and_of_equals_the_latest() -> None:
    texts = ("The red mug is in the drawer.", "Mira likes tea.", "Mira likes tea, too.")
    contexts = [experience(1, text) for text in texts]
    assert context_about(contexts, "Where is the red mug? the red mug is in the drawer").text == texts[0]
    assert context_about(contexts, "What does Mira like? Mira likes tea").text == texts[2]
