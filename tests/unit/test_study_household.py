"""The stream of the injection benchmark: what changes when, which question is valid when, what is never asked about."""

from agent.study.household import household_stream
from agent.study.records import Asked, Stream, Told
from memory_log.records import Fact


def told(number: int, subject: str, value: str) -> Told:
    facts = (Fact(subject=subject, relation="place", value=value),)
    return Told(number=number, text=f"The {subject} is {value}.", facts=facts)


def asked(number: int, about: int) -> Asked:
    return Asked(number=number, told=about, kind="paraphrase", question="Where?", answers=("there",))


MOVED = Stream(
    told=(told(0, "red mug", "in the den"), told(1, "tin box", "in the loft"), told(2, "red mug", "in the shed")),
    asked=(asked(0, 0), asked(1, 1), asked(2, 2)),
)


def test_a_question_is_valid_until_a_later_experience_says_otherwise() -> None:
    first, other, latest = MOVED.asked
    assert MOVED.still_valid(first, [0, 1]) and not MOVED.still_valid(first, [0, 1, 2])
    assert MOVED.still_valid(other, [0, 1, 2]) and MOVED.still_valid(latest, [0, 1, 2])
    assert not MOVED.still_valid(latest, [0, 1]), "it has not happened yet"


def test_saying_the_same_again_leaves_a_question_valid() -> None:
    again = Stream(told=(MOVED.told[0], told(1, "red mug", "in the den")), asked=(asked(0, 0),))
    assert again.still_valid(again.asked[0], [0, 1])


def test_a_reader_needs_the_experience_and_later_ones_on_its_subject() -> None:
    assert MOVED.about_its_subject(MOVED.asked[0], [0, 1, 2]) == [0, 2]
    assert MOVED.about_its_subject(MOVED.asked[2], [0, 1, 2]) == [2]
    assert MOVED.about_its_subject(MOVED.asked[0], [0, 1]) == [0]


def test_changes_are_counted_by_what_was_said_before() -> None:
    assert MOVED.num_changes == (0, 0, 1)


def test_some_facts_change_and_some_change_again() -> None:
    stream = household_stream(100, seed=3, changed_share=0.15)
    assert 8 <= sum(count > 0 for count in stream.num_changes) <= 24
    assert max(stream.num_changes) >= 2
    assert max(household_stream(100, seed=3, changed_share=0.0).num_changes) == 0


def test_near_misses_are_many_and_about_nothing_in_the_stream() -> None:
    for num_told in (20, 100):
        stream = household_stream(num_told, seed=0, changed_share=0.1)
        near_misses = [one for one in stream.asked if one.kind == "near_miss"]
        assert len(near_misses) >= 200
        stems = {one.answers[0].removesuffix(one.value) for one in stream.asked if one.kind != "near_miss"}
        assert not [one for one in near_misses if any(one.answers[0].startswith(stem) for stem in stems)]


def test_every_experience_is_asked_about_in_two_sets_of_phrasings() -> None:
    stream = household_stream(10, seed=1, changed_share=0.0)
    for one in stream.told:
        kinds = [question.kind for question in stream.asked if question.told == one.number]
        assert kinds.count("paraphrase") >= 3 and kinds.count("new_phrasing") >= 1
    assert [one.number for one in stream.asked] == list(range(len(stream.asked)))


def test_a_seed_decides_the_stream() -> None:
    assert household_stream(10, seed=1, changed_share=0.2) == household_stream(10, seed=1, changed_share=0.2)
    assert household_stream(10, seed=1, changed_share=0.2) != household_stream(10, seed=2, changed_share=0.2)
