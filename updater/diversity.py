"""How much the sentences about one experience differ from each other, by their words.

Knows: texts. Refuses to know: models, what the sentences are used for.
"""

from collections.abc import Sequence
from typing import Final

from memory_log.words import words_of

N: Final = 2
"""Words in a row that are compared."""


def diversities(texts: Sequence[str], owners: Sequence[int]) -> list[float]:
    """For every text 1 - the largest share of its word pairs that one other text of the same owner has.

        diversity(a) = 1 - max_b |pairs(a) & pairs(b)| / |pairs(a)|

    Args:
        texts: what differs from sentence to sentence: the questions, or the statements.
        owners: whose each text is, such as the id of its experience.

    Returns:
        Shares from 0 (another one says all of it, in this order) to 1 (nothing like it, or it is the only one).
    """
    pairs = [_pairs(text) for text in texts]
    places: dict[int, list[int]] = {}
    for place, owner in enumerate(owners):
        places.setdefault(owner, []).append(place)
    return [
        1.0 - max((_overlap(pairs[place], pairs[other]) for other in places[owner] if other != place), default=0.0)
        for place, owner in enumerate(owners)
    ]


def distinct_share(texts: Sequence[str]) -> float:
    """Distinct-2: the share of all word pairs of the texts that are different ones; 1 without any.

    Source: Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models", arXiv 1510.03055,
    section 5.1, with pairs in place of tokens as the whole.
    """
    each = [_pairs_in_order(text) for text in texts]
    total = sum(len(pairs) for pairs in each)
    return len({pair for pairs in each for pair in pairs}) / total if total else 1.0


def _overlap(own: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    return len(own & other) / len(own) if own else 0.0


def _pairs(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(_pairs_in_order(text))


def _pairs_in_order(text: str) -> list[tuple[str, ...]]:
    words = words_of(text)
    length = min(N, len(words))  # a text of one word is compared by that word
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)] if words else []
