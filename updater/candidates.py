"""What writers give: candidates for target sentences, before the teacher has seen them, and why some are dropped.

Knows: what a writer is, how several share the work, which candidates are repeated or too long. Refuses to know: how any
of them writes, whether a candidate is true (`writing.py` asks the teacher).
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from memory_log.errors import BadInput
from memory_log.records import Experience, TargetKind

if TYPE_CHECKING:
    from updater.language_model import LanguageModel

MAX_WORDS: Final = 40
"""Most words of a question or a statement."""

DropReason = Literal[
    "duplicate", "too long", "not asked for", "about something else", "unknown", "misread", "unsupported", "no gain",
    "no near miss",
]  # fmt: skip
"""Why a candidate is dropped:

duplicate              it was written before about the same experience
too long               it has more than MAX_WORDS words, or was cut off
not asked for          a statement for a model that has no instruction to state what it knows
about something else   its subject is not in the experience
unknown                the teacher cannot answer it, although the experience is in its prompt
misread                most phrasings of the question get another answer, or the answer lacks what the fact says
unsupported            a statement that the teacher, given the experience, does not hold for true
no gain                the teacher says it as well without the experience
no near miss           the base model knows an answer to it, or the batch or the log has something to say about it
"""


class Candidate(NamedTuple):
    """A question about an experience, or a statement of what is in it (`restatement`), that somebody has written.

    Example: Candidate(experience, "question", "Where is the red mug?")
    """

    experience: Experience
    kind: TargetKind
    text: str
    expects: str = ""
    """What a right answer holds, where the writer knows it."""


class Wanted(NamedTuple):
    """How many of each kind to write about each experience, at most."""

    questions: int
    implications: int = 0
    """Questions whose answer follows from the experience without standing in it."""
    restatements: int = 0
    near_misses: int = 0


Writer = Callable[["LanguageModel", Sequence[Experience], Wanted, int], list[Candidate]]
"""(theta_0, experiences, what is wanted about each, seed) -> candidates in any number and order.

What it gives is checked by asking the teacher, so it may be wrong. It is handed what the filter has left of the
experiences, travels to a worker's process by pickle, and gives the same for the same seed where it can.
"""


class Dropped(NamedTuple):
    """A candidate that was not made into a target sentence."""

    experience_id: int
    kind: TargetKind
    reason: DropReason
    text: str


def distinct(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[Dropped]]:
    """The candidates that are short enough, each text once about an experience; and the others."""
    seen: set[tuple[int, str]] = set()
    kept, dropped = [], []
    for candidate in candidates:
        key = (candidate.experience.id, candidate.text.lower())
        if not candidate.text:
            continue  # nothing was written
        elif len(candidate.text.split()) > MAX_WORDS:
            dropped.append(drop(candidate, "too long"))
        elif key in seen:
            dropped.append(drop(candidate, "duplicate"))
        else:
            seen.add(key)
            kept.append(candidate)
    return kept, dropped


def drop(candidate: Candidate, reason: DropReason) -> Dropped:
    """The candidate as a dropped one."""
    return Dropped(candidate.experience.id, candidate.kind, reason, candidate.text)


def counts_by_reason(dropped: Iterable[Dropped]) -> dict[str, int]:
    """How many were dropped for each reason that occurs, in the order of `DropReason`."""
    counts = Counter(one.reason for one in dropped)
    return {reason: counts[reason] for reason in get_args(DropReason) if counts[reason]}


def described(counts: dict[str, int]) -> str:
    """Counts in words, such as `5 duplicate, 2 no gain`."""
    return ", ".join(f"{number} {reason}" for reason, number in counts.items())


def mixed(parts: Sequence[tuple[Writer, float]]) -> Writer:
    """A writer that asks several, each for its share; near misses are the first one's alone.

    Args:
        parts: writers with their shares, which need not add up to 1. One with a share of 0 writes near misses at most.

    Raises:
        BadInput: there is no writer, or no share is above 0.
    """
    if not parts or any(share < 0 for _, share in parts) or not any(share for _, share in parts):
        shares = [share for _, share in parts]
        raise BadInput(f"got writers with the shares {shares}; give at least one of them a share above 0, none below")
    return functools.partial(_mixed, tuple(parts))


def _mixed(
    parts: tuple[tuple[Writer, float], ...],
    base: "LanguageModel",
    experiences: Sequence[Experience],
    wanted: Wanted,
    seed: int,
) -> list[Candidate]:
    whole = sum(share for _, share in parts)
    found = []
    for place, (writer, share) in enumerate(parts):
        near_misses = wanted.near_misses if place == 0 else 0
        part = Wanted(*(_part(number, share / whole) for number in wanted))._replace(near_misses=near_misses)
        if any(part):
            found += writer(base, experiences, part, seed)
    return found


def _part(number: int, share: float) -> int:
    """The share of a number: a writer with a share is asked for one at least."""
    return max(1, round(number * share)) if number and share else 0
