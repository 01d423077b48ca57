"""Text while it comes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.text_stream import TextStream
from tests.model_fixtures import tiny_tokenizer

TEXT = "the red mug is in the kitchen drawer, says Zoë; hojäjan 🙂 and more"


def _ids(text: str) -> list[int]:
    ids: list[int] = tiny_tokenizer()(text, add_special_tokens=False)["input_ids"]
    return ids


def _pieces(ids: list[int], stop: list[str]) -> tuple[list[str], bool]:
    stream = TextStream(tiny_tokenizer(), stop)
    pieces = [stream.push(token_id) for token_id in ids]
    return [*pieces, stream.finish()], stream.is_stopped


def test_pieces_are_the_whole_text_and_never_half_a_letter() -> None:
    ids = _ids(TEXT)
    pieces, is_stopped = _pieces(ids, [])
    assert "".join(pieces) == tiny_tokenizer().decode(ids)
    assert not is_stopped and "\ufffd" not in "".join(pieces)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 9))
def test_random_tokens_give_what_decoding_them_at_once_gives(seed: int, count: int) -> None:
    rng = random.Random(seed)
    ids = [rng.randrange(len(tiny_tokenizer())) for _ in range(count)]
    assert "".join(_pieces(ids, [])[0]) == tiny_tokenizer().decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("stop", ["mug", " is in", "drawer", "n the k", ","])
def test_nothing_of_a_stop_string_or_behind_it_is_shown(stop: str) -> None:
    whole = tiny_tokenizer().decode(_ids(TEXT))
    pieces, is_stopped = _pieces(_ids(TEXT), ["never there", stop])
    assert "".join(pieces) == whole.partition(stop)[0]
    assert is_stopped


def test_the_beginning_of_a_stop_string_is_shown_where_it_does_not_go_on() -> None:
    whole = tiny_tokenizer().decode(_ids(TEXT))
    pieces, is_stopped = _pieces(_ids(TEXT), ["drawer of", "more more"])
    assert "".join(pieces) == whole and not is_stopped


def test_white_space_before_the_first_letter_goes_where_asked() -> None:
    stream = TextStream(tiny_tokenizer(), strip_start=True)
    pieces = [stream.push(token_id) for token_id in _ids(" the mug")] + [stream.finish()]
    assert "".join(pieces) == "the mug"
