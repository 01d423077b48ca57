"""Anchors that are about nothing of a lineage.

Knows: which subjects a lineage has learned or learns now, and whether another of its texts names something. Refuses to
know: where anchors come from, models.

theta_0 knows nothing of what a lineage was told. An anchor about it would teach that again.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from memory_log.log import MemoryLog
from updater.anchors import Anchor
from updater.sentences import COMMON_WORDS, words_of

MOST_SUBJECT_WORDS: Final = 4


def unrelated(
    log: MemoryLog, lineage: str, anchors: Sequence[Anchor], subjects: Collection[str]
) -> list[Anchor]:
    """The anchors that are about no subject of the lineage, nor of the batch.

    Where an anchor says what it is about, no text of the log may hold all these words. Of any anchor, no words that
    follow each other may be a subject.

    Args:
        log: the durable log.
        lineage: whose.
        anchors: from any source.
        subjects: of the batch's sentences.
    """
    named = {anchor: set(_phrases(anchor)) for anchor in anchors}
    learned = log.known_subjects(lineage, set().union(*named.values())) if named else set()
    known = learned | set(subjects)
    return [
        anchor
        for anchor in anchors
        if not named[anchor] & known
        and not (anchor.words and log.experiences_mentioning(lineage, anchor.words, limit=1))
    ]


def is_named_elsewhere(log: MemoryLog, lineage: str, words: Sequence[str], experience_id: int) -> bool:
    """Whether the text of another experience of the lineage than this one holds all of the words."""
    return any(found.id != experience_id for found in log.experiences_mentioning(lineage, words, limit=2))


def _phrases(anchor: Anchor) -> Iterator[str]:
    """Every few words that follow each other in an anchor, common words left out, as subjects are written."""
    words = [word for text in (anchor.prompt, anchor.completion) for word in words_of(text) if word not in COMMON_WORDS]
    for length in range(1, MOST_SUBJECT_WORDS + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])
