"""Which older sentences a newer experience makes untrue."""

import pytest

from memory_log.records import Experience
from tests.model_fixtures import experience, tiny_base
from updater.generation import generate_texts
from updater.sentences import Sentence
from updater.supersession import (
    Claim,
    contradicts,
    is_surely_untrue,
    still_true_within_batch,
    superseded_by,
)

DRAWER = experience(1, "I put the red mug in the drawer.", ("red mug", "place", "in the drawer"))
SHELF = experience(2, "The red mug is on the shelf now.", ("red mug", "place", "on the shelf"))
OWNER = experience(3, "The red mug belongs to Mira.", ("red mug", "owner", "mira"))
SILENT = experience(4, "I moved the red mug.")
BOTH = experience(5, "Two things.", ("red mug", "place", "in the drawer"), ("red mug", "owner", "tomas"))


@pytest.mark.parametrize(
    ("newer", "older", "expected"),
    [
        (SHELF, DRAWER, True),
        (DRAWER, SHELF, True),
        (DRAWER, DRAWER, False),
        (OWNER, DRAWER, False),
        (BOTH, DRAWER, False),
        (BOTH, OWNER, True),
        (SILENT, DRAWER, False),
        (SHELF, SILENT, False),
    ],
)
def test_facts_contradict_when_subject_and_relation_agree_and_values_do_not(
    newer: Experience, older: Experience, expected: bool
) -> None:
    assert contradicts(newer, older) == expected


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (Claim(1, DRAWER, "Where?", "there"), True),
        (Claim(1, DRAWER, "Where?", "there", "near_miss"), False),
        (Claim(1, BOTH, "Where?", "the red mug is In the Drawer"), True),
        (Claim(1, BOTH, "Who owns it?", "the red mug belongs to tomas"), False),
        (Claim(1, OWNER, "Who owns it?", "the red mug belongs to mira"), False),
    ],
)
def test_of_an_experience_with_other_facts_only_what_names_a_changed_value_is_surely_untrue(
    claim: Claim, expected: bool
) -> None:
    assert is_surely_untrue(SHELF, claim) == expected


def test_spelling_is_no_contradiction() -> None:
    spelt = experience(8, "In the drawer!", ("Red  Mug", "Place", "In the drawer."))
    moved = experience(9, "Elsewhere.", ("RED MUG", "place", "elsewhere"))
    assert not contradicts(spelt, DRAWER) and contradicts(moved, DRAWER)


def taught(newer: Experience, source: Experience, prompt: str) -> str:
    """What the teacher says once it has read both, in time order."""
    base = tiny_base()
    return generate_texts(base.model, base.dialogue, [base.dialogue.prompt_ids(prompt, [source.text, newer.text])])[0]


def test_contradicting_facts_decide_whatever_the_model_would_say() -> None:
    prompt = "Where is the red mug?"
    claims = [Claim(7, DRAWER, prompt, taught(SHELF, DRAWER, prompt)), Claim(8, SHELF, prompt, "another answer")]
    assert superseded_by(tiny_base(), SHELF, claims) == [7, 8]
    assert superseded_by(tiny_base(), SHELF, claims[:1]) == [7]


def test_without_facts_the_teacher_decides_with_both_experiences_in_order() -> None:
    prompts = ["Where is the red mug?", "Who owns the red mug?"]
    claims = [
        Claim(1, DRAWER, prompts[0], taught(SILENT, DRAWER, prompts[0])),
        Claim(2, DRAWER, prompts[0], "the red mug is in the drawer"),
        Claim(3, OWNER, prompts[1], taught(SILENT, OWNER, prompts[1])),
    ]
    assert superseded_by(tiny_base(), SILENT, claims) == [2]
    assert taught(SILENT, DRAWER, prompts[0]) != taught(DRAWER, SILENT, prompts[0])


def test_phrasings_of_one_answer_change_together_when_at_least_half_of_them_do() -> None:
    prompts = ["Where is the red mug?", "Who owns the red mug?", "What is the red mug?", "Have you seen the red mug?"]
    said = [taught(SILENT, DRAWER, prompt) for prompt in prompts]
    other = next(answer for answer in said if answer != said[0])
    claims = [Claim(place, DRAWER, prompt, said[0]) for place, prompt in enumerate(prompts)]
    num_changed = sum(answer != said[0] for answer in said)
    assert num_changed >= 2, other
    assert superseded_by(tiny_base(), SILENT, claims) == [0, 1, 2, 3]
    unchanged = [Claim(place, DRAWER, prompts[0], said[0]) for place in range(num_changed + 1)]
    assert superseded_by(tiny_base(), SILENT, [*unchanged, claims[1]]) == []


def test_nothing_older_means_nothing_superseded() -> None:
    assert superseded_by(tiny_base(), SHELF, []) == []


def about(owner: Experience, completion: str, *, subject: str = "red mug", prompt: str = "Where?") -> Sentence:
    return Sentence(owner.id, "question", (owner.text,), prompt, completion, subject)


def test_within_a_batch_the_latest_about_a_subject_wins() -> None:
    first, second = about(DRAWER, "in the drawer"), about(SHELF, "on the shelf")
    other = about(DRAWER, "in the drawer", subject="blue cup")
    assert still_true_within_batch(tiny_base(), [DRAWER, SHELF], [first, second, other]) == [second, other]


def test_a_near_miss_of_a_later_experience_makes_nothing_untrue() -> None:
    older, miss = about(DRAWER, "in the drawer"), about(SHELF, "unknown")._replace(kind="near_miss")
    assert still_true_within_batch(tiny_base(), [DRAWER, SHELF], [older, miss]) == [older, miss]


def test_of_three_only_the_last_stays() -> None:
    third = experience(9, "The red mug is in the garden.", ("red mug", "place", "in the garden"))
    made = [about(DRAWER, "in the drawer"), about(SHELF, "on the shelf"), about(third, "in the garden")]
    assert still_true_within_batch(tiny_base(), [DRAWER, SHELF, third], made) == made[-1:]
