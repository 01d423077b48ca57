"""Files and folders that appear whole or not at all, and are on disk when they have their name. Knows no contents."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from memory_log.disk import NO_ROOM, naming_a_full_disk
from memory_log.errors import BadInput

READ_BYTES = 1 << 20
UNFINISHED = ".unfinished"

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def aside_of(path: Path) -> Path:
    """A name beside the path that no other process uses, for what is not finished yet."""
    return path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}{UNFINISHED}")


def publish(aside: Path, path: Path) -> bool:
    """Give the finished file its name. False when the name is taken: a link, unlike a rename, never replaces."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_HARD_LINKS:
            raise
        # Some shared mounts have no hard links. There, names of blobs are given out once, and two that write the same
        # home's config in the same instant must agree.
        if path.exists():
            return False
        aside.rename(path)
    return True


def sync(path: Path) -> None:
    """Bring a file, or a folder's list of names, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def written_aside(path: Path, text: str) -> Iterator[Path]:
    """A file beside another with its new content, on disk; gone afterwards unless it got another name."""
    aside = aside_of(path)
    try:
        with aside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def write_once(path: Path, text: str) -> None:
    """Give a file its content, whole and on disk when this returns; one that is there already stays as it is.

    Two processes may do this at once: each writes aside, and the first link decides.

    Raises:
        DiskFull: there is no room; nothing is left behind.
        OSError: it cannot be written.
    """
    with naming_a_full_disk(path.parent), written_aside(path, text) as aside:
        publish(aside, path)
        sync(path.parent)


@contextmanager
def new_file(path: Path, *, replaces: bool = False) -> Iterator[BinaryIO]:
    """A file to fill, which gets its name, whole and on disk, when the body ends; after an error it is gone.

    A process that is killed leaves `NAME.*.unfinished` beside it, which nobody reads and anybody may delete.

    Raises:
        BadInput: there is a file of this name already and it may not be replaced, or it cannot be made.
        DiskFull: there is no room.
    """
    goal = path.expanduser().absolute()
    if goal.is_dir() or (goal.exists() and not replaces):
        raise _taken(goal)
    aside = aside_of(goal)
    with naming_a_full_disk(goal.parent):
        try:
            file = aside.open("xb")
        except OSError as exc:
            if exc.errno in NO_ROOM:
                raise
            raise BadInput(f"{goal} cannot be made: {exc.strerror}; name a file in another folder") from exc
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if replaces:
                aside.replace(goal)
            elif not publish(aside, goal):
                raise _taken(goal)
            sync(goal.parent)
        finally:
            aside.unlink(missing_ok=True)


def _taken(path: Path) -> BadInput:
    return BadInput(f"{path} is a folder; name a file" if path.is_dir() else f"{path} is there already; name another")


def digest(path: Path) -> tuple[str, int]:
    """The sha256 as hex digits and the size in bytes."""
    sha256, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            sha256.update(chunk)
            num_bytes += len(chunk)
    return sha256.hexdigest(), num_bytes


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name, whole and on disk, when the body ends; after an error it is gone.

    A process that is killed leaves `.NAME.*.unfinished` beside it, which nobody reads and anybody may delete.

    Raises:
        BadInput: there is something in the folder already, or it cannot be made.
    """
    goal = folder.expanduser().resolve()
    check_is_new(goal)
    aside = aside_of(goal.with_name(f".{goal.name}"))
    try:
        aside.mkdir(parents=True)
    except OSError as exc:
        raise BadInput(f"{goal} cannot be made: {exc.strerror} ({exc.filename}); choose another folder") from exc
    try:
        yield aside
        for path in [*aside.rglob("*"), aside]:
            sync(path)
        try:
            aside.rename(goal)  # replaces an empty folder, and nothing else
        except OSError as exc:
            raise BadInput(f"{goal} cannot be made: {exc.strerror}; choose a folder that is not there yet") from exc
        sync(goal.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_is_new(folder: Path) -> None:
    """Raises:
    BadInput: there is something in the folder already, or a file in its place.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        what = "has something in it" if folder.is_dir() else "is a file"
        raise BadInput(f"{folder} {what}; choose a folder that is empty or not there yet")
