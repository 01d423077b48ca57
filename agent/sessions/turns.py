"""Turns of a conversation, and the experiences that are made of them.

Knows the two ways: each turn of the user's in its own words, or turns that follow each other as a transcript. Refuses
to know file formats and logs.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

Shape = Literal["turns", "transcript"]
"""How turns become experiences; see `TurnShape`."""

MOST_TURN_BYTES: Final = 16_000
"""A little less than an experience may hold: a transcript adds date and speaker."""
GROUP_BYTES: Final = 1200
"""Of a transcript: about ten short turns, which most models read in one window."""


class Turn(NamedTuple):
    """What somebody said in a conversation.

    Example: Turn("Ann", "Hello!", datetime(2023, 5, 8, 13, 56, tzinfo=UTC), session="monday", step=1, line_number=4)
    """

    speaker: str
    text: str
    time: datetime | None
    session: str
    step: int
    """In its session, from 1."""
    line_number: int
    """Where it was read."""
    place: str = ""
    """What its file calls it, such as `D1:3`."""
    is_users: bool = True
    """Whether the user said it, as against the assistant."""


class TurnShape(NamedTuple):
    """How turns become experiences.

    `turns`: each turn of the user's is one, in its own words, as `selfparam serve` stores it; the assistant's are left
    out. `transcript`: turns that follow each other on one day are one, with date and speakers, up to `group_bytes`.

    Example: TurnShape("transcript", group_bytes=2000)
    """

    shape: Shape
    group_bytes: int = GROUP_BYTES


def grouped(turns: Iterable[Turn], shape: TurnShape) -> Iterator[tuple[Turn, ...]]:
    """The turns of one conversation, those of each experience together, in order."""
    if shape.shape == "turns":
        yield from ((turn,) for turn in turns if turn.is_users)
        return
    group: tuple[Turn, ...] = ()
    for turn in turns:
        if group and not _go_together(group, turn, shape.group_bytes):
            yield group
            group = ()
        group += (turn,)
    if group:
        yield group


def _go_together(group: tuple[Turn, ...], turn: Turn, most_bytes: int) -> bool:
    is_same_day = _day(group[0]) == _day(turn)
    return is_same_day and len(transcript([*group, turn]).encode()) <= most_bytes


def experience_text(group: Sequence[Turn], shape: TurnShape) -> str:
    """What an experience of these turns says."""
    return group[0].text if shape.shape == "turns" else transcript(group)


def transcript(group: Sequence[Turn]) -> str:
    """When they talked, where that is known, then a line for each turn.

    Example: transcript([Turn("Ann", "Hello!", datetime(2023, 5, 8, 13, 56, tzinfo=UTC), "1")]) ==
        "8 May 2023, 13:56.\\nAnn: Hello!"
    """
    time = group[0].time
    when = [] if time is None else [f"{time.day} {time:%B} {time.year}, {time:%H:%M}."]
    return "\n".join([*when, *(f"{turn.speaker}: {turn.text}" for turn in group)])


def _day(turn: Turn) -> object:
    return None if turn.time is None else turn.time.date()




def speakers(group: Sequence[Turn]) -> str:
    """Who talked, in the order in which they began, as one text."""
    return ", ".join(dict.fromkeys(turn.speaker for turn in group))
