"""Experiences from another home: in order, once, and never its weights."""

import shutil
from pathlib import Path

import pytest

from agent.home import Home
from agent.home_backup import write_backup
from agent.home_import import Imported, import_experiences, opened_source, refuse_weights
from memory_log.errors import BackupCorrupt, BadInput, BaseModelChanged, IdempotencyConflict
from memory_log.records import ExperienceState, NewExperience
from tests.home_fixtures import learned_home, nothing, texts
from tests.log_fixtures import BASE, lease_of, mug

TOLD = ["The red mug is in drawer 1.", "The red mug is in drawer 2.", "Anna likes pears."]


def imported(source: Path, home: Home) -> Imported:
    with opened_source(source, progress=nothing) as opened:
        return import_experiences(opened, home, name=str(source), lineage="default", progress=nothing)


def test_everything_that_was_told_waits_in_order_and_nothing_else_comes_along(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home", model="owner/name")
    assert imported(source.path, home).num_taken == 3
    with source.open_log() as theirs, home.open_log() as ours:
        told, taken = theirs.experiences("default"), ours.experiences("default")
        assert {one.state for one in taken} == {ExperienceState.PENDING} and ours.versions("default") == []
    fields = {"text", "facts", "time", "agent", "session", "step", "observation", "action", "reward"}
    assert [one.model_dump(include=fields) for one in taken] == [one.model_dump(include=fields) for one in told]
    assert taken[2].key == "pears" and str(taken[0].key).startswith("import:")


def test_importing_twice_adds_nothing_from_the_folder_its_copy_or_its_back_up(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home")
    imported(source.path, home)
    shutil.copytree(source.path, tmp_path / "moved")
    write_backup(source, tmp_path / "one.tar", progress=nothing)
    for again in (source.path, tmp_path / "moved", tmp_path / "one.tar"):
        assert imported(again, home) == Imported(
            num_taken=0, num_there_already=3, is_older_than_known=False,
            num_skipped=dict.fromkeys((ExperienceState.FORGOTTEN, ExperienceState.REFUSED, ExperienceState.DEAD), 0),
        )  # fmt: skip
    with source.open_log() as log:
        log.append(NewExperience(text="Ben is in the hall."))
    assert imported(source.path, home).num_taken == 1
    assert texts(home) == [*TOLD, "Ben is in the hall."]


def test_set_aside_experiences_are_left_out_and_counted(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home")
    with source.open_log() as log:
        log.forget(1)
        lease = lease_of(log)
        batch = log.open_batch(lease, limit=1)
        log.reject_batch(lease, batch.id, reason="no good", refuse_experiences=True)
    took = imported(source.path, home)
    assert texts(home) == [TOLD[1]] and took.num_taken == 1
    assert (took.num_skipped[ExperienceState.FORGOTTEN], took.num_skipped[ExperienceState.REFUSED]) == (1, 1)


def test_what_was_forgotten_here_does_not_come_back(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home")
    write_backup(source, tmp_path / "one.tar", progress=nothing)
    imported(source.path, home)
    for forgetful in (home, source):
        with forgetful.open_log() as log:
            log.forget(1)
            log.forget(3)
        assert imported(tmp_path / "one.tar", forgetful).num_taken == 0
        assert texts(forgetful) == ["", TOLD[1], ""]


def test_two_homes_that_one_back_up_became_can_be_joined(tmp_path: Path) -> None:
    source = learned_home(tmp_path / "source")
    shutil.copytree(source.path, tmp_path / "twin")
    twin = Home.open(tmp_path / "twin")
    for home, text in ((source, "Ben is in the hall."), (twin, "Cleo is in the attic.")):
        with home.open_log() as log:
            log.append(NewExperience(text=text))
    assert imported(twin.path, source).num_taken == 1
    assert texts(source) == [*TOLD, "Ben is in the hall.", "Cleo is in the attic."]
    third = Home.open(tmp_path / "third")
    assert (imported(twin.path, third).num_taken, imported(source.path, third).num_taken) == (4, 1)


def test_a_key_that_names_something_else_here_stops_it_all(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home")
    with home.open_log() as log:
        log.append(NewExperience(text="Anna likes plums.", key="pears"))
    with pytest.raises(IdempotencyConflict, match="another home"):
        imported(source.path, home)
    assert texts(home) == ["Anna likes plums."]


def test_the_same_thing_told_to_both_under_one_key_is_one_experience(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home")
    with home.open_log() as log:
        log.append(NewExperience(text="Anna likes pears.", key="pears"))
    took = imported(source.path, home)
    assert (took.num_taken, took.num_there_already, took.is_older_than_known) == (2, 1, True)


def test_without_relearning_another_base_model_is_named_and_the_way_out(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home")
    with home.open_log() as log:
        log.ensure_lineage("default", base_fingerprint="another")
    for other in (home, Home.open(tmp_path / "new", model="owner/name")):
        with pytest.raises(BaseModelChanged, match="--relearn takes its 3 experiences over"):
            refuse_weights(source, other, name="old", lineage="default")


def test_without_relearning_the_same_base_model_means_back_up_and_restore(tmp_path: Path) -> None:
    source, home = learned_home(tmp_path / "source"), Home.open(tmp_path / "home")
    with home.open_log() as log:
        log.ensure_lineage("default", base_fingerprint=BASE)
    for same in (home, Home.open(tmp_path / "new")):
        with pytest.raises(BadInput, match="`selfparam backup` and `selfparam restore`"):
            refuse_weights(source, same, name="old", lineage="default")


def test_a_source_without_anything_is_named(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    with home.open_log() as log:
        log.append(mug("hall"))
    for source, complaint in ((tmp_path / "nowhere", "no back-up file"), (tmp_path, "no memory")):
        with pytest.raises(BadInput, match=complaint):
            imported(source, home)
    with pytest.raises(BadInput, match="no experiences in lineage 'default'"):
        imported(Home.open(tmp_path / "empty").path, home)
    (tmp_path / "list.txt").write_text("my shopping list")
    with pytest.raises(BackupCorrupt):
        imported(tmp_path / "list.txt", home)
