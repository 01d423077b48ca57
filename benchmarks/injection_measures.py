"""Scores of answers, and what they come to for one method and seed.

Knows: SQuAD's normalisation, exact match and F1; efficacy, retention, backward transfer, false recall as shares of
rows. Refuses to know: how anything was asked, intervals over seeds.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, median

from benchmarks.injection_records import AnsweredRow, QuestionKind, UpdateLine

LAST_UPDATES = 10
"""How many updates at either end of a long run make up its growth of time."""


def normalised(text: str) -> list[str]:
    """The words of an answer as SQuAD compares them: lower case, without punctuation and articles.

    Example: normalised("The red mug, in a box!") == ["red", "mug", "in", "box"]
    """
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def exact_match(said: str, answers: Sequence[str]) -> float:
    """1.0 where one of the answers is what was said, normalised; else 0.0."""
    return float(any(normalised(said) == normalised(answer) for answer in answers))


def token_f1(said: str, answers: Sequence[str]) -> float:
    """The largest F1 between the words that were said and those of an answer: 2 p r / (p + r), normalised."""
    return max((_f1(normalised(said), normalised(answer)) for answer in answers), default=0.0)


def _f1(said: Sequence[str], right: Sequence[str]) -> float:
    if not said or not right:
        return float(said == right)
    num_same = (Counter(said) & Counter(right)).total()
    return 2.0 * num_same / (len(said) + len(right))


def mean(values: Iterable[float]) -> float | None:
    """Their mean; None where there are none."""
    numbers = list(values)
    return fmean(numbers) if numbers else None


def rows_of(line: UpdateLine, kind: QuestionKind = "read") -> list[AnsweredRow]:
    """The rows of one kind that no update was taught with."""
    return [row for row in line.rows if row.kind == kind and not row.taught]


def efficacy(lines: Sequence[UpdateLine]) -> float | None:
    """Share right of every update's own questions just after it."""
    return mean(row.right for line in lines for row in rows_of(line) if row.cohort == line.update)


def final_average(lines: Sequence[UpdateLine], *, fresh: bool, kind: QuestionKind = "read") -> float | None:
    """Share right, at the end, of everything still valid; where each update begins anew, of each just after it."""
    return mean(row.right for line in ending(lines, fresh=fresh) for row in rows_of(line, kind))


def ending(lines: Sequence[UpdateLine], *, fresh: bool) -> Sequence[UpdateLine]:
    """The lines that a final figure is made of: the last one, or all where each update begins anew."""
    return lines if fresh else lines[-1:]


def retention_by_lag(lines: Sequence[UpdateLine]) -> dict[int, float]:
    """Share right by how many updates ago it was learned, over every update after which all was asked."""
    found: dict[int, list[bool]] = {}
    for line in lines:
        for row in rows_of(line) if line.is_point else []:
            found.setdefault(line.update - row.cohort, []).append(row.right)
    return {lag: fmean(rights) for lag, rights in sorted(found.items())}


def backward_transfer(lines: Sequence[UpdateLine]) -> float | None:
    """What later updates did to earlier ones: the mean, over questions still valid at the end and not of the last
    update, of right at the end minus right just after their own update. Negative is forgetting.
    """
    first = {row.asked: row.right for line in lines for row in rows_of(line) if row.cohort == line.update}
    last = rows_of(lines[-1])
    return mean(
        float(row.right) - float(first[row.asked])
        for row in last
        if row.cohort < lines[-1].update and row.asked in first
    )


def false_recall(lines: Sequence[UpdateLine], *, fresh: bool) -> float | None:
    """Share of near misses, at the end, that got a definite answer."""
    return mean(not row.right for line in ending(lines, fresh=fresh) for row in rows_of(line, "near_miss"))


def changed_facts(lines: Sequence[UpdateLine]) -> tuple[float | None, int]:
    """Share right, at the end, of questions about what had been said otherwise before; and how many there are."""
    rows = [row for row in rows_of(lines[-1]) if row.num_changes > 0]
    return mean(row.right for row in rows), len(rows)


def time_growth(lines: Sequence[UpdateLine]) -> float | None:
    """Median seconds of the last ten updates over those of the first ten; None below twenty updates."""
    seconds = [line.cost.seconds for line in lines]
    if len(seconds) < 2 * LAST_UPDATES:
        return None
    return median(seconds[-LAST_UPDATES:]) / median(seconds[:LAST_UPDATES])
