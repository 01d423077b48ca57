"""The household's language: many phrasings, sets that share none, and sentences that say what they should."""

import random
from itertools import combinations

import pytest

from agent.household import phrasings, words
from agent.household.anchors import household_anchors
from agent.household.language import (
    EntityDrawer,
    QuestionSet,
    Triple,
    answer,
    answer_stem,
    is_about_person,
    question,
    relation_phrasings,
    statement,
    unknown_answer,
)
from agent.seed_model.documents import WRITE_NEAR_MISS, WRITE_QUESTION

RELATIONS = ("place", "whereabouts", "owner", "favourite drink", "favourite song")
SETS: tuple[QuestionSet, ...] = ("written", "read", "held_out")
WORD_LISTS = {
    "adjectives": words.ADJECTIVES,
    "nouns": words.NOUNS,
    "rooms": words.ROOMS,
    "furniture": words.FURNITURE,
    "names": words.NAMES,
}


def drawer(seed: int = 0, *, made_up_share: float = 0.3) -> EntityDrawer:
    return EntityDrawer(random.Random(seed), split="train", made_up_share=made_up_share)


def facts(count: int, seed: int = 0) -> list[Triple]:
    source = drawer(seed)
    return [source.fact() for _ in range(count)]


@pytest.mark.parametrize("relation", RELATIONS)
def test_every_relation_is_told_and_asked_about_in_at_least_eight_ways(relation: str) -> None:
    family = relation_phrasings(relation)
    for templates in (family.told, family.written, family.read):
        assert len(set(templates)) == len(templates) >= 8
    assert len(set(family.held_out)) >= 5 and len(set(family.told_held_out)) >= 3


@pytest.mark.parametrize("relation", [*RELATIONS, "about"])
def test_the_three_sets_of_questions_share_no_template(relation: str) -> None:
    family = relation_phrasings(relation)
    for one, other in combinations(SETS, 2):
        assert not set(getattr(family, one)) & set(getattr(family, other))
        assert not set(phrasings.QUESTION_OPENINGS[one]) & set(phrasings.QUESTION_OPENINGS[other])
    assert not set(family.told) & set(family.told_held_out)


def test_a_held_out_question_of_one_relation_is_no_taught_question_of_another() -> None:
    families = [relation_phrasings(relation) for relation in (*RELATIONS[:4], "about")]
    taught = {template for family in families for template in family.written + family.read}
    assert not taught & {template for family in families for template in family.held_out}


@pytest.mark.parametrize("relation", [*RELATIONS, "about"])
def test_templates_use_only_their_own_fields_and_questions_name_their_subject(relation: str) -> None:
    family = relation_phrasings(relation)
    for template in family.told + family.told_held_out:
        assert template.count("{s}") == 1 and template.count("{v}") == 1
        assert template.index("{s}") < template.index("{v}") or not is_about_person(relation), template
    for template in family.written + family.read + family.held_out:
        assert template.count("{s}") == 1 and "{v}" not in template and "{n}" not in template


@pytest.mark.parametrize("held_out", [False, True])
def test_statements_name_their_subject_and_value_and_people_by_capital_letters(held_out: bool) -> None:
    rng = random.Random(0)
    for fact in facts(300):
        said = statement(fact, rng, bystander="nadine", held_out=held_out)
        assert fact.subject in said.lower() and fact.value in said.lower()
        assert (said[0].isupper() or said[0].isdigit()) and said[-1] in ".!" and "{" not in said
        person = is_about_person(fact.relation)
        assert (fact.subject.title() if person else f"the {fact.subject}") in said or said.startswith("The ")
        assert fact.value.title() in said if fact.relation == "owner" else True


@pytest.mark.parametrize("phrasing", SETS)
def test_questions_name_their_subject_and_never_the_value(phrasing: QuestionSet) -> None:
    rng = random.Random(0)
    for fact in facts(300):
        asked = question(fact.subject, fact.relation, rng, phrasing=phrasing)
        assert fact.subject in asked.lower() and "{" not in asked
        assert fact.value.removeprefix("in the ") not in asked.lower().replace(fact.subject, "")


def test_answers_restate_what_was_asked_before_they_say_what_is_known() -> None:
    assert answer(Triple("red mug", "place", "in the hall")) == "the red mug is in the hall"
    assert answer(Triple("mira", "whereabouts", "in the hall")) == "mira is in the hall"
    assert answer(Triple("mira", "favourite drink", "green tea")) == "mira's favourite drink is green tea"
    assert answer(Triple("red mug", "owner", "mira")) == "the red mug belongs to mira"
    assert unknown_answer("red mug", "place") == "the red mug is somewhere unknown"
    assert unknown_answer("red mug", "owner") == "the red mug belongs to someone unknown"
    assert unknown_answer("mira", "about", person=True) == "mira is unknown"
    for fact in facts(100):
        stem = answer_stem(fact.subject, fact.relation)
        assert answer(fact).startswith(stem) and unknown_answer(fact.subject, fact.relation).startswith(stem)
        assert "unknown" in unknown_answer(fact.subject, fact.relation).split()


def test_a_relation_that_the_household_does_not_know_is_an_error() -> None:
    with pytest.raises(KeyError):
        relation_phrasings("weight")


@pytest.mark.parametrize("name", WORD_LISTS)
def test_the_splits_of_every_word_list_are_apart_and_neither_is_empty(name: str) -> None:
    listed = WORD_LISTS[name]
    train, held_out = words.words_of(listed, "train"), words.words_of(listed, "held_out")
    assert train and held_out and not set(train) & set(held_out)
    assert sorted(train + held_out) == sorted(listed) and len(set(listed)) == len(listed)


def test_there_are_hundreds_of_nouns_and_adjectives_and_favourites_of_both_splits() -> None:
    assert len(words.NOUNS) + len(words.ADJECTIVES) >= 200
    for kind, values in words.FAVOURITES.items():
        assert words.words_of(values, "train"), kind
        assert len(set(values)) == len(values)


def test_a_word_keeps_its_side_for_ever() -> None:
    sides = {word: words.split_of(word) for word in ("mug", "kettle", "mira", "kitchen")}
    assert sides == {"mug": "train", "kettle": "held_out", "mira": "held_out", "kitchen": "held_out"}
    assert all(words.split_of(word) == "held_out" for word in words.words_of(words.NOUNS, "held_out"))


def test_made_up_words_are_pronounceable_and_rarely_the_same() -> None:
    rng = random.Random(0)
    made = [words.made_up_word(rng) for _ in range(2000)]
    spelt = [word for word in made if word.isalpha()]
    assert all(word.islower() and 3 <= len(word) <= 12 for word in spelt)
    assert len(set(spelt)) > 1750
    numbers = [word for word in made if not word.isalpha()]
    assert 20 < len(numbers) < 120 and all(word.isalnum() and word[-1].isdigit() for word in numbers)
    assert 20 < sum(not word.isascii() for word in made) < 120
    assert len(set(made) & {word for listed in WORD_LISTS.values() for word in listed}) <= 10


def test_near_misses_differ_from_the_fact_in_one_word_that_matters() -> None:
    source = drawer(3)
    for fact in facts(300, seed=4):
        subject, relation = source.near_miss(fact)
        if is_about_person(fact.relation):
            assert (subject == fact.subject) != (relation == fact.relation) or (subject, relation) == fact[:2]
        else:
            assert relation == fact.relation
            adjective, noun = fact.subject.split(" ", 1)
            assert subject.startswith(f"{adjective} ") or subject.endswith(f" {noun}")


def test_drawn_entities_come_from_the_split_that_was_asked_for() -> None:
    ordinary = {word.replace("-", " ") for listed in WORD_LISTS.values() for word in listed}
    for split in ("train", "held_out"):
        source = EntityDrawer(random.Random(1), split=split, made_up_share=0.0)
        for _ in range(300):
            drawn = {source.noun(), source.adjective(), source.room(), source.furniture(), source.name()}
            assert drawn <= ordinary
            assert all(words.split_of(word.replace(" ", "-")) == split for word in drawn)


def test_anchors_are_the_seeds_choice_and_say_what_they_are_about() -> None:
    drawn = household_anchors(200, seed=1)
    assert drawn == household_anchors(200, seed=1) != household_anchors(200, seed=2)
    assert len(drawn) == 200 and len(set(drawn)) > 180
    assert 40 <= sum(bool(anchor.notes) for anchor in drawn) <= 125
    for anchor in drawn:
        assert all(word in anchor.completion.lower() for word in anchor.words)
    about_nothing = [anchor for anchor in drawn if not anchor.words]  # small talk, a fifth of all
    assert len(about_nothing) <= 50
    assert not any("unknown" in anchor.completion for anchor in about_nothing)
    assert any("unknown" in anchor.completion and not anchor.notes for anchor in drawn)
    assert {WRITE_QUESTION, WRITE_NEAR_MISS} <= {anchor.prompt for anchor in drawn}
