"""Which prompts begin alike, and which of them to read together from one reading of their common beginning.

Knows: token ids and what reading them costs. Refuses to know: models, and why the prompts begin alike.
"""

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

PASS_TOKENS: Final = 128
"""What one pass through a model costs beside its tokens, in tokens: rough, for it decides on small savings only."""


class PrefixGroup(NamedTuple):
    """Prompts that are read together after one reading of their first `num_shared` tokens; 0 reads each in full."""

    rows: tuple[int, ...]
    num_shared: int


def num_common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


def prefix_groups(prompts: Sequence[Sequence[int]], *, most: int, sharing: bool) -> list[PrefixGroup]:
    """Prompts in groups that cost the fewest tokens to read.

    In the order of their ids, prompts that begin alike are neighbours, so that groups are runs. What a run costs is its
    common beginning once and then, padded to one length, what each of its prompts has beyond that; the cheapest cut
    into runs is found by dynamic programming. A prompt's last token is never shared: what follows is told from it.

    Args:
        prompts: token ids, at least one each.
        most: prompts in a group.
        sharing: False puts them into groups by length, and shares nothing.

    Returns:
        groups in which every prompt is once.
    """
    if not sharing:
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        return [PrefixGroup(tuple(order[start : start + most]), 0) for start in range(0, len(order), most)]
    order = sorted(range(len(prompts)), key=lambda row: tuple(prompts[row]))
    alike = [num_common(prompts[one], prompts[other]) for one, other in itertools.pairwise(order)]
    # By end: the cost of all before it, where the last group begins, what that group shares.
    cheapest: list[tuple[int, int, int]] = [(0, 0, 0)]
    for end in range(1, len(order) + 1):
        options = []
        longest, shared = 0, len(prompts[order[end - 1]])
        for start in range(end - 1, max(-1, end - 1 - most), -1):
            length = len(prompts[order[start]])
            longest = max(longest, length)
            shared = min(shared, length - 1, alike[start] if start < end - 1 else shared)
            cost, kept = _cost(end - start, longest, shared)
            options.append((cheapest[start][0] + cost, start, kept))
        cheapest.append(min(options))
    groups, end = [], len(order)
    while end:
        _, start, shared = cheapest[end]
        groups.append(PrefixGroup(tuple(order[start:end]), shared))
        end = start
    return groups[::-1]


def _cost(num_prompts: int, longest: int, shared: int) -> tuple[int, int]:
    """What a group costs in tokens, and how much of what its prompts share is worth reading once."""
    together = num_prompts * longest + PASS_TOKENS
    apart = shared + num_prompts * (longest - shared) + 2 * PASS_TOKENS
    return (apart, shared) if apart < together else (together, 0)
