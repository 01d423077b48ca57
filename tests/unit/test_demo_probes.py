"""The demo's probes: in phrasings that the model never writes, valid as long as the facts, far from anything real."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demo_course import House
from agent.demo_probes import NEAR_MISSES_PER_EXPERIENCE, QUESTIONS_PER_EXPERIENCE, ProbeBook, facts_of
from agent.household.language import Triple, answer, question, statement
from memory_log.log import MemoryLog
from memory_log.records import Experience, Fact, NewExperience
from tests.log_fixtures import lease_of, target

DRAWER = Triple("red mug", "place", "in the kitchen drawer")
SHELF = DRAWER._replace(value="on the hall shelf")
OWNER = Triple("red mug", "owner", "mira")
TEA = Triple("mira", "favourite drink", "green tea")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{tmp_path / 'log.db'}") as opened:
        yield opened


def book_of(log: MemoryLog, *, exact: bool = True, exists: object = lambda *_: False) -> ProbeBook:
    return ProbeBook(log, "default", seed=0, exists=exists, unknown_word="unknown", exact=exact)


def lived(log: MemoryLog, *facts: Triple) -> list[Experience]:
    rng = random.Random(0)
    return log.append_many(
        [
            NewExperience(text=statement(fact, rng, bystander="anna"), facts=(Fact(**fact._asdict()),))
            for fact in facts
        ]
    )


def test_every_experience_gets_questions_and_near_misses_and_the_log_has_them(log: MemoryLog) -> None:
    book = book_of(log)
    probes = book.add_cohort(lived(log, DRAWER, TEA))
    assert log.probes("default") == probes
    for experience in book.cohort(0):
        own = [probe for probe in probes if probe.experience_id == experience.id]
        questions = [probe for probe in own if probe.kind == "question"]
        assert len({probe.question for probe in questions}) == QUESTIONS_PER_EXPERIENCE
        assert {probe.answer for probe in questions} == {answer(facts_of(experience)[0])}
        assert len({probe.question for probe in own}) == QUESTIONS_PER_EXPERIENCE + NEAR_MISSES_PER_EXPERIENCE


def test_no_probe_is_in_a_phrasing_that_the_model_writes(log: MemoryLog) -> None:
    rng = random.Random(1)
    probes = book_of(log).add_cohort(lived(log, DRAWER, TEA, OWNER))
    facts = [DRAWER, TEA, OWNER] * 500
    written = {question(fact.subject, fact.relation, rng, phrasing="written") for fact in facts}
    assert written.isdisjoint({probe.question for probe in probes})


def test_a_probe_is_valid_until_a_later_experience_is_learned_that_says_otherwise(log: MemoryLog) -> None:
    book = book_of(log)
    first = lived(log, DRAWER, TEA)
    book.add_cohort(first)
    assert {probe.experience_id for probe in book.questions(after=0)} == {one.id for one in first}
    later = lived(log, SHELF, OWNER)
    book.add_cohort(later)
    assert {probe.experience_id for probe in book.questions(after=0)} == {one.id for one in first}, "not learned yet"
    assert {probe.experience_id for probe in book.questions(after=1)} == {first[1].id, later[0].id, later[1].id}
    assert {probe.experience_id for probe in book.questions(after=1, cohorts=[0])} == {first[1].id}


def test_of_two_experiences_in_one_update_the_later_one_is_asked_about(log: MemoryLog) -> None:
    book = book_of(log)
    both = lived(log, DRAWER, SHELF)
    book.add_cohort(both)
    assert {probe.experience_id for probe in book.questions(after=0)} == {both[1].id}


def test_a_reader_gets_the_experience_and_what_came_later_about_its_subject(log: MemoryLog) -> None:
    book = book_of(log)
    told = lived(log, TEA, DRAWER, OWNER)
    probes = book.add_cohort(told)
    about_place = next(probe for probe in probes if probe.experience_id == told[1].id)
    assert book.notes(about_place) == [told[1].text, told[2].text]


def test_near_misses_keep_away_from_what_exists_and_from_what_is_told_later(log: MemoryLog) -> None:
    seen: list[tuple[str, str]] = []

    def exists(subject: str, relation: str) -> bool:
        seen.append((subject, relation))
        return subject.startswith("red ")

    book = book_of(log, exists=exists)
    book.add_cohort(lived(log, DRAWER))
    near = book.near_misses(cohorts=[0])
    assert len(near) == NEAR_MISSES_PER_EXPERIENCE and any(subject.startswith("red ") for subject, _ in seen)
    assert not any((probe.subject or "").startswith("red ") for probe in near)
    gone = near[0]
    book.add_cohort(lived(log, Triple(str(gone.subject), str(gone.relation), "in the hall")))
    assert gone not in book.near_misses(cohorts=[0]) and len(book.near_misses(cohorts=[0])) < len(near)


def test_answers_count_to_the_word_or_by_their_value_and_near_misses_must_be_unknown(log: MemoryLog) -> None:
    strict, lenient = book_of(log), book_of(log, exact=False)
    told = lived(log, DRAWER)
    for book in (strict, lenient):
        probes = book.add_cohort(told)
        asked, near = probes[0], probes[-1]
        assert book.is_right(asked, "the red mug is in the kitchen drawer")
        assert not book.is_right(asked, "the red mug is in the kitchen")
        assert not book.is_right(asked, "the red mug is somewhere unknown")
        assert book.is_right(near, near.answer) and not book.is_right(near, "it is in the kitchen drawer")
        assert book.is_right(asked, "It is in the kitchen drawer.") == (book is lenient)


def test_a_probe_that_an_update_was_taught_with_is_dropped_and_counted(log: MemoryLog) -> None:
    book = book_of(log)
    told = lived(log, DRAWER)
    probes = book.add_cohort(told)
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=1)
    log.store_targets(lease, batch.id, [target(told[0], prompt=probes[2].question.upper())])
    book.drop_taught()
    assert book.num_taught == 1
    assert probes[2] not in book.questions(after=0) and len(book.questions(after=0)) == QUESTIONS_PER_EXPERIENCE - 1


def test_the_house_tells_equal_things_for_equal_seeds_and_knows_what_it_may_tell_of() -> None:
    house, twin = House(seed=3, max_steps=400), House(seed=3, max_steps=400)
    experiences = house.live(12)
    assert experiences == twin.live(12)
    for fact in (fact for one in experiences for fact in one.facts):
        assert house.may_tell_of(fact.subject, fact.relation)
    assert not house.may_tell_of("nothing of the kind", "place")
    house.close()
    twin.close()
