"""Target sentences: what a question is about, what is held out, and what is kept of what a model writes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_log.records import Experience
from tests.model_fixtures import experience, household_dialogue, tiny_base
from updater.anchors import Anchor
from updater.near_misses import exchanged_words
from updater.sentences import (
    Sentence,
    consistent,
    key_words,
    tokenize,
    with_held_out,
)
from updater.settings import UpdateSettings
from updater.writing import WrittenSentences, write_sentences

MUG = experience(1, "I put the red mug in the kitchen drawer.")
MIRA = experience(2, "Mira's favourite drink is green tea.")


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        ("Where is the blue mug?", "the blue mug is somewhere unknown", ["blue", "mug"]),
        ("What is Mira's favourite drink?", "mira's favourite drink is green tea", ["mira", "drink"]),
        ("Tell me Mira's favourite drink.", "mira's favourite drink is unknown", ["mira", "drink"]),
        ("Who owns the old oven-glove?", "the old oven-glove belongs to anna", ["old", "oven-glove"]),
        ("Whose is the vase in the hall?", "the vase belongs to bo", ["vase"]),
        ("Where did Zoë go?", "zoë is in the café", ["zoë"]),
        ("Mug, mug: where is it?", "the mug is in the mug rack", ["mug"]),
        ("Where is it?", "it is on the shelf", []),
        ("hello.", "good morning", []),
        ("", "", []),
    ],
)
def test_what_a_question_is_about_is_what_its_answer_repeats(question: str, answer: str, words: list[str]) -> None:
    assert key_words(question, answer) == words


def sentence(owner: int, number: int, kind: str = "question") -> Sentence:
    assert kind in ("question", "near_miss")
    return Sentence(owner, kind, ("note",), f"question {number}", "answer", "subject")  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["question", "near_miss"])), max_size=40),
    st.floats(0.01, 0.9),
    st.integers(0, 9),
)
def test_every_group_of_two_or_more_keeps_and_holds_out(owners: list[tuple[int, str]], share: float, seed: int) -> None:
    made = [sentence(owner, number, kind) for number, (owner, kind) in enumerate(owners)]
    split = with_held_out(made, share, random.Random(seed))
    assert sorted(one.prompt for one in split) == sorted(one.prompt for one in made)
    for group in set(owners):
        of_group = [one.held_out for one in split if (one.experience_id, one.kind) == group]
        expected = min(len(of_group) - 1, max(1, round(share * len(of_group))))
        assert sum(of_group) == expected < len(of_group)


def test_the_split_is_the_seeds_choice() -> None:
    made = [sentence(1, number) for number in range(30)]
    first, again, other = (with_held_out(made, 0.2, random.Random(seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_the_student_sees_no_notes_and_the_teacher_does() -> None:
    dialogue = household_dialogue()
    made = Sentence(1, "question", (MUG.text,), "Where is the red mug?", "the red mug is here", "red mug")
    (without,), (context,) = tokenize(tiny_base(), [made])
    assert list(without.prompt_ids) == dialogue.prompt_ids(made.prompt)
    assert context == dialogue.prompt_ids(made.prompt, [MUG.text])
    assert list(without.completion_ids) == dialogue.completion_ids(made.completion)


def written(batch: list[Experience], settings: UpdateSettings) -> WrittenSentences:
    # A model with random weights writes gibberish; how much is asked for and what is kept can be checked all the same.
    strangers = [Anchor((), "Where is the blue cup?", "the blue cup is somewhere unknown", ("blue", "cup"))]
    return write_sentences(
        tiny_base(), batch, settings, seed=0, strangers=strangers, has_history=lambda words, owner: False
    )


def test_nothing_is_kept_twice_and_a_subject_stands_in_its_experience() -> None:
    settings = UpdateSettings(questions_per_experience=6, near_misses_per_experience=4, min_samples=1)
    made = written([MUG, MIRA], settings)
    assert made.num_sampled == 2 * (6 + 4)
    assert len(made.of_kind("question")) + len(made.of_kind("near_miss")) == len(made.sentences)
    assert len({(one.experience_id, one.prompt.lower()) for one in made.sentences}) == len(made.sentences)
    texts = {MUG.id: MUG.text.lower(), MIRA.id: MIRA.text.lower()}
    for one in made.of_kind("question"):
        assert all(word in texts[one.experience_id] for word in one.subject.split())


def test_a_small_batch_is_asked_about_more_often() -> None:
    settings = UpdateSettings(questions_per_experience=4, near_misses_per_experience=0, min_samples=24)
    assert [written(batch, settings).num_sampled for batch in ([MUG], [MUG, MIRA], [MUG] * 8)] == [24, 24, 32]


def test_nothing_to_write_about_writes_nothing() -> None:
    made = written([], UpdateSettings())
    assert made.sentences == [] and made.num_sampled == 0


def test_a_misreading_is_dropped_where_most_phrasings_agree() -> None:
    right = [sentence(1, number) for number in range(3)]
    misread = sentence(1, 3)._replace(completion="something else")
    elsewhere = [misread._replace(experience_id=2), misread._replace(subject="another subject")]
    assert consistent([*right, misread, *elsewhere]) == [*right, *elsewhere]


def test_where_no_answer_has_a_majority_all_stay() -> None:
    split = [sentence(1, 0), sentence(1, 1)._replace(completion="something else")]
    assert consistent(split) == split and consistent([]) == []


def test_one_word_is_exchanged_for_one_in_its_place_of_a_subject_of_the_same_kind() -> None:
    asked = sentence(1, 0)._replace(
        prompt="Where is the Red mug?", completion="the red mug is on the table", subject="red mug"
    )
    thing = Anchor((), "", "the blue cup is somewhere unknown", ("blue", "cup"))
    favourite = Anchor((), "", "mira's favourite drink is unknown", ("mira", "drink"))
    for seed in range(5):
        (found,) = exchanged_words(asked, [thing, favourite], 2, random.Random(seed))
        assert found in ("Where is the blue mug?", "Where is the Red cup?")
