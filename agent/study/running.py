"""One method, one seed, one course: experiences are injected, then questions are asked.

Knows: what comes after what, and taking an interrupted run up again. Refuses to know: how a method learns, what figures
mean.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from agent.study.courses import Course
from agent.study.examiner import Examiner
from agent.study.lines import ITEMS_FILE, append_line, taken_up, whole_lines
from agent.study.methods import Learner
from agent.study.records import Stream, Told, UpdateLine

MakeLearner = Callable[[Path, int], Learner]
"""(folder, update) -> a learner that keeps its memory there, takes up what is there, and begins with this update."""


def run_course(
    folder: Path,
    stream: Stream,
    course: Course,
    examiner: Examiner,
    make: MakeLearner,
    *,
    only_points: bool = False,
    wait_seconds: float = 0.0,
) -> list[UpdateLine]:
    """Inject and ask until the course has ended; what the folder holds of it already is not done again.

    Args:
        folder: of this method and seed; its `items.jsonl` gets a line, on disk, as each update ends.
        stream: experiences and questions.
        course: what is injected when.
        examiner: asks.
        make: the method.
        only_points: for a method that learns everything so far anew at each update: only where everything is asked.
        wait_seconds: how long to wait for another process to let go of the folder.

    Raises:
        BadInput: another process is at it, or the folder's lines are damaged.
    """
    begins_anew = course.fresh or only_points
    with taken_up(folder, UpdateLine, wait_seconds=wait_seconds) as lines:
        updates = course.points if only_points else range(1, len(course.cohorts) + 1)
        with _LearnerAt(folder, course, stream, make, begins_anew=begins_anew) as at:
            for update in updates[len(lines) :]:
                learner, told = at(update)
                lines.append(_injected(learner, examiner, update, told, is_point=update in course.points))
                append_line(folder / ITEMS_FILE, lines[-1])
    return lines


class _LearnerAt:
    """The learner of an update and what it is to learn then: one for all updates, or a new one for each."""

    def __init__(self, folder: Path, course: Course, stream: Stream, make: MakeLearner, *, begins_anew: bool) -> None:
        self._folder, self._course, self._stream, self._make = folder, course, stream, make
        self._begins_anew = begins_anew
        self._learner: Learner | None = None

    def __call__(self, update: int) -> tuple[Learner, list[Told]]:
        """The learner, as it was before this update, and the experiences of the update."""
        known = [self._stream.told[number] for number in self._course.known(update)]
        new = known if self._begins_anew else known[-len(self._course.cohorts[update - 1]) :]
        if self._begins_anew:
            self.close()
        if self._learner is None:
            name = f"update-{update:03d}" if self._begins_anew else "memory"
            self._learner = self._make(self._folder / name, update)
            self._learner.recall(known[: len(known) - len(new)])
        return self._learner, new

    def close(self) -> None:
        """Close the learner of before, if any."""
        if self._learner is not None:
            self._learner.close()
            self._learner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _injected(learner: Learner, examiner: Examiner, update: int, told: Sequence[Told], *, is_point: bool) -> UpdateLine:
    cost = learner.learn(told)
    return UpdateLine(
        update=update,
        cost=cost,
        is_point=is_point,
        reading_kept=examiner.reading_kept(learner.model) if is_point else None,
        drift_nats=examiner.drift_nats(learner.model) if is_point else None,
        rows=examiner.rows(learner, update),
    )


def finished_lines(path: Path) -> list[UpdateLine]:
    """The updates that a run has finished; see `whole_lines`."""
    return whole_lines(path, UpdateLine)
