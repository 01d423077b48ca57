"""What a study is made of: its TOML file.

Knows: which settings there are, their bounds, the file that explains them, and which course and questions follow.
Refuses to know: how methods learn, processes, figures.
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from agent.study.contestants import METHODS
from agent.study.courses import POINT_EVERY, Course
from agent.study.drift import NUM_EACH
from agent.study.examiner import NUM_READING
from agent.study.household import household_stream
from agent.study.passages import Format, read_passages, stream_of
from agent.study.records import QuestionKind, Stream
from memory_log.errors import BadInput
from memory_log.fields import Name, Record
from updater.settings import UpdateSettings

FRESH: Final = "fresh_lora"
MORE_KINDS: Final[tuple[QuestionKind, ...]] = ("verbatim", "reverse", "implication", "never_seen")
SourceKind = Literal["household", Format]

Count = Annotated[int, Field(ge=1)]


class SourceSettings(Record):
    """Where experiences and questions come from.

    Example: SourceSettings(kind="jsonl", path="sessions.jsonl")
    """

    kind: SourceKind = "household"
    path: str | None = None
    """A file; relative to the study's own file. None for the household."""
    changed_share: float = Field(default=0.15, ge=0.0, le=0.5)
    """Of the household's experiences, those that give an earlier fact another value."""
    near_misses: int = Field(default=240, ge=0)
    """At least so many in the household's whole stream, two for each experience at least."""

    @model_validator(mode="after")
    def _has_its_path(self) -> "SourceSettings":
        if (self.kind == "household") != (self.path is None):
            raise ValueError("path: give one for every kind but household, which has none")
        return self


class ScheduleSettings(Record):
    """What is learned when, and when everything is asked.

    Example: ScheduleSettings(updates=30, experiences_per_update=5, points=(10, 20, 30))
    """

    updates: Count = 30
    experiences_per_update: Count = 5
    points: tuple[Count, ...] = ()
    """Updates after which everything still valid is asked; none means every fifth. The last is always one."""
    fresh_lora_points: tuple[Count, ...] = ()
    """Points at which `fresh_lora` learns everything so far anew; none means the last."""

    @model_validator(mode="after")
    def _are_updates(self) -> "ScheduleSettings":
        for name in ("points", "fresh_lora_points"):
            beyond = [point for point in getattr(self, name) if point > self.updates]
            if beyond:
                raise ValueError(f"{name}: {beyond} lie beyond the {self.updates} updates")
        return self


class KeptSettings(Record):
    """With how much it is measured what weights have kept of the base model, at each point.

    Example: KeptSettings(reading_questions=40)
    """

    reading_questions: Count = NUM_READING
    """Questions that one of four notes in the prompt answers."""
    unrelated_sentences: Count = NUM_EACH
    """Of each kind, for drift."""


class StudyConfig(Record):
    """A whole study. Everything that its results depend on stands here.

    Example: StudyConfig(name="trial", methods=("ours", "none"), seeds=(0,))
    """

    name: Name = "study"
    methods: tuple[str, ...] = ("ours", "in_context", "none", "bm25")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3, 4)
    model: str | None = None
    """Folder, relative to the study's own file, or Hugging Face id; None is the embedded model."""
    device: str = "cpu"
    top: Count = 4
    """Experiences that retrieval puts into a prompt."""
    source: SourceSettings = SourceSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    kept: KeptSettings = KeptSettings()
    update: dict[str, Any] = Field(default={})
    """Settings of an update, as in `selfparam.toml`; what is not named has its default."""

    @model_validator(mode="after")
    def _fits(self) -> "StudyConfig":
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown:
            raise ValueError(f"methods: there is no {', '.join(map(repr, unknown))}; there are: {', '.join(METHODS)}")
        for name in ("methods", "seeds"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name}: give at least one, and none twice")
        if "seed" in self.update:
            raise ValueError("update.seed: every seed of the study is its updates' own; leave it out")
        UpdateSettings.model_validate(self.update)
        return self

    @property
    def course(self) -> Course:
        """What is learned when."""
        size, count = self.schedule.experiences_per_update, self.schedule.updates
        points = self.schedule.points or range(POINT_EVERY, count, POINT_EVERY)
        cohorts = tuple(tuple(range(start, start + size)) for start in range(0, size * count, size))
        return Course(cohorts=cohorts, fresh=False, points=tuple(sorted({*points, count})), asks_before=True)

    def course_of(self, method: str) -> Course:
        """The same; of `fresh_lora` only the points at which it learns."""
        course = self.course
        if method != FRESH:
            return course
        points = tuple(sorted({*self.schedule.fresh_lora_points, len(course.cohorts)}))
        return course.model_copy(update={"points": points, "asks_before": False})

    def num_lines(self, method: str) -> int:
        """How many updates a method makes."""
        course = self.course_of(method)
        return len(course.points if method == FRESH else course.cohorts)

    def stream(self, seed: int) -> Stream:
        """The experiences and questions of one seed.

        Raises:
            BadInput: the file cannot be read, or holds too little.
        """
        num_told = self.schedule.updates * self.schedule.experiences_per_update
        if self.source.path is None:
            return household_stream(
                num_told, seed=seed, changed_share=self.source.changed_share,
                least_near_misses=self.source.near_misses, also=MORE_KINDS,
            )  # fmt: skip
        form: Format = self.source.kind  # type: ignore[assignment]  # a path stands with every other kind only
        return stream_of(read_passages(Path(self.source.path), form), num_told, seed=seed)

    def settings(self, seed: int) -> UpdateSettings:
        """How an update of one seed is made."""
        return UpdateSettings.model_validate({**self.update, "seed": seed})


def read_config(path: Path) -> StudyConfig:
    """A study's file.

    Raises:
        BadInput: it cannot be read, is no TOML, or holds something that does not fit; the message says where.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} cannot be read ({exc}); make one with: selfparam study init {path}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise BadInput(f"{path} is no TOML: {exc}") from exc
    try:
        config = StudyConfig.model_validate(found)
    except ValidationError as exc:
        problem = exc.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise BadInput(f"{path}: {where}: {problem['msg']}") from exc
    if config.model is not None and (beside := path.parent / config.model).is_dir():
        config = config.model_copy(update={"model": str(beside.resolve())})
    if config.source.path is None:
        return config
    source = config.source.model_copy(update={"path": str((path.parent / config.source.path).resolve())})
    return config.model_copy(update={"source": source})


def as_toml(config: StudyConfig) -> str:
    """A configuration as a file that `read_config` reads, with a comment over every part."""
    schedule, source = config.schedule, config.source
    lines = [
        "# A retention study: selfparam study run THIS_FILE. docs/study.md explains every line.",
        f"name = {_toml(config.name)}",
        "# Methods beside each other:",
        *(f"#   {name:14} {what}" for name, what in METHODS.items()),
        f"methods = {_toml(list(config.methods))}",
        "# One stream of experiences each; intervals are over seeds, so give at least three, better five.",
        f"seeds = {_toml(list(config.seeds))}",
        "# A folder or a Hugging Face id; without it, the embedded model.",
        f"model = {_toml(config.model)}" if config.model else '# model = "path/to/model"',
        f"device = {_toml(config.device)}",
        "# Experiences that retrieval puts into a prompt.",
        f"top = {config.top}",
        "",
        "[source]",
        "# household draws experiences and questions of every kind; jsonl, pwc, squad and babi read them from a file.",
        f"kind = {_toml(source.kind)}",
        f"path = {_toml(source.path)}" if source.path else '# path = "passages.jsonl"',
        "# Of the household: the share of experiences that change an earlier fact, and near misses in all.",
        f"changed_share = {source.changed_share}",
        f"near_misses = {source.near_misses}",
        "",
        "[schedule]",
        f"updates = {schedule.updates}",
        f"experiences_per_update = {schedule.experiences_per_update}",
        "# Updates after which everything still valid is asked; [] is every fifth. The last one always is.",
        f"points = {_toml(list(schedule.points))}",
        "# Where fresh_lora learns everything so far anew; [] is the last update only.",
        f"fresh_lora_points = {_toml(list(schedule.fresh_lora_points))}",
        "",
        "[kept]",
        "# Questions to read notes for, and unrelated sentences of each kind, after each of these updates.",
        f"reading_questions = {config.kept.reading_questions}",
        f"unrelated_sentences = {config.kept.unrelated_sentences}",
        "",
        "[update]",
        "# Settings of an update that differ from their defaults: see `selfparam settings`.",
        *(f"{name} = {_toml(value)}" for name, value in config.update.items()),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A value of JSON as TOML writes it; they differ in tables only."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(name)} = {_toml(one)}' for name, one in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # as TOML has it
