"""What a part of a long run has finished, line by line in a folder of its own, so that it can be taken up again.

Knows: a folder held by one process, and records as lines that are on disk. Refuses to know: what the records say.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from memory_log.errors import BadInput
from memory_log.fields import Record

ITEMS_FILE: Final = "items.jsonl"
LOOK_SECONDS: Final = 0.2

Line = TypeVar("Line", bound=Record)


@contextmanager
def locked(folder: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold a folder for this process; a process that dies lets go of it.

    Args:
        folder: it is there.
        wait_seconds: how long to wait for another process to let go.

    Raises:
        BadInput: another process holds it.
    """
    deadline = time.monotonic() + wait_seconds
    with (folder / "lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() >= deadline:
                    raise BadInput(f"another run works in {folder}; wait for it, or choose another folder") from exc
                time.sleep(LOOK_SECONDS)
        yield


@contextmanager
def taken_up(folder: Path, record: type[Line], *, wait_seconds: float = 0.0) -> Iterator[list[Line]]:
    """Hold a part's folder, which is made, and have what it has finished; `append_line` adds to it.

    A last line that a dying process left unfinished is cut off, so that the next one does not stand behind it.

    Raises:
        BadInput: another process holds the folder, or a line cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait_seconds=wait_seconds):
        _cut_unfinished(folder / ITEMS_FILE)
        yield whole_lines(folder / ITEMS_FILE, record)


def _cut_unfinished(path: Path) -> None:
    if not path.is_file():
        return
    content = path.read_bytes()
    num_whole = content.rfind(b"\n") + 1
    if num_whole < len(content):
        with path.open("r+b") as file:
            file.truncate(num_whole)
            os.fsync(file.fileno())


def whole_lines(path: Path, record: type[Line]) -> list[Line]:
    """The finished lines of a file, each a record; a last one that is not finished, or not yet, is left out.

    Raises:
        BadInput: another line cannot be read.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = []
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            lines.append(record.model_validate_json(line))
        except ValidationError as exc:
            problem = exc.errors()[0]
            raise BadInput(
                f"{path} line {number} is no finished update ({problem['loc']}: {problem['msg']}); remove the folder "
                "to run it again, or choose another folder"
            ) from exc
    return lines


def append_line(path: Path, line: Record) -> None:
    """Append what is finished; it is on disk when this returns."""
    with path.open("ab") as file:
        file.write(line.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def lines_of(text: str) -> list[str]:
    """The lines of a text as files have them: U+2028 and its like may stand in the strings of a line."""
    return [line.removesuffix("\r") for line in text.split("\n")]
