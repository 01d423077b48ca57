"""One method, one seed, one world: a life is learned stop by stop, and at some stops things are fetched.

Knows: asking a memory, carrying tasks out, and taking an interrupted run up again. Refuses to know: how a method
learns, any particular world, what figures mean.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from agent.study.examiner import fitted_prompt
from agent.study.lines import ITEMS_FILE, append_line, taken_up
from agent.study.methods import Learner, Remembering
from agent.study.records import Asked
from benchmarks.fetch_life import tasks_at
from benchmarks.fetch_records import FetchLine, FetchRow, Life, Scene, Stop, Task
from benchmarks.fetch_seeking import by_votes, fetch, place_named
from memory_log.fields import Record
from updater.generation import generate_texts
from updater.language_model import LanguageModel

KNOWS_ALL: Final = "perfect"
KNOWS_NOTHING: Final = "none"


class ErrandPlan(Record):
    """How things are asked for and fetched.

    Example: ErrandPlan(rounds=3, num_questions=5, step_limit=30)
    """

    rounds: int
    """Tasks for each thing at the last point; one at earlier points."""
    num_questions: int
    step_limit: int


class WholeLog(Remembering):
    """The in-context log: the base model reads everything that was written down, as far as it fits."""

    def notes(self, asked: Asked) -> list[str]:
        """All experiences, in order of time."""
        return [self.stream.told[number].text for number in self.known]


class Recalled(NamedTuple):
    """What a memory answered to the questions of a task, and what asking took."""

    said: tuple[str, ...] = ()
    prompt_tokens: float = 0.0
    num_dropped: float = 0.0


def run_life(
    folder: Path,
    life: Life,
    errands: ErrandPlan,
    base: LanguageModel,
    make: Callable[[Path], Learner],
    *,
    method: str,
    seed: int,
) -> list[FetchLine]:
    """Learn and fetch until the life has ended; what the folder holds of it already is not done again.

    Args:
        folder: of this world, method and seed; its `items.jsonl` gets a line, on disk, as each stop ends.
        life: what is learned, and the world at each point.
        errands: how things are fetched.
        base: theta_0.
        make: the method, which keeps its memory in the folder that it is given, and takes up what is there.
        method: its name; `none` and `perfect` ask no memory.
        seed: of questions and starting places.

    Raises:
        BadInput: another process is at it, or the folder's lines are damaged.
    """
    with taken_up(folder, FetchLine) as lines:
        learner = make(folder / "memory")
        try:
            for done in life.stops[: len(lines)]:
                learner.recall([life.told[number] for number in done.numbers])
            for stop in life.stops[len(lines) :]:
                cost = learner.learn([life.told[number] for number in stop.numbers])
                rows = _rows(life, stop, errands, base, learner, method=method, seed=seed) if stop.is_point else ()
                lines.append(FetchLine(episode=stop.episode, cost=cost, is_point=stop.is_point, rows=rows))
                append_line(folder / ITEMS_FILE, lines[-1])
        finally:
            learner.close()
    return lines


def _rows(
    life: Life, stop: Stop, errands: ErrandPlan, base: LanguageModel, learner: Learner, *, method: str, seed: int
) -> tuple[FetchRow, ...]:
    is_last = stop is life.stops[-1]
    rounds = errands.rounds if is_last else 1
    tasks = tasks_at(life, stop.episode, rounds=rounds, num_questions=errands.num_questions, seed=seed)
    scene = life.scenes[stop.episode]
    if method in (KNOWS_ALL, KNOWS_NOTHING):
        recalled = [Recalled() for _ in tasks]
    else:
        recalled = recall(base, learner, tasks)
    return tuple(
        _row(scene, task, one, errands.step_limit, knows_all=method == KNOWS_ALL, start=f"start/{seed}/{stop.episode}")
        for task, one in zip(tasks, recalled, strict=True)
    )


def recall(base: LanguageModel, learner: Learner, tasks: Sequence[Task]) -> list[Recalled]:
    """What the memory answers to every question of every task, all asked at once."""
    asked = [
        Asked(number=number, told=0, kind="paraphrase", question=question, answers=())
        for number, question in enumerate(question for task in tasks for question in task.questions)
    ]
    fitted = [fitted_prompt(base, one.question, learner.notes(one)) for one in asked]
    said = generate_texts(learner.model, base.dialogue, [prompt for prompt, _ in fitted])
    found, start = [], 0
    for task in tasks:
        mine = slice(start, start + len(task.questions))
        tokens = [len(prompt) for prompt, _ in fitted[mine]]
        dropped = [num_dropped for _, num_dropped in fitted[mine]]
        found.append(Recalled(tuple(said[mine]), sum(tokens) / len(tokens), sum(dropped) / len(dropped)))
        start = mine.stop
    return found


def _row(scene: Scene, task: Task, recalled: Recalled, limit: int, *, knows_all: bool, start: str) -> FetchRow:
    spots, true_spot = scene.spots, scene.spot_of(task.thing)
    hints = [true_spot] if knows_all else by_votes(recalled.said, spots)
    errand = scene.errand(task.thing, random.Random(f"{start}/{task.thing}/{task.round}"))
    attempt = fetch(errand, hints, spots, limit=limit)
    return FetchRow(
        thing=task.thing,
        kind=task.kind,
        round=task.round,
        said=recalled.said,
        num_right=sum(place_named(said, spots) == true_spot for said in recalled.said),
        steps=attempt.steps,
        fetched=attempt.fetched,
        prompt_tokens=recalled.prompt_tokens,
        num_dropped=recalled.num_dropped,
    )
