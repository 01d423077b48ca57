"""Scores of answers, and what they come to for one method and seed.

Knows: SQuAD's normalisation, exact match and F1; efficacy, retention, backward transfer, false recall as shares of
rows. Refuses to know: how anything was asked, intervals over seeds.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import NamedTuple

from agent.study.records import AnsweredRow, QuestionKind, UpdateLine

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


class Outcome(NamedTuple):
    """What one method did with one seed: a line for each update, in order; `fresh` where each update began anew."""

    lines: Sequence[UpdateLine]
    fresh: bool

    @property
    def ending(self) -> Sequence[UpdateLine]:
        """The lines that a final figure is made of: the last one after which everything was asked, or all where each
        update began anew.
        """
        return self.lines if self.fresh else [line for line in self.lines if line.is_point][-1:]

    def until(self, update: int) -> "Outcome":
        """The same, as it stood after an update."""
        return self._replace(lines=[line for line in self.lines if line.update <= update])


def rows_of(line: UpdateLine, kind: QuestionKind = "paraphrase") -> list[AnsweredRow]:
    """The rows of one kind, but for `verbatim` those that no update was taught with."""
    return [row for row in line.rows if row.kind == kind and (kind == "verbatim" or not row.taught)]


def final_rows(outcome: Outcome, kind: QuestionKind = "paraphrase") -> list[AnsweredRow]:
    """The rows that final figures are made of; what is asked before it is learned is not among them."""
    return [row for line in outcome.ending for row in rows_of(line, kind) if row.cohort <= line.update]


def efficacy(outcome: Outcome) -> float | None:
    """Share right of every update's own questions just after it."""
    return mean(row.right for line in outcome.lines for row in rows_of(line) if row.cohort == line.update)


def final_average(outcome: Outcome, kind: QuestionKind = "paraphrase") -> float | None:
    """Share right, at the end, of everything still valid; where each update began anew, of each just after it."""
    return mean(row.right for row in final_rows(outcome, kind))


def final_exact_match(outcome: Outcome) -> float | None:
    """Mean exact match of the same, normalised as in SQuAD."""
    return mean(row.exact for row in final_rows(outcome))


def final_f1(outcome: Outcome) -> float | None:
    """Mean token F1 of the same, normalised as in SQuAD."""
    return mean(row.f1 for row in final_rows(outcome))


def retention_by_lag(outcome: Outcome) -> dict[int, float]:
    """Share right by how many updates ago it was learned, over every update after which all was asked."""
    found: dict[int, list[bool]] = {}
    for line in outcome.lines:
        for row in rows_of(line) if line.is_point else []:
            if row.cohort <= line.update:
                found.setdefault(line.update - row.cohort, []).append(row.right)
    return {lag: fmean(rights) for lag, rights in sorted(found.items())}


def retention_at(outcome: Outcome, lag: int) -> float | None:
    """Share right that many updates later; None where nothing was asked then."""
    return None if outcome.fresh else retention_by_lag(outcome).get(lag)


def backward_transfer(outcome: Outcome) -> float | None:
    """What later updates did to earlier ones: the mean, over questions still valid at the end and not of the last
    update, of right at the end minus right just after their own update. Negative is forgetting.
    """
    if outcome.fresh:
        return None
    if not outcome.ending:
        return None
    last = outcome.ending[-1]
    first = {row.asked: row.right for line in outcome.lines for row in rows_of(line) if row.cohort == line.update}
    earlier = [row for row in rows_of(last) if row.cohort < last.update and row.asked in first]
    return mean(float(row.right) - float(first[row.asked]) for row in earlier)


def false_recall(outcome: Outcome) -> float | None:
    """Share of near misses, at the end, that got a definite answer."""
    return mean(not row.right for row in final_rows(outcome, "near_miss"))


def balanced(outcome: Outcome) -> float | None:
    """The mean of the share right of what is known and the share right of near misses: neither knowing nothing nor
    blurting out scores above a half. Without near misses, the share right of what is known.
    """
    known, wrong = final_average(outcome), false_recall(outcome)
    return known if wrong is None or known is None else fmean((known, 1.0 - wrong))


def changed_facts(outcome: Outcome) -> float | None:
    """Share right, at the end, of questions about what had been said otherwise before; None where nothing had."""
    return mean(row.right for row in final_rows(outcome) if row.num_changes > 0)


def changed_three_times(outcome: Outcome) -> float | None:
    """The same of what had been said otherwise at least three times."""
    return mean(row.right for row in final_rows(outcome) if row.num_changes >= 3)


def time_growth(outcome: Outcome) -> float | None:
    """Median seconds of the last ten updates over those of the first ten; None below twenty updates."""
    seconds = [line.cost.seconds for line in outcome.lines]
    if outcome.fresh or len(seconds) < 2 * LAST_UPDATES:
        return None
    first = median(seconds[:LAST_UPDATES])
    return median(seconds[-LAST_UPDATES:]) / first if first > 0 else None


def reading_kept(outcome: Outcome) -> float | None:
    """Reading after over reading before; where each update began anew, the mean."""
    return mean(line.reading_kept for line in outcome.ending if line.reading_kept is not None)


def drift(outcome: Outcome, kind: str = "all") -> float | None:
    """KL (nats a token) from the base on unrelated text of a kind; where each update began anew, the mean."""
    return mean(line.drift_nats[kind] for line in outcome.ending if line.drift_nats and kind in line.drift_nats)
