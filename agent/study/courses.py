"""What is injected when, and after which updates everything is asked.

Knows: the three protocols as courses of cohorts. Refuses to know: methods, questions.
"""

from collections.abc import Sequence
from typing import Final, Literal

from memory_log.fields import Record

ProtocolName = Literal["single", "batch", "sequential"]
LONG: Final = 50
"""Updates from which on everything is asked at a few points only."""
LONG_POINTS: Final = (1, 10, 20, 50, 100)
POINT_EVERY: Final = 5


class Course(Record):
    """What is injected when: `cohorts` of experience numbers; `fresh` where each begins with the base model.

    Example: Course(cohorts=((0, 1), (2, 3)), fresh=False, points=(2,)).known(2) == (0, 1, 2, 3)
    """

    cohorts: tuple[tuple[int, ...], ...]
    fresh: bool
    points: tuple[int, ...]
    """Updates, from 1, after which everything still valid is asked."""
    asks_before: bool = False
    """Whether the next cohort's paraphrases are asked before it is learned."""

    def known(self, update: int) -> tuple[int, ...]:
        """The experiences that a method has lived after an update."""
        lived = self.cohorts[update - 1 : update] if self.fresh else self.cohorts[:update]
        return tuple(number for cohort in lived for number in cohort)

    def cohort_of(self, told: int) -> int:
        """The update, from 1, that injects an experience."""
        return next(place for place, cohort in enumerate(self.cohorts, start=1) if told in cohort)


def course_of(protocol: ProtocolName, *, updates: int, per_update: int, batches: Sequence[int]) -> Course:
    """The course of a protocol.

    Args:
        protocol: `single` injects each of `updates` experiences alone into the base model; `batch` each of `batches`
            at once into the base model; `sequential` one cohort after the other.
        updates: how many.
        per_update: experiences of one update of `sequential`.
        batches: sizes of `batch`.
    """
    sizes = {"single": [1] * updates, "batch": list(batches), "sequential": [per_update] * updates}[protocol]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    cohorts = tuple(tuple(range(start, start + size)) for start, size in zip(starts, sizes, strict=True))
    count = len(sizes)
    if protocol == "batch":
        points = list(range(1, count + 1))
    elif count >= LONG:
        points = [point for point in LONG_POINTS if point < count]
    else:
        points = list(range(POINT_EVERY, count, POINT_EVERY))
    return Course(cohorts=cohorts, fresh=protocol != "sequential", points=tuple(sorted({*points, count})))
