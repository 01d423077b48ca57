"""Long texts in windows that overlap: what a model reads at once of an experience that is longer than it reads.

Knows: sentences and words, and where a text may be cut. Refuses to know: models, prompts, what is asked about a window.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

# Ends of sentences; in scripts without spaces between words nothing need follow them.
_SENTENCE: Final = re.compile(r".+?(?:[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]|\n|\Z)", re.DOTALL)
# Chinese and Japanese put no spaces between words; there, a cut between two characters is the best that can be had.
_UNSPACED: Final = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")

Span = tuple[int, int]


def windows(text: str, num_tokens: Callable[[str], int], *, most: int, overlap: float) -> list[str]:
    """The text in windows that a model can read, each beginning and ending with a whole sentence.

    Every window begins with the last sentences of the one before it: as many as fit into a share of a window, and the
    very last one wherever the next has room beside it. So sentences that stand next to each other are read together.
    A sentence that is longer than a window is cut between words, and its words overlap in the same way.

    Args:
        text: what was experienced.
        num_tokens: the length of a part of it, as the model reads it.
        most: tokens of a window.
        overlap: the share of a window that it may repeat of the one before.

    Returns:
        windows in the order of the text; all of it is in them. The text itself, where it fits. Empty where one word
        alone is longer than a window, because words are never cut.
    """
    if num_tokens(text) <= most:
        return [text]
    spans = [part for sentence in _spans(_SENTENCE, text) for part in _pieces(text, sentence, num_tokens, most)]
    if any(num_tokens(text[start:end]) > most for start, end in spans):
        return []
    found, first = [], 0
    while True:

        def length(after: int, first: int = first) -> int:
            return num_tokens(text[spans[first][0] : spans[after - 1][1]])

        after = max(first + 1, bisect_right(range(len(spans) + 1), most, lo=first + 1, key=length) - 1)
        found.append(text[spans[first][0] : spans[after - 1][1]])
        if after == len(spans):
            return found
        first = _next_first(text, spans, first, after, num_tokens, most, overlap)


def _next_first(
    text: str,
    spans: Sequence[Span],
    first: int,
    after: int,
    num_tokens: Callable[[str], int],
    most: int,
    overlap: float,
) -> int:
    """Where the next window begins, after one of the spans from `first` up to `after`."""

    def fits(place: int) -> bool:
        return num_tokens(text[spans[place][0] : spans[after][1]]) <= most

    repeated = [
        place
        for place in range(first + 1, after)
        if num_tokens(text[spans[place][0] : spans[after - 1][1]]) <= overlap * most
    ]
    candidates = [*repeated, *([after - 1] if after - 1 > first else [])]
    return next((place for place in candidates if fits(place)), after)


def _spans(pattern: re.Pattern[str], text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Where the pattern's matches begin and end, without white space around them."""
    found = []
    for match in pattern.finditer(text, start, len(text) if end is None else end):
        said = match.group()
        begin = match.start() + len(said) - len(said.lstrip())
        if said.strip():
            found.append((begin, begin + len(said.strip())))
    return found


def _pieces(text: str, sentence: Span, num_tokens: Callable[[str], int], most: int) -> list[Span]:
    """A sentence as one piece where it fits into a window, else its words."""
    start, end = sentence
    return [sentence] if num_tokens(text[start:end]) <= most else _spans(_WORD, text, start, end)
