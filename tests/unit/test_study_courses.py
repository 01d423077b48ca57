"""The course of the injection benchmark: what is injected and asked when, and taking up an interrupted run."""

import fcntl
import json
from pathlib import Path

import pytest

from agent.study.courses import Course, course_of
from agent.study.examiner import Examiner
from agent.study.lines import ITEMS_FILE, append_line
from agent.study.methods import InContext, Learner, NoMemory
from agent.study.records import Asked, Stream, Told, UpdateCost, UpdateLine
from agent.study.running import finished_lines, run_course
from memory_log.errors import BadInput
from memory_log.records import Fact
from tests.model_fixtures import tiny_base


def stream() -> Stream:
    """Three experiences; the last moves what the first was about. One question and one near miss each."""
    values = [("red mug", "in the den"), ("tin box", "in the loft"), ("red mug", "in the shed")]
    told = [
        Told(number=n, text=f"The {subject} is {value}.", facts=(Fact(subject=subject, relation="place", value=value),))
        for n, (subject, value) in enumerate(values)
    ]
    asked = [
        Asked(number=number, told=number % 3, kind=kind, question=f"Where is it {number}?", answers=("x",), value="x")
        for number, kind in enumerate(("paraphrase", "paraphrase", "paraphrase", "near_miss", "near_miss", "near_miss"))
    ]
    return Stream(told=tuple(told), asked=tuple(asked))  # type: ignore[arg-type]


SEQUENCE = Course(cohorts=((0,), (1,), (2,)), fresh=False, points=(3,))


def examiner(course: Course) -> Examiner:
    return Examiner(tiny_base(), stream(), course, seed=0, num_reading=2, num_unrelated=2)


def in_context(folder: Path, update: int) -> Learner:
    return InContext(tiny_base(), stream())


def test_sequential_is_asked_in_full_every_fifth_update() -> None:
    course = course_of("sequential", updates=12, per_update=3, batches=())
    assert course.points == (5, 10, 12) and not course.fresh
    assert course.cohorts[1] == (3, 4, 5) and course.known(2) == (0, 1, 2, 3, 4, 5) and course.cohort_of(4) == 2


def test_long_sequences_are_asked_in_full_at_a_few_points() -> None:
    assert course_of("sequential", updates=100, per_update=10, batches=()).points == (1, 10, 20, 50, 100)
    assert course_of("sequential", updates=60, per_update=10, batches=()).points == (1, 10, 20, 50, 60)


def test_single_and_batch_begin_anew_at_each_update() -> None:
    single = course_of("single", updates=6, per_update=9, batches=())
    assert (
        single.cohorts == ((0,), (1,), (2,), (3,), (4,), (5,)) and single.known(3) == (2,) and single.points == (5, 6)
    )
    batch = course_of("batch", updates=6, per_update=9, batches=(2, 3))
    assert batch.cohorts == ((0, 1), (2, 3, 4)) and batch.known(2) == (2, 3, 4) and batch.points == (1, 2)


def test_after_an_update_its_own_questions_are_asked_and_at_points_all_that_are_valid() -> None:
    asked = [[one.number for one in examiner(SEQUENCE).questions(update)] for update in (1, 2, 3)]
    assert asked == [[0], [1], [1, 2, 3, 4, 5]]


def test_where_each_update_begins_anew_near_misses_are_asked_each_time() -> None:
    fresh = Course(cohorts=((0,), (1,), (2,)), fresh=True, points=(3,))
    assert [[one.number for one in examiner(fresh).questions(update)] for update in (1, 3)] == [[0, 3], [2, 5]]


def test_a_run_leaves_a_line_for_each_update(tmp_path: Path) -> None:
    lines = run_course(tmp_path / "run", stream(), SEQUENCE, examiner(SEQUENCE), in_context)
    assert lines == finished_lines(tmp_path / "run" / ITEMS_FILE)
    assert [(line.update, line.is_point, len(line.rows)) for line in lines] == [
        (1, False, 1),
        (2, False, 1),
        (3, True, 5),
    ]
    assert lines[2].drift_nats is not None and lines[2].drift_nats["all"] == 0.0 and lines[1].drift_nats is None


def test_a_run_that_died_within_a_line_goes_on_after_its_last_whole_one(tmp_path: Path) -> None:
    whole = run_course(tmp_path / "run", stream(), SEQUENCE, examiner(SEQUENCE), in_context)
    path = tmp_path / "run" / ITEMS_FILE
    first, second, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[: len(second) // 2])

    again = run_course(tmp_path / "run", stream(), SEQUENCE, examiner(SEQUENCE), in_context)
    assert path.read_bytes().startswith(first)
    # The ceiling of the last update needs what the first ones told, which the second process never injected.
    assert [line.rows for line in again] == [line.rows for line in whole]


def test_a_finished_run_makes_no_learner(tmp_path: Path) -> None:
    lines = run_course(tmp_path / "run", stream(), SEQUENCE, examiner(SEQUENCE), in_context)

    def none(folder: Path, update: int) -> Learner:
        raise AssertionError

    assert run_course(tmp_path / "run", stream(), SEQUENCE, examiner(SEQUENCE), none) == lines


def test_a_method_that_learns_all_anew_does_so_at_points_only(tmp_path: Path) -> None:
    made = []

    def learner(folder: Path, update: int) -> Learner:
        made.append((folder.name, update))
        return InContext(tiny_base(), stream())

    course = Course(cohorts=((0,), (1,), (2,)), fresh=False, points=(1, 3))
    lines = run_course(tmp_path / "run", stream(), course, examiner(course), learner, only_points=True)
    assert made == [("update-001", 1), ("update-003", 3)]
    assert [(line.update, line.cost.num_learned) for line in lines] == [(1, 1), (3, 3)]


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another run works in"):
            run_course(folder, stream(), SEQUENCE, examiner(SEQUENCE), in_context)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / ITEMS_FILE
    append_line(path, UpdateLine(update=1, cost=UpdateCost(seconds=1.0), is_point=False, rows=()))
    path.write_bytes(path.read_bytes() + json.dumps({"update": 2}).encode() + b"\n")
    with pytest.raises(BadInput, match="line 2 is no finished update"):
        finished_lines(path)


def test_the_ceiling_reads_what_a_question_is_about_and_the_floor_nothing() -> None:
    ceiling, floor = InContext(tiny_base(), stream()), NoMemory(tiny_base(), stream())
    for told in stream().told:
        ceiling.learn([told])
        floor.learn([told])
    assert ceiling.notes(stream().asked[0]) == ["The red mug is in the den.", "The red mug is in the shed."]
    assert ceiling.notes(stream().asked[1]) == ["The tin box is in the loft."]
    assert floor.notes(stream().asked[0]) == []


def test_notes_that_do_not_fit_go_oldest_first_and_are_counted() -> None:
    told = tuple(
        Told(number=n, text=f"{'word ' * 60}{n}", facts=(Fact(subject="a", relation="b", value=str(n)),))
        for n in range(9)
    )
    long = Stream(told=told, asked=(Asked(number=0, told=0, kind="paraphrase", question="What?", answers=("x",)),))
    course = Course(cohorts=((0,),), fresh=False, points=(1,))
    reader = InContext(tiny_base(), long)
    reader.learn(told)
    asker = Examiner(tiny_base(), long, course, seed=0, num_reading=1, num_unrelated=1)
    [row] = asker.rows(reader, 1)
    assert 0 < row.num_dropped < 9
