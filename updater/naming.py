"""How a subject is called in a text: `the red mug` for `red mug`, `Mira` for `mira`. Knows words of English only."""

import re
from typing import Final

from updater.sentences import words_of

SPARE_WORDS: Final = 2  # that may stand between the words of a subject, as in "Mira's favourite drink"
_DETERMINERS: Final = frozenset({"the", "this", "that", "these", "those", "my", "our", "your", "his", "her", "their"})
_ARTICLES: Final = frozenset({"a", "an"})


def named(subject: str, text: str) -> str:
    """The subject as the text calls it, with its article, `a` made `the`; the subject itself where it is not in it.

    Example: named("red mug", "Anna bought a red mug.") == "the red mug"
    """
    spelled = list(re.finditer(r"[\w'-]+", text))
    words = [(words_of(found.group()) or [""])[0] for found in spelled]
    about = words_of(subject)
    place = _shortest_window(words, about)
    if place is None:
        return subject
    first, last = place
    called = text[spelled[first].start() : spelled[last].end()]
    called = called if subject.lower().endswith("'s") else called.removesuffix("'s")
    before = words[first - 1] if first > 0 else ""
    if before in _ARTICLES:
        return f"the {called}"
    return f"{before} {called}" if before in _DETERMINERS else called


def _shortest_window(words: list[str], about: list[str]) -> tuple[int, int] | None:
    """First and last place of the subject's words in their order, with few others between them."""
    best: tuple[int, int] | None = None
    for first, word in enumerate(words):
        if not about or word != about[0]:
            continue
        last = first
        for wanted in about[1:]:
            last = next((place for place in range(last + 1, len(words)) if words[place] == wanted), len(words))
        is_near = last - first < len(about) + SPARE_WORDS and last < len(words)
        if is_near and (best is None or last - first < best[1] - best[0]):
            best = (first, last)
    return best
