"""The plan of a run, and carrying out any part of it: which stream, which course, which method by name.

Knows: composition. Refuses to know: processes, the command line, measures.
"""

import functools
import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from agent.memory import choose_device
from agent.study.contestants import learner_of
from agent.study.courses import Course, ProtocolName, course_of
from agent.study.drift import NUM_EACH
from agent.study.examiner import NUM_READING, Examiner
from agent.study.household import LEAST_NEAR_MISSES, household_stream
from agent.study.passages import Format, read_passages, stream_of
from agent.study.records import Stream
from agent.study.running import run_course
from benchmarks.kept import settle_in
from memory_log.errors import BadInput
from memory_log.fields import Record
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.settings import UpdateSettings

QUICK_NEAR_MISSES: Final = 24
QUICK_READING: Final = 40
QUICK_UNRELATED: Final = 12


class Plan(Record):
    """What a run measures; a folder of --work holds one plan, for as many methods and seeds as one likes.

    Example: Plan(protocol="sequential", updates=20, per_update=5, batches=(20, 100), changed_share=0.15, top=4,
        model="folder", device="cpu", data=None, form="jsonl", settings={}, quick=False)
    """

    protocol: ProtocolName
    updates: int
    per_update: int
    batches: tuple[int, ...]
    changed_share: float
    top: int
    """Experiences that retrieval puts into a prompt."""
    model: str
    device: str
    data: str | None
    """A file of contexts and questions; None draws them from the household."""
    form: Format
    settings: dict[str, Any]
    quick: bool

    @property
    def course(self) -> Course:
        """What is injected when."""
        return course_of(self.protocol, updates=self.updates, per_update=self.per_update, batches=self.batches)

    def updates_of(self, method: str) -> int:
        """How many updates a method makes in this course."""
        return len(self.course.points if method == "fresh_lora" else self.course.cohorts)

    def stream(self, seed: int) -> Stream:
        """The experiences and questions of one seed.

        Raises:
            BadInput: the file cannot be read, or holds too little.
        """
        num_told = sum(len(cohort) for cohort in self.course.cohorts)
        if self.data is not None:
            return stream_of(read_passages(Path(self.data), self.form), num_told, seed=seed)
        changed_share = 0.0 if self.course.fresh else self.changed_share
        least = QUICK_NEAR_MISSES if self.quick else LEAST_NEAR_MISSES
        return household_stream(num_told, seed=seed, changed_share=changed_share, least_near_misses=least)

    def examiner(self, base: LanguageModel, stream: Stream, seed: int) -> Examiner:
        """Who asks, of one seed; the quick form asks less."""
        num_reading, num_unrelated = (QUICK_READING, QUICK_UNRELATED) if self.quick else (NUM_READING, NUM_EACH)
        return Examiner(base, stream, self.course, seed=seed, num_reading=num_reading, num_unrelated=num_unrelated)

    def settle_in(self, work: Path) -> None:
        """Write the plan down in a folder, or see that it is the one that is written there.

        Raises:
            BadInput: the folder holds a run of other settings.
        """
        settle_in(work, json.loads(self.model_dump_json()))


def folder_of(work: Path, method: str, seed: int) -> Path:
    """Where the lines, and the memory, of one method and seed lie."""
    return work / f"seed-{seed}" / method


def run_pair(plan: Plan, method: str, seed: int, folder: Path) -> None:
    """One method and one seed, from the start or from where it was interrupted, to the end."""
    quiet_transformers()
    base = load_language_model(plan.model, device=choose_device(plan.device))
    stream, course = plan.stream(seed), plan.course
    settings = UpdateSettings.model_validate({**plan.settings, "seed": seed})
    make = functools.partial(learner_of, method, base, stream, settings, plan.top)
    examiner = plan.examiner(base, stream, seed)
    run_course(folder, stream, course, examiner, make, only_points=method == "fresh_lora")


def parsed_settings(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE words as settings of an update; `a.b=1` sets b within a.

    Raises:
        BadInput: one is malformed, or no setting.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name:
            raise BadInput(f"--set got {pair!r}, needed KEY=VALUE, such as num_steps=60")
        *groups, last = name.split(".")
        place = settings
        for group in groups:
            place = place.setdefault(group, {})
        try:
            place[last] = json.loads(value)
        except ValueError:
            place[last] = value
    if "seed" in settings:
        raise BadInput("--set seed: every seed of --seeds is its update's own; use --first-seed")
    try:
        UpdateSettings.model_validate(settings)
    except ValidationError as exc:
        problem = exc.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        known = ", ".join(sorted(UpdateSettings.model_fields))
        raise BadInput(f"--set {where}: {problem['msg']}; settings are: {known}") from exc
    return settings
