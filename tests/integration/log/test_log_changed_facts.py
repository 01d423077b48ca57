"""Facts that change again and again: what replay may teach, over both databases. Structured facts decide."""

import itertools

import pytest

from memory_log.log import MemoryLog
from memory_log.records import Experience, NewExperience, Version
from tests.log_fixtures import delta, lease_of, mug, target
from tests.model_fixtures import tiny_base
from updater.changes import Changes
from updater.sentences import Sentence

PLACES = ("drawer", "sink", "attic", "garden")
SUBJECTS = ("red mug", "mug", "mug red", "red mug")
"""What the phrasings of each update repeat: never twice in a row the same words."""


def sentence(about: Experience, subject: str, completion: str) -> Sentence:
    return Sentence(about.id, "question", (about.text,), f"Where is the {subject} ({about.id})?", completion, subject)


def answer(place: str) -> str:
    return f"the red mug is in the {place}"


def live(log: MemoryLog, new: NewExperience, *about: tuple[str, str]) -> tuple[Version, Experience]:
    """One whole update about one experience, as the updater makes it: (subject, completion) of each sentence."""
    lived = log.append(new)
    return learn_later(log, lived, *about), lived


def learn_later(log: MemoryLog, lived: Experience, *about: tuple[str, str]) -> Version:
    changes, sentences = Changes(tiny_base(), log, None), [sentence(lived, *one) for one in about]
    untrue = changes.untrue_already("default", [lived], sentences)
    superseded = changes.superseded("default", [lived], sentences)
    lease = lease_of(log)
    batch = log.open_batch_of(lease, [lived.id])
    news = [
        target(lived, prompt=one.prompt, completion=one.completion, subject=one.subject, held_out=place == 1)
        for place, one in enumerate(sentences) if one not in untrue
    ]  # fmt: skip
    log.store_targets(lease, batch.id, news)
    candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="h", metrics={})
    version = log.admit(lease, candidate.number, superseded=superseded)
    log.release_updater_lease(lease)
    return version


def taught(log: MemoryLog) -> set[str]:
    """Everything that replay or the gate may take up."""
    drawn = log.replay_targets("default", limit=99, seed=0) + log.held_out_targets("default", limit=99, seed=0)
    return {one.completion for one in drawn}


@pytest.fixture
def moved(log: MemoryLog) -> list[Experience]:
    """The mug was put somewhere and moved three times; each time it was learned, and nothing else was ever drawn."""
    lived = []
    for place, subject in zip(PLACES, SUBJECTS, strict=True):
        lived.append(live(log, mug(place), (subject, answer(place)), ("red mug", answer(place)))[1])
        assert taught(log) == {answer(place)}
    return lived


def test_after_three_changes_replay_teaches_the_present_only(log: MemoryLog, moved: list[Experience]) -> None:
    assert taught(log) == {answer("garden")}
    for older, newer in itertools.pairwise(moved):
        assert {one.superseded_by for one in log.targets_of(older.id)} == {newer.id}


def test_a_rollback_across_changes_makes_true_again_what_was_true_then(
    log: MemoryLog, moved: list[Experience]
) -> None:
    for version in (2, 1, 3, 4):
        log.rollback("default", version)
        assert taught(log) == {answer(PLACES[version - 1])}
    log.rollback("default", 2)
    live(log, mug("cellar"), ("red mug", answer("cellar")))
    assert taught(log) == {answer("cellar")}


def test_forgetting_the_newest_statement_makes_no_older_one_true_again(
    log: MemoryLog, moved: list[Experience]
) -> None:
    log.forget(moved[-1].id)
    assert taught(log) == set()
    assert {one.superseded_by for one in log.targets_of(moved[2].id)} == {moved[3].id}
    live(log, mug("cellar"), ("red mug", answer("cellar")))
    assert taught(log) == {answer("cellar")}


def test_forgetting_an_older_statement_changes_nothing_that_is_true(log: MemoryLog, moved: list[Experience]) -> None:
    log.forget(moved[1].id)
    assert taught(log) == {answer("garden")}


def test_an_older_experience_that_is_learned_late_teaches_nothing_that_has_changed_since(log: MemoryLog) -> None:
    late = log.append(mug("drawer"))
    live(log, mug("sink"), ("red mug", answer("sink")))
    version = learn_later(log, late, ("red mug", answer("drawer")), ("mug", answer("drawer")))
    assert taught(log) == {answer("sink")} and log.get(late.id).learned_in == version.number
    assert log.targets_of(late.id) == []
