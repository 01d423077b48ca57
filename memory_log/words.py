"""Texts as words, so that matching means the same on every database. Knows no tables."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeVar

_WORD = re.compile(r"\w+")

# SQLite takes at most 32,766 values in one statement; smaller pieces also keep the statement caches useful.
_PIECE = 500

# PostgreSQL indexes no word of more than 2,046 bytes. What is longer is matched by its beginning.
_WORD_CHARACTERS = 500

Item = TypeVar("Item")


def words_of(text: str) -> list[str]:
    """The text's words in lower case, without punctuation."""
    return [word[:_WORD_CHARACTERS] for word in _WORD.findall(text.casefold())]


def searchable(text: str) -> str:
    """The text as ` lower case words `: a whole word or phrase is then a substring with its blanks around it."""
    words = words_of(text)
    return f" {' '.join(words)} " if words else ""


def name_key(name: str) -> str:
    """What two spellings of one name have in common: `Red  Mug` and `red mug` are one subject."""
    return " ".join(words_of(name)) or name.casefold().strip()


def pieces(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The items in lists short enough for one statement."""
    rest = iter(items)
    while piece := list(islice(rest, _PIECE)):
        yield piece
