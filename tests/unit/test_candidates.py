"""Candidates: each text once, shares of several writers, and the reasons of what is dropped."""

import pickle
from collections.abc import Sequence

import pytest

from memory_log.errors import BadInput
from memory_log.records import Experience
from tests.model_fixtures import experience, tiny_base
from updater.candidates import (
    MAX_WORDS,
    Candidate,
    Dropped,
    Wanted,
    counts_by_reason,
    described,
    distinct,
    mixed,
)
from updater.language_model import LanguageModel
from updater.templates import TemplateWriter
from updater.writers import written_by_model

MUG, MIRA = experience(1, "I put the red mug in the kitchen drawer."), experience(2, "Mira likes tea.")
ALL = Wanted(questions=10, implications=4, restatements=2, near_misses=6)


class Recorder:
    """A writer that remembers what it was asked for."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, list[Wanted]()

    def __call__(
        self, base: LanguageModel, experiences: Sequence[Experience], wanted: Wanted, seed: int
    ) -> list[Candidate]:
        self.asked.append(wanted)
        return [Candidate(one, "question", f"{self.name} {seed}?") for one in experiences]


def test_a_text_counts_once_about_an_experience_and_again_about_another() -> None:
    texts = [(MUG, "Where is it?"), (MUG, "where is IT?"), (MIRA, "Where is it?"), (MUG, "")]
    kept, dropped = distinct(Candidate(one, "question", text) for one, text in texts)
    assert [(one.experience.id, one.text) for one in kept] == [(1, "Where is it?"), (2, "Where is it?")]
    assert dropped == [Dropped(1, "question", "duplicate", "where is IT?")]


def test_a_long_text_is_dropped_as_too_long() -> None:
    fits, too_long = " ".join(["word"] * MAX_WORDS), " ".join(["word"] * (MAX_WORDS + 1))
    kept, dropped = distinct([Candidate(MUG, "question", fits), Candidate(MUG, "restatement", too_long)])
    assert [one.text for one in kept] == [fits]
    assert [(one.kind, one.reason) for one in dropped] == [("restatement", "too long")]


def test_reasons_are_counted_in_one_order_and_said_in_words() -> None:
    dropped = [Dropped(1, "question", reason, "") for reason in ("no gain", "duplicate", "no gain")]  # type: ignore[arg-type]
    assert list(counts_by_reason(dropped).items()) == [("duplicate", 1), ("no gain", 2)]
    assert described(counts_by_reason(dropped)) == "1 duplicate, 2 no gain" and described({}) == ""


def test_writers_are_asked_for_their_shares_and_the_first_one_alone_for_near_misses() -> None:
    first, second, unasked = Recorder("first"), Recorder("second"), Recorder("unasked")
    found = mixed([(first, 3.0), (second, 1.0), (unasked, 0.0)])(tiny_base(), [MUG, MIRA], ALL, 7)
    assert first.asked == [Wanted(questions=8, implications=3, restatements=2, near_misses=6)]
    assert second.asked == [Wanted(questions=2, implications=1, restatements=1, near_misses=0)]
    assert unasked.asked == []
    assert [one.text for one in found] == ["first 7?", "first 7?", "second 7?", "second 7?"]


def test_a_first_writer_without_a_share_still_writes_near_misses() -> None:
    first, second = Recorder("first"), Recorder("second")
    mixed([(first, 0.0), (second, 1.0)])(tiny_base(), [MUG], ALL, 0)
    assert first.asked == [Wanted(questions=0, near_misses=6)]
    assert second.asked == [ALL._replace(near_misses=0)]


@pytest.mark.parametrize("shares", [[], [0.0], [1.0, -0.5]])
def test_shares_that_give_nobody_work_are_refused(shares: list[float]) -> None:
    with pytest.raises(BadInput, match="above 0"):
        mixed([(Recorder("one"), share) for share in shares])


def test_a_mix_travels_to_another_process() -> None:
    writer = pickle.loads(pickle.dumps(mixed([(written_by_model, 0.0), (TemplateWriter(), 1.0)])))
    told = experience(1, MUG.text, ("red mug", "location", "kitchen drawer"))
    assert len(writer(tiny_base(), [told], Wanted(questions=3), 0)) == 3
