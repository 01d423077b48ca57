"""Whether a SQLite file still has what was committed to it: its size, and its WAL against the WAL's index.

SQLite takes a WAL as far as its checksums go and drops the rest in silence, which is right for what a crash cut off,
and wrong for a commit that was acknowledged. The index beside it (`-shm`) still says how much was committed. Knows
these two formats (https://www.sqlite.org/walformat.html), and no tables. Nothing is written.
"""

import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sys import byteorder
from typing import Final, NamedTuple

from memory_log.faults import damaged

_INDEX_HEADER_BYTES: Final = 48
_WAL_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_MAGIC: Final = 0x377F0682
_TRIES: Final = 3
_MOST_RESTARTS: Final = 1 << 16
_WORD: Final = 0xFFFFFFFF

# A WAL is a thousand frames long unless a reader stays for long. Of a longer one the rest is only counted, so that
# opening a log takes a moment.
_MOST_FRAMES: Final = 2000

# POSIX ends all locks of a process on a file when it closes any handle of it. Where this process has a log open, a look
# at its `-shm` would take SQLite's locks away, so that it is left out: whoever opened the log first has looked.
_open_here: Counter[Path] = Counter()


class _Promise(NamedTuple):
    """What the index says of the WAL."""

    salts: bytes
    num_frames: int
    """Committed frames."""
    num_merged: int
    """How many of them are in the file already."""


@contextmanager
def looked_at(path: Path, *, is_every_commit_synced: bool) -> Iterator[None]:
    """A file that nothing is missing from, until the end of the body, in which this process may have it open.

    Args:
        path: the file; it need not be there yet.
        is_every_commit_synced: whether the WAL is compared with its index. Where commits are not synced, a loss of
            power may take the last of them from the WAL alone, which is no damage.

    Raises:
        LogDamaged: the file is empty, or commits are missing from its WAL.
    """
    place = path.absolute()
    if not _open_here[place]:
        _check(path, is_every_commit_synced)
    _open_here[place] += 1
    try:
        yield
    finally:
        _open_here[place] -= 1


def _check(path: Path, is_every_commit_synced: bool) -> None:
    wal, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    has_wal = _size(wal) > 0
    is_there = path.exists()
    if has_wal and not is_there:
        raise damaged(path, f"the file is gone, and {wal.name} still holds writes to it")
    if is_there and path.stat().st_size == 0:
        # A new log gets its name when it has its first page.
        raise damaged(path, "the file is empty, which a log never is; delete it if you mean to start a new one")
    for _ in range(_TRIES if is_every_commit_synced else 0):
        promise = _promise(index)
        why = None if promise is None or promise.num_frames <= promise.num_merged else _missing(wal, promise)
        if why is None:
            return
        if _promise(index) == promise:
            raise damaged(path, f"{why}; what was committed there is missing")
    # Somebody writes the log just now: they have looked.


def _promise(index: Path) -> _Promise | None:
    """What the index says; None without one that is whole."""
    try:
        content = index.read_bytes()[: 2 * _INDEX_HEADER_BYTES + 4]
    except FileNotFoundError:
        return None
    first, second = content[:_INDEX_HEADER_BYTES], content[_INDEX_HEADER_BYTES : 2 * _INDEX_HEADER_BYTES]
    if len(content) < 2 * _INDEX_HEADER_BYTES + 4 or first != second or not first[12]:
        return None
    if _checksum(first[:40], (0, 0), byteorder) != struct.unpack("=II", first[40:48]):
        return None
    num_frames = struct.unpack("=I", first[16:20])[0]
    return _Promise(first[32:40], num_frames, struct.unpack("=I", content[-4:])[0])


def _size(file: Path) -> int:
    """The bytes of a file; 0 where there is none, also when its last user removes it just now."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _missing(wal: Path, promise: _Promise) -> str | None:
    """What the WAL lacks of a promise, in words; None when all is there."""
    try:
        opened = wal.open("rb")
    except FileNotFoundError:
        return f"{wal.name} is gone"
    with opened as file:
        header = file.read(_WAL_HEADER_BYTES)
        if len(header) < _WAL_HEADER_BYTES:
            return f"{wal.name} is cut off"
        magic, _, page_bytes = struct.unpack(">III", header[:12])
        order = "big" if magic & 1 else "little"
        sums = _checksum(header[:24], (0, 0), order)
        if magic & ~1 != _MAGIC or sums != struct.unpack(">II", header[24:]):
            return f"the head of {wal.name} is damaged"
        if header[16:24] != promise.salts:
            return None if _is_later(header[16:20], promise.salts[:4]) else f"{wal.name} belongs to another file"
        frame_bytes = _FRAME_HEADER_BYTES + page_bytes
        num_whole = (wal.stat().st_size - _WAL_HEADER_BYTES) // frame_bytes
        if num_whole < promise.num_frames:
            return f"{wal.name} is cut off in frame {num_whole + 1} of {promise.num_frames}"
        for number in range(1, min(promise.num_frames, _MOST_FRAMES) + 1):
            frame = file.read(frame_bytes)
            if len(frame) < frame_bytes:
                return f"{wal.name} is cut off in frame {number} of {promise.num_frames}"
            sums = _checksum(frame[:8] + frame[_FRAME_HEADER_BYTES:], sums, order)
            if frame[8:16] != promise.salts or sums != struct.unpack(">II", frame[16:24]):
                return f"frame {number} of {promise.num_frames} in {wal.name} is damaged"
    return None


def _is_later(salt: bytes, promised: bytes) -> bool:
    # Each restart of a WAL adds one to its first salt. After a loss of power the index may be from before a restart.
    ahead = (int.from_bytes(salt, "big") - int.from_bytes(promised, "big")) & _WORD
    return 0 < ahead <= _MOST_RESTARTS


def _checksum(content: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    """SQLite's checksum of the WAL over 32-bit words, going on from `sums`."""
    words = array("I", content)
    if order != byteorder:
        words.byteswap()
    first, second = sums
    pairs = iter(words)
    for even, odd in zip(pairs, pairs, strict=True):
        first = (first + even + second) & _WORD
        second = (second + odd + first) & _WORD
    return first, second
