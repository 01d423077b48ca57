"""Retention over time, for one method and one seed.

Knows: transfer, forgetting by two conventions, retention relative to lag 0, half-life, forgetting against acquisition.
Refuses to know: how anything was asked, intervals over seeds.

a(j, i) is the share right, after update j, of the questions about what update i taught that are still valid then.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final, NamedTuple

from agent.study.records import AnsweredRow, QuestionKind, UpdateLine
from agent.study.scores import Outcome, final_rows, mean, retention_by_lag, rows_of

PARAPHRASE: Final[QuestionKind] = "paraphrase"
HALF: Final = 0.5


class Cell(NamedTuple):
    """Questions of one kind, about one cohort, asked after one update."""

    update: int
    cohort: int
    kind: QuestionKind
    num_asked: int
    share_right: float


def cells(lines: Sequence[UpdateLine]) -> list[Cell]:
    """The retention matrix; a cohort that is later than its update was asked before it was learned."""
    found: dict[tuple[int, int, QuestionKind], list[bool]] = defaultdict(list)
    for line in lines:
        for kind in dict.fromkeys(row.kind for row in line.rows):
            for row in rows_of(line, kind):
                found[line.update, row.cohort, kind].append(row.right)
    return [Cell(*key, len(rights), fmean(rights)) for key, rights in sorted(found.items())]


def matrix(lines: Sequence[UpdateLine], kind: QuestionKind = PARAPHRASE) -> dict[tuple[int, int], float]:
    """a(update, cohort) of one kind."""
    return {(cell.update, cell.cohort): cell.share_right for cell in cells(lines) if cell.kind == kind}


def forward_transfer(outcome: Outcome, floor: Outcome) -> float | None:
    """What earlier updates do to what was not learned yet: mean over i > 1 of a(i - 1, i) - b(i), where b(i) is the
    same of the base model. (Lopez-Paz and Ranzato 2017, GEM.)
    """
    before, base = matrix(outcome.lines), matrix(floor.lines)
    pairs = [key for key in before if key[1] == key[0] + 1 and key in base]
    return mean(before[key] - base[key] for key in pairs)


def forgetting_from_best(outcome: Outcome) -> float | None:
    """Mean over i < T of max over j < T of a(j, i) - a(T, i), over the questions asked after T; below 0 where a cohort
    was never known better than at the end. (Chaudhry et al. 2018.)
    """
    shares, last = _matrix_of_the_last(outcome)
    lost = []
    for cohort in range(1, last):
        earlier = [share for (update, i), share in shares.items() if i == cohort <= update < last]
        if earlier and (last, cohort) in shares:
            lost.append(max(earlier) - shares[last, cohort])
    return mean(lost)


def forgetting_from_first(outcome: Outcome) -> float | None:
    """Mean over i < T of a(i, i) - a(T, i), over the questions asked after T: the negative of backward transfer by
    cohorts; below 0 where later updates helped. (Lopez-Paz and Ranzato 2017.)
    """
    shares, last = _matrix_of_the_last(outcome)
    both = [i for i in range(1, last) if (i, i) in shares and (last, i) in shares]
    return mean(shares[i, i] - shares[last, i] for i in both)


def _matrix_of_the_last(outcome: Outcome) -> tuple[dict[tuple[int, int], float], int]:
    """a(j, i) over the questions that were asked after the last point, since what became untrue is not forgotten; and
    that point.
    """
    ending = outcome.ending[-1] if outcome.ending else None
    if ending is None:
        return {}, 0
    kept = {row.asked for row in rows_of(ending)}
    found: dict[tuple[int, int], list[bool]] = defaultdict(list)
    for line in outcome.lines:
        for row in rows_of(line):
            if row.asked in kept and line.update <= ending.update:
                found[line.update, row.cohort].append(row.right)
    return {key: fmean(rights) for key, rights in found.items()}, ending.update


def relative_retention(outcome: Outcome, lag: int) -> float | None:
    """Share right that many updates later over the share right at lag 0; None where either is missing, or the latter 0.
    """
    by_lag = retention_by_lag(outcome)
    first = by_lag.get(0)
    return by_lag[lag] / first if lag in by_lag and first else None


class HalfLife(NamedTuple):
    """Updates until half of what was known right after learning is left, above the floor."""

    updates: float
    """The crossing; where it is censored, the longest lag that was asked."""
    is_censored: bool

    def __str__(self) -> str:
        return f"> {self.updates:.0f}" if self.is_censored else f"{self.updates:.1f}"


def half_life(by_lag: Mapping[int, float], *, floor: float) -> HalfLife | None:
    """Where the share right first falls to the floor plus half of what lag 0 has above it, interpolated between lags.

    Args:
        by_lag: share right by lag, with lag 0.
        floor: share right of the base model.

    Returns:
        None where lag 0 is missing or not above the floor.
    """
    if 0 not in by_lag or by_lag[0] <= floor:
        return None
    level = floor + HALF * (by_lag[0] - floor)
    lags = sorted(by_lag)
    for before, after in pairwise(lags):
        if by_lag[after] <= level:
            share = (by_lag[before] - level) / (by_lag[before] - by_lag[after])
            return HalfLife(before + share * (after - before), is_censored=False)
    return HalfLife(float(lags[-1]), is_censored=True)


class Turnover(NamedTuple):
    """Questions that a whole sequence of updates gained and lost."""

    num_acquired: int
    """Right at the end, about something that had not been said otherwise before."""
    num_updated: int
    """Right at the end, about something that had been said otherwise before."""
    num_forgotten: int
    """Right just after their own update, still valid, and wrong at the end."""

    @property
    def ratio(self) -> float | None:
        """forgotten / (updated + acquired), after the FUAR of Jang et al. 2022; None where nothing was gained."""
        gained = self.num_updated + self.num_acquired
        return self.num_forgotten / gained if gained else None


def turnover(outcome: Outcome) -> Turnover:
    """What was gained and lost, by single paraphrases."""
    first = {row.asked: row.right for line in outcome.lines for row in rows_of(line) if row.cohort == line.update}
    ending: list[AnsweredRow] = final_rows(outcome)
    right = [row for row in ending if row.right]
    return Turnover(
        num_acquired=sum(row.num_changes == 0 for row in right),
        num_updated=sum(row.num_changes > 0 for row in right),
        num_forgotten=sum(not row.right and first.get(row.asked, False) for row in ending),
    )
