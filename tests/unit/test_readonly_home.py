"""A home that cannot be written: what it holds can be read as it lies there, and nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from agent.home import Home
from memory_log.errors import BadInput, BaseModelChanged, LogChanged
from memory_log.records import NewExperience
from tests.log_fixtures import BASE
from tests.rights import locked

MUG = "I put the red mug in the kitchen drawer."


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Home.open(tmp_path / "home").open_log() as log:
        log.append(NewExperience(text=MUG))
        log.ensure_lineage("default", base_fingerprint=BASE)
    return tmp_path / "home"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_can_be_read_and_is_left_as_it_was(home: Path) -> None:
    before = listing(home)
    with locked(home):
        with Home.open(home, create=False, to_write=False).open_log() as log:
            assert [one.text for one in log.experiences("default")] == [MUG]
            assert log.ensure_lineage("default", base_fingerprint=BASE).number == 0
            with pytest.raises(BaseModelChanged):
                log.ensure_lineage("default", base_fingerprint="another")
        assert listing(home) == before


def test_whatever_would_write_is_refused_with_the_way_out(home: Path) -> None:
    with locked(home):
        with pytest.raises(BadInput, match=r"cannot be written.*ask, log and versions"):
            Home.open(home)
        with Home.open(home, to_write=False).open_log() as log:
            for write in (
                lambda: log.append(NewExperience(text="more")),
                lambda: log.ensure_lineage("new", base_fingerprint=BASE),
                lambda: log.acquire_updater_lease("default", owner="me", lease_seconds=60),
            ):
                with pytest.raises(BadInput, match="cannot be written"):
                    write()


def test_it_is_read_up_to_the_last_word_beside_one_who_writes(home: Path) -> None:
    with Home.open(home).open_log() as writer:
        writer.append(NewExperience(text="Anna likes pears."))
        with locked(home), Home.open(home, to_write=False).open_log() as log:
            assert [one.text for one in log.experiences("default")] == [MUG, "Anna likes pears."]


def test_a_copy_without_the_index_of_its_unmerged_writes_is_refused(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with Home.open(home).open_log() as writer:
        writer.append(NewExperience(text="Anna likes pears."))
        shutil.copytree(home, copy)
    (copy / "log.sqlite3-shm").unlink()
    with locked(copy), pytest.raises(BadInput, match="not merged"):
        Home.open(copy, to_write=False).open_log()


def test_what_was_read_while_somebody_began_to_write_is_refused(home: Path) -> None:
    with locked(home):
        log = Home.open(home, to_write=False).open_log()
        assert log.experiences("default")
    with Home.open(home).open_log() as writer:
        writer.append(NewExperience(text="Anna likes pears."))
        with pytest.raises(LogChanged, match="do it again"):
            log.experiences("default")
    log.close()


@pytest.mark.parametrize("name", ["what?", "50%", "a#b", "größe"])
def test_it_may_have_any_name(home: Path, name: str) -> None:
    named = home.rename(home.with_name(name))
    with locked(named), Home.open(named, to_write=False).open_log() as log:
        assert len(log.experiences("default")) == 1


def test_a_home_without_a_log_is_named(tmp_path: Path) -> None:
    Home.open(tmp_path / "home")
    with locked(tmp_path / "home"), pytest.raises(BadInput, match="there is no log"):
        Home.open(tmp_path / "home", to_write=False).open_log()
    assert os.geteuid() == os.getuid()
