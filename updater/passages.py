"""Passages of text files: paragraphs of `.txt` files and lines of `.jsonl` files, drawn at random.

Knows: files and their encoding. Refuses to know: models, what passages are for.

A passage is drawn by jumping to a random byte and taking what begins next, so that a file of any size costs a few reads
and no memory. What follows something long is therefore drawn somewhat more often.
"""

import codecs
import json
import os
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final

from memory_log.errors import BadInput

SUFFIXES: Final = frozenset({".txt", ".jsonl"})
MOST_BYTES: Final = 1 << 16
"""Of one paragraph; what is longer is read this far."""
MOST_LINE_BYTES: Final = 1 << 24
"""Of one line of a `.jsonl` file."""
MOST_TRIES: Final = 20
"""For each passage that is wanted: jumps may end in blank lines."""


_INNER_BYTES: Final = bytes(range(0x80, 0xC0))
"""Those of UTF-8 that begin no character."""


class Passages:
    """The passages of a text file, or of all text files below a folder.

    Example: Passages(Path("novels")).draw(10, random.Random(0))
    """

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: a `.txt` or `.jsonl` file in UTF-8, or a folder of such files. Each line of a `.jsonl` file is an
                object with a `text`.

        Raises:
            BadInput: there is no such file, or nothing in it.
        """
        self.path = path
        if not path.exists():
            raise BadInput(f"there is no file or folder {path} to take anchors from; check the path")
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        self._files = [one for one in files if one.suffix.lower() in SUFFIXES and one.stat().st_size > 0]
        if not self._files:
            raise BadInput(f"{path} holds no text for anchors; give a .txt or .jsonl file, or a folder of such")
        self._ends = list(accumulate(one.stat().st_size for one in self._files))

    def draw(self, count: int, rng: random.Random) -> list[str]:
        """Different passages, at most `count`; fewer where there are not so many.

        Raises:
            BadInput: a file holds something else than UTF-8 text, or a line that is no object with a `text`; names the
                line.
        """
        found: dict[str, None] = {}
        for _ in range(MOST_TRIES * count):
            if len(found) == count:
                break
            file = rng.choices(self._files, cum_weights=self._ends)[0]
            passage = _passage_at(file, rng.randrange(file.stat().st_size))
            if passage:
                found[passage] = None
        return list(found)


def _passage_at(file: Path, offset: int) -> str:
    """The paragraph or line that begins at or after an offset; of a file that has none after it, the first."""
    is_jsonl = file.suffix.lower() == ".jsonl"
    with file.open("rb") as opened:
        start = _start_after(opened, offset, is_jsonl=is_jsonl)
        opened.seek(start)
        raw = opened.readline(MOST_LINE_BYTES) if is_jsonl else b"".join(_paragraph(opened))
    try:
        # A paragraph that was read so far only may end within a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(raw, final=is_jsonl or len(raw) < MOST_BYTES)
    except UnicodeDecodeError as exc:
        line = _line_of(file, start + exc.start)
        raise BadInput(f"line {line} of {file} is not UTF-8 text; convert the file to UTF-8") from exc
    return _text_of_line(file, start, text) if is_jsonl else " ".join(text.split())


def _start_after(opened: BinaryIO, offset: int, *, is_jsonl: bool) -> int:
    """Where the next line begins, or the next paragraph: after a blank line, or anywhere in one that has no end."""
    if offset == 0:
        return 0
    opened.seek(offset - 1)
    piece = opened.readline(MOST_BYTES)
    while is_jsonl and piece and not piece.endswith(b"\n"):
        piece = opened.readline(MOST_BYTES)
    num_bytes, is_inside = len(piece), not is_jsonl
    while is_inside and num_bytes < MOST_BYTES:
        piece = opened.readline(MOST_BYTES - num_bytes)
        num_bytes += len(piece)
        is_inside = bool(piece.strip())
    start = opened.tell()
    if not is_jsonl and num_bytes >= MOST_BYTES:
        # After a blank, or at least not within a character.
        blank = piece.rfind(b" ")
        start -= len(piece) - blank - 1 if blank >= 0 else 0
        opened.seek(start)
        start += len(following := opened.read(4)) - len(following.lstrip(_INNER_BYTES))
    return 0 if start >= os.fstat(opened.fileno()).st_size else start


def _paragraph(opened: BinaryIO) -> Iterator[bytes]:
    """The lines up to a blank one, without blank ones before."""
    num_bytes = 0
    while num_bytes < MOST_BYTES and (line := opened.readline(MOST_BYTES - num_bytes)):
        if line.strip():
            num_bytes += len(line)
            yield line
        elif num_bytes:
            return


def _text_of_line(file: Path, start: int, line: str) -> str:
    if not line.strip():
        return ""
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError) as exc:
        number = _line_of(file, start)
        raise BadInput(f'line {number} of {file} is not an object such as {{"text": "..."}}; correct it') from exc
    if not isinstance(text, str):
        raise BadInput(f"line {_line_of(file, start)} of {file} has a text that is none; correct it")
    return " ".join(text.split())


def _line_of(file: Path, offset: int) -> int:
    """The number, from 1, of the line that a byte is in."""
    line, left = 1, offset
    with file.open("rb") as opened:
        while left and (piece := opened.read(min(left, MOST_BYTES))):
            line += piece.count(b"\n")
            left -= len(piece)
    return line
