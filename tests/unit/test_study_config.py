"""A study's file: what it may hold, and what is said of what does not fit."""

from pathlib import Path

import pytest

from agent.study.config import MORE_KINDS, ScheduleSettings, SourceSettings, StudyConfig, as_toml, read_config
from memory_log.errors import BadInput


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "config",
    [
        StudyConfig(),
        StudyConfig(
            name="a \"quoted\" name", methods=("ours", "fresh_lora"), seeds=(3, 5), model="some/model", top=2,
            schedule=ScheduleSettings(updates=12, experiences_per_update=2, points=(4, 12), fresh_lora_points=(6,)),
            update={"num_steps": 7, "teacher": {"weights": "current"}},
        ),
    ],
)  # fmt: skip
def test_what_is_written_is_read_again(config: StudyConfig, tmp_path: Path) -> None:
    assert read_config(written(tmp_path / "study.toml", as_toml(config))) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods = [", "is no TOML"),
        ('methods = ["our"]', "there is no 'our'; there are: ours, none"),
        ('methods = ["ours", "ours"]', "none twice"),
        ("seeds = []", "at least one"),
        ("seeds = [-1]", "seeds.0"),
        ("[schedule]\nupdates = 3\npoints = [4]", "beyond the 3 updates"),
        ("[schedule]\nupdate = 3", "schedule.update: Extra inputs"),
        ("[update]\nnum_step = 3", "num_step"),
        ("[update]\nseed = 3", "update.seed"),
        ('[source]\nkind = "jsonl"', "path: give one"),
        ('[source]\npath = "x"', "path: give one"),
    ],
)
def test_what_does_not_fit_is_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as raised:
        read_config(written(tmp_path / "study.toml", text))
    assert said in str(raised.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="study init"):
        read_config(tmp_path / "none.toml")


def test_a_sources_path_is_relative_to_the_file(tmp_path: Path) -> None:
    config = read_config(written(tmp_path / "s.toml", '[source]\nkind = "squad"\npath = "here.json"\n'))
    assert config.source == SourceSettings(kind="squad", path=str(tmp_path / "here.json"))


def test_fresh_lora_learns_at_its_points_only() -> None:
    schedule = ScheduleSettings(updates=20, fresh_lora_points=(10,))
    config = StudyConfig(methods=("ours", "fresh_lora"), schedule=schedule)
    assert config.course.points == (5, 10, 15, 20) and config.num_lines("ours") == 20
    assert config.course_of("fresh_lora").points == (10, 20) and config.num_lines("fresh_lora") == 2


def test_the_household_gives_questions_of_every_kind_and_the_same_ones_each_time() -> None:
    config = StudyConfig(schedule=ScheduleSettings(updates=4, experiences_per_update=5))
    stream = config.stream(0)
    assert stream == config.stream(0) != config.stream(1)
    assert {asked.kind for asked in stream.asked} == {"paraphrase", "new_phrasing", "near_miss", *MORE_KINDS}
