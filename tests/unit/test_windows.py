"""Windows of long texts: all of a text is in them, no word is cut, and neighbours are read together."""

import itertools
import random
import re

import pytest

from updater.windows import windows

WORDS = "the red mug stands on a shelf beside Mira's blue kettle while rain falls outside and nobody speaks".split()  # noqa: SIM905


def num_words(text: str) -> int:
    return len(re.findall(r"\S+", text))


def story(seed: int, num_sentences: int, longest: int = 14) -> str:
    rng = random.Random(seed)
    sentences = [" ".join(rng.choices(WORDS, k=rng.randrange(2, longest))) for _ in range(num_sentences)]
    numbered = [f"{place} {said}{rng.choice('.!?')}" for place, said in enumerate(sentences)]
    return rng.choice((" ", "\n", "  ")).join(numbered)


def test_a_text_that_fits_is_its_own_only_window() -> None:
    assert windows("  One. Two.\n", num_words, most=2, overlap=0.2) == ["  One. Two.\n"]


@pytest.mark.parametrize("seed", range(25))
def test_all_of_a_text_is_in_windows_that_fit_and_sentences_stay_whole(seed: int) -> None:
    text = story(seed, 40)
    found = windows(text, num_words, most=30, overlap=0.2)
    assert len(found) > 1 and all(num_words(window) <= 30 for window in found)
    sentences = re.findall(r"\d+ [^.!?]+[.!?]", text)
    for window in found:
        assert window in text and re.findall(r"\d+ [^.!?]+[.!?]", window)
        assert re.sub(r"\s+", " ", window) == " ".join(re.findall(r"\d+ [^.!?]+[.!?]", window))
    assert set(sentences) == {said for window in found for said in re.findall(r"\d+ [^.!?]+[.!?]", window)}


@pytest.mark.parametrize("seed", range(25))
def test_two_sentences_that_stand_next_to_each_other_and_fit_together_are_read_together(seed: int) -> None:
    text = story(seed, 40)
    found = windows(text, num_words, most=30, overlap=0.2)
    sentences = re.findall(r"\d+ [^.!?]+[.!?]", text)
    for one, other in itertools.pairwise(sentences):
        assert num_words(one + " " + other) <= 30
        assert any(one in window and other in window for window in found)


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.9])
def test_windows_go_forward_whatever_they_repeat(overlap: float) -> None:
    text = story(0, 60)
    found = windows(text, num_words, most=30, overlap=overlap)
    starts = [text.index(window) for window in found]
    assert starts == sorted(set(starts))
    repeated = [num_words(a) + num_words(b) - num_words(text[i : j + len(b)])
                for a, b, i, j in zip(found, found[1:], starts, starts[1:], strict=False)]  # fmt: skip
    assert max(repeated) <= max(overlap * 30, 15)


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    text = " ".join(f"word{place}" for place in range(100)) + ". The end."
    found = windows(text, num_words, most=20, overlap=0.25)
    assert all(num_words(window) <= 20 for window in found)
    assert {word for window in found for word in window.split()} == set(text.split())
    assert "word19" in found[0].split() and "word15" in found[1].split()


def test_a_word_that_is_longer_than_a_window_gives_none_rather_than_half_a_word() -> None:
    assert windows("Say " + "a" * 50 + " again.", len, most=20, overlap=0.2) == []


def test_scripts_without_spaces_are_cut_between_characters() -> None:
    text = "我把红色的杯子放在厨房的抽屉里。" * 4 + "然后我去了花园看到很多美丽的花朵和树木还有一只猫在阳光下睡觉"
    found = windows(text, len, most=20, overlap=0.2)
    assert found and all(len(window) <= 20 for window in found)
    assert found[0] == "我把红色的杯子放在厨房的抽屉里。" and found[-1].endswith("睡觉")
