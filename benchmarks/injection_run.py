"""One method, one seed, one protocol: experiences are injected, then questions are asked.

Knows: the three protocols as courses of cohorts, what is asked when, and taking an interrupted run up again. Refuses to
know: how a method learns, what figures mean.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

from transformers import PreTrainedModel

from agent.reading_check import Item, num_right, reading_items
from benchmarks.injection_drift import KINDS, drift_nats, unrelated_sentences
from benchmarks.injection_measures import exact_match, token_f1
from benchmarks.injection_methods import Learner
from benchmarks.injection_records import AnsweredRow, Asked, Stream, Told, UpdateLine
from benchmarks.kept_lines import ITEMS_FILE, append_line, locked, whole_lines
from memory_log.errors import BadInput
from memory_log.fields import Record
from updater.generation import fits, generate_texts
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence

ProtocolName = Literal["single", "batch", "sequential"]
LONG: Final = 50
"""Updates from which on everything is asked at a few points only."""
LONG_POINTS: Final = (1, 10, 20, 50, 100)
POINT_EVERY: Final = 5
NUM_READING: Final = 200


class Course(Record):
    """What is injected when: `cohorts` of experience numbers; `fresh` where each begins with the base model.

    Example: Course(cohorts=((0, 1), (2, 3)), fresh=False, points=(2,)).known(2) == (0, 1, 2, 3)
    """

    cohorts: tuple[tuple[int, ...], ...]
    fresh: bool
    points: tuple[int, ...]
    """Updates, from 1, after which everything still valid is asked."""

    def known(self, update: int) -> tuple[int, ...]:
        """The experiences that a method has lived after an update."""
        lived = self.cohorts[update - 1 : update] if self.fresh else self.cohorts[:update]
        return tuple(number for cohort in lived for number in cohort)

    def cohort_of(self, told: int) -> int:
        """The update, from 1, that injects an experience."""
        return next(place for place, cohort in enumerate(self.cohorts, start=1) if told in cohort)


def course_of(protocol: ProtocolName, *, updates: int, per_update: int, batches: Sequence[int]) -> Course:
    """The course of a protocol.

    Args:
        protocol: `single` injects each of `updates` experiences alone into the base model; `batch` each of `batches`
            at once into the base model; `sequential` one cohort after the other.
        updates: how many.
        per_update: experiences of one update of `sequential`.
        batches: sizes of `batch`.
    """
    sizes = {"single": [1] * updates, "batch": list(batches), "sequential": [per_update] * updates}[protocol]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    cohorts = tuple(tuple(range(start, start + size)) for start, size in zip(starts, sizes, strict=True))
    count = len(sizes)
    if protocol == "batch":
        points = list(range(1, count + 1))
    elif count >= LONG:
        points = [point for point in LONG_POINTS if point < count]
    else:
        points = list(range(POINT_EVERY, count, POINT_EVERY))
    return Course(cohorts=cohorts, fresh=protocol != "sequential", points=tuple(sorted({*points, count})))


class Examiner:
    """Asks questions of any learner, and measures what its weights have kept of the base model.

    Args:
        base: theta_0.
        stream: experiences and questions.
        course: what is known when.
        seed: of the reading questions and the unrelated text.
        num_reading: reading questions.
        num_unrelated: unrelated sentences of each kind.
    """

    def __init__(
        self,
        base: LanguageModel,
        stream: Stream,
        course: Course,
        *,
        seed: int,
        num_reading: int,
        num_unrelated: int,
    ) -> None:
        self._base, self._stream, self._course = base, stream, course
        self._exact = base.dialogue.style.language == "household"
        self._seed, self._num_reading, self._num_unrelated = seed, num_reading, num_unrelated

    @cached_property
    def _reading(self) -> list[Item]:
        return reading_items(self._num_reading, num_notes=4, seed=self._seed)

    @cached_property
    def _base_reading(self) -> int:
        return num_right(self._base, self._reading)

    @cached_property
    def _unrelated(self) -> dict[str, list[TokenizedSentence]]:
        return unrelated_sentences(self._base, self._num_unrelated, self._seed)

    def questions(self, update: int) -> list[Asked]:
        """What is asked after an update: its own questions, and at a point everything still valid and near misses."""
        known = self._course.known(update)
        own, is_point = set(self._course.cohorts[update - 1]), update in self._course.points
        return [
            asked
            for asked in self._stream.asked
            if asked.told in known
            and (is_point or asked.told in own)
            and (asked.kind != "near_miss" or is_point or self._course.fresh)
            and (asked.kind == "near_miss" or self._stream.still_valid(asked, known))
        ]

    def rows(self, learner: Learner, update: int) -> tuple[AnsweredRow, ...]:
        """Every question after an update with its answer."""
        asked = self.questions(update)
        fitted = [fitted_prompt(self._base, one.question, learner.notes(one)) for one in asked]
        said = generate_texts(learner.model, self._base.dialogue, [prompt for prompt, _ in fitted])
        return tuple(
            self._row(one, text, taught=learner.was_taught(one.question), num_dropped=num_dropped)
            for one, text, (_, num_dropped) in zip(asked, said, fitted, strict=True)
        )

    def _row(self, asked: Asked, said: str, *, taught: bool, num_dropped: int) -> AnsweredRow:
        says_unknown = self._base.dialogue.says_unknown(said)
        return AnsweredRow(
            asked=asked.number,
            kind=asked.kind,
            told=asked.told,
            cohort=self._course.cohort_of(asked.told),
            num_changes=self._stream.num_changes[asked.told],
            question=asked.question,
            answer=asked.answers[0],
            said=said,
            right=self._is_right(asked, said, says_unknown=says_unknown),
            exact=exact_match(said, asked.answers),
            f1=token_f1(said, asked.answers),
            says_unknown=says_unknown,
            taught=taught,
            num_dropped=num_dropped,
        )

    def _is_right(self, asked: Asked, said: str, *, says_unknown: bool) -> bool:
        """As the demo judges: to the word for a model of the household, else the value; else SQuAD's exact match."""
        if asked.kind == "near_miss":
            return says_unknown
        if not asked.value:
            return exact_match(said, asked.answers) == 1.0
        if self._exact:
            return said == asked.answers[0]
        return not says_unknown and asked.value in said.lower()

    def reading_kept(self, model: PreTrainedModel) -> float | None:
        """Questions right that one of four notes in the prompt answers, over those that the base gets right; None where
        the base gets none right.
        """
        if model is self._base.model:
            return 1.0
        return num_right(self._base, self._reading, model=model) / self._base_reading if self._base_reading else None

    def drift_nats(self, model: PreTrainedModel) -> dict[str, float]:
        """How far the model is from the base on unrelated text, by kind."""
        if model is self._base.model:
            return dict.fromkeys((*KINDS, "all"), 0.0)
        return drift_nats(self._base, model, self._unrelated)


def fitted_prompt(base: LanguageModel, question: str, notes: Sequence[str]) -> tuple[list[int], int]:
    """A prompt that the model can read, and how many of its notes, the oldest, had to go for that.

    Raises:
        BadInput: the question alone is too long.
    """
    prompt = base.dialogue.prompt_ids(question, notes)
    if fits(prompt, base.context_length):
        return prompt, 0
    kept = base.dialogue.prompt_ids(question, [])
    if not fits(kept, base.context_length):
        raise BadInput(
            f"a question takes {len(kept)} tokens and the model reads {base.context_length}, some of them kept "
            f"for the answer; leave it out: {question[:80]!r}"
        )
    too_few, enough = 0, len(notes)
    while enough - too_few > 1:
        num_dropped = (too_few + enough) // 2
        prompt = base.dialogue.prompt_ids(question, notes[num_dropped:])
        if fits(prompt, base.context_length):
            enough, kept = num_dropped, prompt
        else:
            too_few = num_dropped
    return kept, enough


MakeLearner = Callable[[Path, int], Learner]
"""(folder, update) -> a learner that keeps its memory there, takes up what is there, and begins with this update."""


def run_course(
    folder: Path, stream: Stream, course: Course, examiner: Examiner, make: MakeLearner, *, only_points: bool = False
) -> list[UpdateLine]:
    """Inject and ask until the course has ended; what the folder holds of it already is not done again.

    Args:
        folder: of this method and seed; its `items.jsonl` gets a line, on disk, as each update ends.
        stream: experiences and questions.
        course: what is injected when.
        examiner: asks.
        make: the method.
        only_points: for a method that learns everything so far anew at each update: only where everything is asked.

    Raises:
        BadInput: another process is at it, or the folder's lines are damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    begins_anew = course.fresh or only_points
    with locked(folder):
        lines = finished_lines(folder / ITEMS_FILE)
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
