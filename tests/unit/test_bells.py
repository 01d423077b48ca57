"""Bells of a SQLite log inside one process: what rings them, and what lies in their folder."""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_log.bells import Bell
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from tests.log_fixtures import experience
from tests.rights import locked

LONG_SECONDS = 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "log.db"


@pytest.fixture
def folder(file: Path) -> Path:
    return Path(f"{file}-bells")


@pytest.fixture
def log(file: Path) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{file}") as opened:
        yield opened


def tell(log: MemoryLog) -> None:
    log.append(experience("Something happened."))


def test_a_bell_rings_once_for_all_that_happened_since_the_last_wait(log: MemoryLog) -> None:
    with log.bell("default") as bell:
        assert not bell.wait(0)
        tell(log)
        tell(log)
        assert bell.wait(0) and not bell.wait(0)
        bell.ring()
        assert bell.wait(LONG_SECONDS) and not bell.wait(0.01)


def test_ringing_without_end_neither_blocks_nor_is_too_much_to_take(log: MemoryLog) -> None:
    with log.bell("default") as bell:
        for _ in range(70_000):  # more than a pipe holds
            bell.ring()
        tell(log)
        assert bell.wait(0) and not bell.wait(0)


def test_there_is_no_folder_before_somebody_waits_and_no_file_afterwards(log: MemoryLog, folder: Path) -> None:
    tell(log)
    assert not folder.exists()
    with log.bell("default"), log.bell("another"):
        assert len(os.listdir(folder)) == 2
    assert os.listdir(folder) == []


def test_a_closed_bell_wakes_its_waiter_cannot_be_waited_at_and_may_be_rung_and_closed_again(log: MemoryLog) -> None:
    bell = log.bell("default")
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(bell.wait(LONG_SECONDS)))
    waiter.start()
    time.sleep(0.2)  # by then it waits
    with pytest.raises(BadInput, match="another thread"):
        bell.wait(0)
    bell.close()
    waiter.join(LONG_SECONDS)
    assert woken == [True]
    bell.close()
    bell.ring()
    with pytest.raises(BadInput, match="closed"):
        bell.wait(0)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_wait_of_less_than_nothing_is_refused(log: MemoryLog, seconds: float) -> None:
    with log.bell("default") as bell, pytest.raises(BadInput, match="timeout_seconds"):
        bell.wait(seconds)


def test_a_wait_may_be_as_long_as_anybody_likes(log: MemoryLog) -> None:
    with log.bell("default") as bell:
        bell.ring()
        assert bell.wait(float("inf"))


def test_who_was_killed_while_hanging_a_bell_leaves_nothing_that_stays(log: MemoryLog, folder: Path) -> None:
    with log.bell("default") as bell:
        old, young = folder / ".0.old.fifo", folder / ".0.young.fifo"
        for path in (old, young):
            os.mkfifo(path)
        os.utime(old, (1, 1))
        tell(log)
        assert old.exists() and young.exists(), "whoever made them may be about to name them"
        log.bell("another").close()
        assert young.exists() and not old.exists() and bell.wait(0)


def test_files_of_others_in_the_folder_are_left_alone(log: MemoryLog, file: Path, folder: Path) -> None:
    with log.bell("default") as bell:
        (ours,) = os.listdir(folder)
        other = file.with_name("other.txt")
        other.write_text("text")
        stranger, link = folder / f"{ours}.txt", folder / f"{ours}.link"
        stranger.write_text("text")
        link.symlink_to(other)
        tell(log)
        assert bell.wait(0)
        assert stranger.read_text() == other.read_text() == "text" and link.is_symlink()


def test_a_log_that_is_only_read_has_bells_that_its_own_process_rings(log: MemoryLog, file: Path) -> None:
    tell(log)
    log.close()
    url = f"sqlite:///{file}"
    with locked(file.parent), MemoryLog(url, is_readonly=True) as reader, reader.bell("default") as bell:
        assert not bell.wait(0.01)
        bell.ring()
        assert bell.wait(LONG_SECONDS)
    assert os.listdir(file.parent) == ["log.db"]


def test_who_may_not_ring_can_still_append(log: MemoryLog, file: Path, folder: Path) -> None:
    with log.bell("default") as bell:
        file.parent.chmod(0o777)
        for path in file.parent.glob("log.db*"):
            path.chmod(path.stat().st_mode | 0o666)
        with locked(folder):
            tell(log)
        assert not bell.wait(0), "rung all the same: the rights were not taken"
        tell(log)
        assert bell.wait(0) and log.count_by_state("default")["pending"] == 2


def test_bells_may_be_used_by_whoever_may_write_the_log(log: MemoryLog, file: Path, folder: Path) -> None:
    file.chmod(0o660)
    with log.bell("default"):
        (name,) = os.listdir(folder)
        modes = [path.stat().st_mode & 0o777 for path in (folder, folder / name)]
    assert modes == [0o770, 0o660]


def test_one_file_has_one_folder_by_whichever_path_it_is_opened(log: MemoryLog, file: Path) -> None:
    link = file.parent.with_name("link.db")
    link.symlink_to(file)
    with MemoryLog(f"sqlite:///{link}") as other, other.bell("default") as bell:
        tell(log)
        assert bell.wait(0)


def test_a_forked_process_takes_no_rings_of_its_parent_and_closing_its_copy_closes_nothing(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKING, str(file)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("refused\nrung\n", "")


FORKING = """
import os, sys
from memory_log.log import MemoryLog
from memory_log.records import NewExperience
from memory_log.errors import BadInput
with MemoryLog(f"sqlite:///{sys.argv[1]}") as log, log.bell("default") as bell:
    if os.fork() == 0:
        try:
            bell.wait(0)
        except BadInput:
            print("refused", flush=True)
        bell.close()
        os._exit(0)
    os.wait()
    log.append(NewExperience(text="Something happened."))
    print("rung" if bell.wait(0) else "silent", flush=True)
"""


def test_many_threads_hang_ring_and_close_bells_at_once(log: MemoryLog, folder: Path) -> None:
    missed: list[int] = []

    def come_and_go(number: int) -> None:
        for _ in range(5):
            with log.bell(f"lineage {number % 3}") as bell:
                log.append(experience("Something happened.", lineage=f"lineage {number % 3}"))
                if not bell.wait(LONG_SECONDS):
                    missed.append(number)

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == [] and os.listdir(folder) == []


def test_a_bell_can_be_waited_for_among_other_things(log: MemoryLog) -> None:
    with log.bell("default") as bell:
        assert select.select([bell], [], [], 0)[0] == []
        tell(log)
        assert select.select([bell], [], [], 0)[0] == [bell] and isinstance(bell, Bell)
        bell.wait(0)
        assert select.select([bell], [], [], 0)[0] == []
