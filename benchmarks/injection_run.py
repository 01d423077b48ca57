"""One method, one seed, one protocol: experiences are injected, then questions are asked.

Knows: the three protocols as courses of cohorts, what is asked when, and taking an interrupted run up again. Refuses to
know: how a method learns, what figures mean.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PreTrainedModel

from agent.household.anchors import household_anchors
from agent.reading_check import reading_items, share_right
from benchmarks.injection_measures import exact_match, token_f1
from benchmarks.injection_methods import Learner
from benchmarks.injection_records import AnsweredRow, Asked, Stream, Told, UpdateLine
from memory_log.errors import BadInput
from memory_log.fields import Record
from updater.anchors import self_sampled_anchors
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence, collate, completion_logits

ProtocolName = Literal["single", "batch", "sequential"]
LONG: Final = 50
"""Updates from which on everything is asked at a few points only."""
LONG_POINTS: Final = (1, 10, 20, 50, 100)
POINT_EVERY: Final = 5
NUM_READING: Final = 200
NUM_UNRELATED: Final = 80
UNRELATED_SEED: Final = -1
"""Seeds below zero are never an update's."""
DRIFT_BATCH: Final = 32
ITEMS_FILE: Final = "items.jsonl"


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
        points = range(1, count + 1)
    elif count >= LONG:
        points = [point for point in LONG_POINTS if point < count]
    else:
        points = range(POINT_EVERY, count, POINT_EVERY)
    return Course(cohorts=cohorts, fresh=protocol != "sequential", points=tuple(sorted({*points, count})))


class Examiner:
    """Asks questions of any learner, and measures what its weights have kept of the base model.

    Args:
        base: theta_0.
        stream: experiences and questions.
        course: what is known when.
        seed: of the reading questions and the unrelated text.
    """

    def __init__(self, base: LanguageModel, stream: Stream, course: Course, *, seed: int) -> None:
        self._base, self._stream, self._course = base, stream, course
        self._exact = base.dialogue.style.language == "household"
        self._reading = reading_items(NUM_READING, num_notes=4, seed=seed)
        self._unrelated = unrelated_sentences(base, seed)

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
        prompts = [self._base.dialogue.prompt_ids(one.question, learner.notes(one)) for one in asked]
        said = generate_texts(learner.model, self._base.dialogue, prompts)
        return tuple(
            self._row(one, text, taught=learner.was_taught(one.question)) for one, text in zip(asked, said, strict=True)
        )

    def _row(self, asked: Asked, said: str, *, taught: bool) -> AnsweredRow:
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

    def reading_share(self, model: PreTrainedModel) -> float:
        """Share right of questions that one of four notes in the prompt answers."""
        return share_right(self._base, self._reading, model=model)

    def drift_nats(self, model: PreTrainedModel) -> float:
        """KL(base || model) on unrelated text over the full vocabulary, mean over tokens, in nats."""
        return drift_nats(self._base, model, self._unrelated)


def unrelated_sentences(base: LanguageModel, seed: int) -> list[TokenizedSentence]:
    """Dialogues about strangers, with and without notes, the notes as plain text, and samples of the model's own.

    Their seeds are below zero, so that no update anchors on them.
    """
    dialogue = base.dialogue
    own_seed = UNRELATED_SEED - seed
    anchors = household_anchors(NUM_UNRELATED, own_seed) + self_sampled_anchors(base)(NUM_UNRELATED, abs(own_seed))
    found = [
        TokenizedSentence(tuple(dialogue.prompt_ids(a.prompt, a.notes)), tuple(dialogue.completion_ids(a.completion)))
        for a in anchors
    ]
    start = dialogue.tokenizer.bos_token_id
    first = (start if start is not None else dialogue.pad_token_id,)
    for note in [note for anchor in anchors for note in anchor.notes][:NUM_UNRELATED]:
        ids = dialogue.tokenizer(note, add_special_tokens=False)["input_ids"]
        found.append(TokenizedSentence(first, tuple(ids)))
    return found


@torch.inference_mode()
def drift_nats(base: LanguageModel, model: PreTrainedModel, sentences: Sequence[TokenizedSentence]) -> float:
    """mean over tokens of KL(P_base || P_model), in nats, over the full vocabulary. Shapes: B, T, V as elsewhere."""
    total, num_tokens = 0.0, 0
    by_length = sorted(sentences, key=lambda one: len(one.prompt_ids) + len(one.completion_ids))
    for start in range(0, len(by_length), DRIFT_BATCH):
        batch = collate(by_length[start : start + DRIFT_BATCH], base.dialogue.pad_token_id, base.device)
        base_BTV = completion_logits(base.model, batch).float().log_softmax(-1)
        model_BTV = completion_logits(model, batch).float().log_softmax(-1)
        kl_BT: Tensor = (base_BTV.exp() * (base_BTV - model_BTV)).sum(-1)
        total += float(kl_BT[batch.mask_BT].sum())
        num_tokens += int(batch.mask_BT.sum())
    return total / num_tokens


MakeLearner = Callable[[Path], Learner]
"""folder -> a learner that keeps its memory there, and takes up what is there."""


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
        learner: Learner | None = None
        for update in updates[len(lines) :]:
            told = [stream.told[number] for number in course.known(update)]
            if begins_anew or learner is None:
                learner = make(folder / (f"update-{update:03d}" if begins_anew else "memory"))
                if not begins_anew:
                    learner.recall(told[: -len(course.cohorts[update - 1])])
            new = told if begins_anew else told[-len(course.cohorts[update - 1]) :]
            lines.append(_injected(learner, examiner, update, new, is_point=update in course.points))
            append_line(folder / ITEMS_FILE, lines[-1])
    return lines


def _injected(learner: Learner, examiner: Examiner, update: int, told: Sequence[Told], *, is_point: bool) -> UpdateLine:
    cost = learner.learn(told)
    return UpdateLine(
        update=update,
        cost=cost,
        is_point=is_point,
        reading_share=examiner.reading_share(learner.model) if is_point else None,
        drift_nats=examiner.drift_nats(learner.model) if is_point else None,
        rows=examiner.rows(learner, update),
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; a process that dies lets go of it.

    Raises:
        BadInput: another process holds it.
    """
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BadInput(f"another run works in {folder}; wait for it, or choose another --work") from exc
        yield


def finished_lines(path: Path) -> list[UpdateLine]:
    """The updates that a run has finished; a last line that a dying process left unfinished is cut off.

    Raises:
        BadInput: another line cannot be read.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
    lines = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            lines.append(UpdateLine.model_validate_json(line))
        except ValidationError as exc:
            problem = exc.errors()[0]
            raise BadInput(
                f"{path} line {number} is no finished update ({problem['loc']}: {problem['msg']}); remove the folder "
                "to run it again, or choose another --work"
            ) from exc
    return lines


def append_line(path: Path, line: UpdateLine) -> None:
    """Append a finished update; it is on disk when this returns."""
    with path.open("ab") as file:
        file.write(line.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
