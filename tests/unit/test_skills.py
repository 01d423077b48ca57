"""What the embedded model is measured with: right answers that follow from the notes, and words that are really new."""

import random
import re

import pytest

from agent.household import words
from agent.seed_model.documents import draw_document
from benchmarks import new_words
from benchmarks.skills import SKILLS, reads

LISTS = (new_words.ADJECTIVES, new_words.NOUNS, new_words.ROOMS, new_words.FURNITURE, new_words.NAMES)


def test_new_words_are_in_no_list_of_the_generator_and_in_no_training_text() -> None:
    fresh = [word for listed in LISTS for word in listed]
    assert len(set(fresh)) == len(fresh) > 120
    assert not set(fresh) & words.KNOWN_WORDS
    rng = random.Random(0)
    said = set()
    for _ in range(1500):
        document = draw_document(rng, progress=1.0)
        for text in (*document.notes, *(exchange.user for exchange in document.exchanges)):
            said |= set(re.findall(r"\w+", text.lower()))
    assert len(said) > 5000 and not said & set(fresh)


def test_a_fact_in_new_words_uses_nothing_else() -> None:
    drawer = new_words.NewWordsDrawer(random.Random(0))
    fresh = {word for listed in LISTS for word in listed}
    for _ in range(100):
        fact = drawer.fact()
        assert set(fact.subject.split()) <= fresh
        assert set(fact.value.split()) - {*words.PREPOSITIONS, "the"} <= fresh


@pytest.mark.parametrize("skill", SKILLS)
def test_every_skill_is_the_seeds_choice(skill: str) -> None:
    draw, _ = SKILLS[skill]
    items = [draw(random.Random(seed)) for seed in range(40)]
    assert items == [draw(random.Random(seed)) for seed in range(40)]
    assert len(set(items)) > 10
    assert all(item.question.strip() and item.right.strip() for item in items)


@pytest.mark.parametrize("num_facts", [1, 4, 8, 16])
def test_the_right_answer_to_a_question_about_notes_stands_in_one_of_them(num_facts: int) -> None:
    for seed in range(30):
        item = reads(random.Random(seed), num_facts=num_facts)
        assert len(item.notes) == num_facts
        value = item.right.split(" is ")[-1].split(" belongs to ")[-1]
        assert sum(value in note.lower() for note in item.notes) >= 1
