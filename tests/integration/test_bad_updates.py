"""Updates that go wrong, through the real updater, a worker and a model server: what serves stays as it was.

The parts are those of `benchmarks.bad_updates`. The same update with sound parts is admitted and served, so that a
refusal here is due to what was spoiled.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.reading_check import facts_to_tell, recall_items, unknown_items
from agent.seed_model import WEIGHTS_FOLDER
from benchmarks.bad_updates import LINEAGE, Exam, Shares, Stage
from benchmarks.bad_updates_kinds import KINDS, Parts
from memory_log.records import ExperienceState, HappeningKind, VersionState
from updater.language_model import load_language_model
from updater.report import RefusalKind
from updater.settings import UpdateSettings

pytestmark = [
    pytest.mark.skipif(not (WEIGHTS_FOLDER / "model.safetensors").is_file(), reason="no embedded model"),
    pytest.mark.timeout(900),
]

SMALL = UpdateSettings(
    num_anchors=60, questions_per_experience=10, near_misses_per_experience=4, min_samples=10,
    batch_about=10, batch_replay=8, batch_anchors=4, num_steps=40,
)  # fmt: skip
(KNOWN_FACT, KNOWN), (NEW_FACT, NEW) = facts_to_tell(2, seed=1)
EXAM = Exam(
    recall_items([KNOWN_FACT], per_fact=6, seed=1),
    recall_items([NEW_FACT], per_fact=6, seed=1),
    unknown_items(8, num_notes=0, seed=1),
    [NEW],
)


@pytest.fixture(scope="module")
def sound() -> Parts:
    return Parts(load_language_model(WEIGHTS_FOLDER, device="cpu"), SMALL)


@pytest.fixture(scope="module")
def known(sound: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an agent that has learned one fact."""
    folder = tmp_path_factory.mktemp("known")
    with Stage(sound.base, folder) as stage:
        report = stage.learn([KNOWN], sound)
        assert report.admitted, report.reason
    return folder


@pytest.fixture
def stage(sound: Parts, known: Path, tmp_path: Path) -> Iterator[Stage]:
    """The same agent at work, in a folder of its own."""
    with Stage(sound.base, shutil.copytree(known, tmp_path / "home")) as opened:
        yield opened


def assert_nothing_served(stage: Stage, before: tuple[Shares, list[tuple[int, ...]]], head: int) -> None:
    assert stage.take(EXAM) == before, "every answer, token by token"
    assert stage.server.stats().serving_version == stage.log.head(LINEAGE).number == head
    later = stage.log.versions(LINEAGE)[head + 1 :]
    assert all(one.state is VersionState.REJECTED and one.reason for one in later)
    assert stage.num_lost([KNOWN, NEW]) == 0 and stage.log.updater_lease(LINEAGE) is None


def test_with_sound_parts_the_update_is_admitted_and_served(stage: Stage, sound: Parts) -> None:
    before, _ = stage.take(EXAM)
    report = stage.learn([NEW], sound)
    after, _ = stage.take(EXAM)
    assert report.admitted and stage.server.stats().serving_version == report.version
    assert after.is_sound_after(before), (before, after)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("nan_gradients", {RefusalKind.NOT_FINITE}),
        ("answers_of_others", {RefusalKind.EFFICACY, RefusalKind.DIVERGED}),
    ],
)
def test_a_poisoned_update_is_tried_twice_and_refused(
    stage: Stage, sound: Parts, kind: str, expected: set[RefusalKind]
) -> None:
    before, head = stage.take(EXAM), stage.log.head(LINEAGE).number
    report = stage.learn([NEW], KINDS[kind](sound))
    assert_nothing_served(stage, before, head)
    first, retry = report.attempts
    assert not report.admitted and (first.is_retry, retry.is_retry) == (False, True) and retry.changed
    assert all({refusal.kind for refusal in attempt.refusals} & expected for attempt in report.attempts)
    refused = stage.log.experiences(LINEAGE)[-1]
    assert refused.state is ExperienceState.REFUSED and refused.reason == report.reason
    told = stage.log.history(refused.id)[-1]
    assert told.kind is HappeningKind.REFUSED and str(told.detail).count("attempt") == 2


def test_a_collapsed_teacher_is_called_that_and_its_experiences_wait(stage: Stage, sound: Parts) -> None:
    before, head = stage.take(EXAM), stage.log.head(LINEAGE).number
    report = stage.learn([NEW], KINDS["deaf_teacher"](sound))
    assert_nothing_served(stage, before, head)
    assert not report.admitted and report.leaves_all_waiting and "collapsed" in str(report.reason)
    assert stage.log.experiences(LINEAGE)[-1].state is ExperienceState.PENDING


def test_a_learning_rate_a_hundred_times_too_high_never_harms_what_serves(stage: Stage, sound: Parts) -> None:
    before, head = stage.take(EXAM), stage.log.head(LINEAGE).number
    few_steps = SMALL.model_copy(update={"num_steps": 12})
    report = stage.learn([NEW], KINDS["rate_x100"](replace(sound, settings=few_steps)))
    first, retry = report.attempts
    assert RefusalKind.DIVERGED in {refusal.kind for refusal in first.refusals}
    assert retry.changed == {"learning_rate": pytest.approx(SMALL.learning_rate * 10)}
    if report.admitted:
        assert stage.take(EXAM)[0].is_sound_after(before[0])
    else:
        assert_nothing_served(stage, before, head)
