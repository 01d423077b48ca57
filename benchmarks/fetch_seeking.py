"""How a thing is fetched with what a memory answered: first where the answers say, then a search.

Knows: places named in answers, votes, and the order of a search. Refuses to know: any particular world, models.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.fetch_records import Errand, Spot

Hint = tuple[Spot, ...]
"""Where one answer sends the agent: one place, or all places of a room."""


class Attempt(NamedTuple):
    """How an errand ended; a failure has taken all steps that it had."""

    fetched: bool
    steps: int


def place_named(said: str, spots: Sequence[Spot]) -> Spot | None:
    """The place that an answer ends with, whatever its preposition."""
    text = f" {' '.join(said.lower().split()).rstrip('.')}"
    named = [spot for spot in spots if text.endswith(f" {spot.phrase}")]
    named = named or [spot for spot in spots if spot.name != spot.room and text.endswith(f" {spot.name}")]
    return max(named, key=lambda spot: len(spot.phrase), default=None)


def hint_of(said: str, spots: Sequence[Spot]) -> Hint:
    """Where an answer sends the agent: to the place that it names, else to every place of the room that it names,
    else nowhere.
    """
    spot = place_named(said, spots)
    if spot is not None:
        return (spot,)
    rooms = {spot.room for spot in spots if re.search(rf"\b{re.escape(spot.room)}\b", said.lower())}
    room = max(rooms, key=len, default=None)
    return tuple(spot for spot in spots if spot.room == room)


def by_votes(answers: Sequence[str], spots: Sequence[Spot]) -> list[Spot]:
    """The places that answers name, those named most often first, of equals the one named first; an answer that names
    none, such as `unknown`, has no vote.
    """
    votes = Counter(hint for said in answers if (hint := hint_of(said, spots)))
    ordered = [spot for hint, _ in votes.most_common() for spot in hint]
    return list(dict.fromkeys(ordered))


def fetch(errand: Errand, hints: Sequence[Spot], spots: Sequence[Spot], *, limit: int) -> Attempt:
    """Go where the hints say, in their order; then search what is left, always the nearest place next.

    Args:
        errand: what is to be fetched.
        hints: places to look at first.
        spots: all places, in the order in which equally near ones are searched.
        limit: most steps; one who has found nothing anywhere counts them too.
    """
    steps, first, left = 0, list(hints), list(spots)
    while left:
        spot = first.pop(0) if first else min(left, key=errand.distance)
        left.remove(spot)
        for _ in errand.visit(spot):
            steps += 1
            if errand.fetched:
                return Attempt(True, steps)
            if steps == limit:
                return Attempt(False, limit)
    return Attempt(False, limit)
