"""What a demo measured: every single probe result, and the figures made from them.

Knows: efficacy, retention, ceiling, floor and false recall as shares of probe results. Refuses to know: how
anything was asked, files, displays.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent.worker import UpdateOutcome

Condition = Literal["ceiling", "floor", "version"]
LONG_LAG = 4


class ProbeRow(BaseModel):
    """One probe asked once: a line of `probes.jsonl`, from which every share in the summary can be computed again.

    `condition` is `ceiling` (base model with notes), `floor` (base model without) or `version` (a version without).
    `after_update` counts the updates that had ended when it was asked, from 1; `cohort` is the update that taught it.

    Example: [row for row in rows if row.condition == "version" and row.after_update == row.cohort]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe_id: int
    kind: str
    cohort: int
    experience_id: int
    condition: Condition
    after_update: int
    version: int
    question: str
    right: str
    said: str
    correct: bool
    is_final: bool = False
    """Asked of the last version once the last update had ended: what `retention` and `false_recall` are made of."""


class UpdateRow(BaseModel):
    """One update as the table shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    update: int
    version: int | None
    num_learned: int
    num_refused: int
    efficacy: float | None
    """Share of this update's own probes that were right just after it."""
    retention: float | None
    """Share of earlier, still valid probes that were right just after it; None for the first update."""
    false_recall: float | None
    outcome: UpdateOutcome | None
    """None where the worker died between its commit and its report."""


def share(rows: Iterable[ProbeRow]) -> float | None:
    """Share of right answers; None without rows."""
    verdicts = [row.correct for row in rows]
    return fmean(verdicts) if verdicts else None


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole; None where either is missing or the whole is 0."""
    return None if part is None or not whole else part / whole


def own(rows: Sequence[ProbeRow], condition: Condition) -> list[ProbeRow]:
    """Question probes asked right after their own update."""
    return [r for r in rows if r.kind == "question" and r.condition == condition and r.after_update == r.cohort]


def retention_matrix(rows: Sequence[ProbeRow], num_updates: int) -> list[list[float | None]]:
    """Share right by [after update][cohort], still valid question probes only; None where nothing was asked."""
    asked: dict[tuple[int, int], list[ProbeRow]] = {}
    for row in rows:
        if row.kind == "question" and row.condition == "version":
            asked.setdefault((row.after_update, row.cohort), []).append(row)
    numbers = range(1, num_updates + 1)
    return [[share(asked.get((after, cohort), [])) for cohort in numbers] for after in numbers]


def learning_figures(rows: Sequence[ProbeRow], num_updates: int) -> dict[str, object]:
    """Ceiling, floor, efficacy, retention (also by lag) and false recall."""
    final = [row for row in rows if row.is_final and row.kind == "question"]
    near_misses = [row for row in rows if row.is_final and row.kind == "near_miss"]
    ceiling, efficacy, retention = share(own(rows, "ceiling")), share(own(rows, "version")), share(final)
    lags = {lag: [row for row in final if num_updates - row.cohort == lag] for lag in range(num_updates)}
    long_lag = share(row for row in final if num_updates - row.cohort >= LONG_LAG)
    false_recall = share(near_misses)
    return {
        "ceiling": ceiling,
        "floor": share(own(rows, "floor")),
        "efficacy": efficacy,
        "efficacy_ratio": ratio(efficacy, ceiling),
        "retention": retention,
        "retention_ratio": ratio(retention, ceiling),
        "retention_lag_ge_4": long_lag,
        "retention_ratio_lag_ge_4": ratio(long_lag, ceiling),
        "retention_by_lag": {str(lag): share(asked) for lag, asked in lags.items()},
        "false_recall": None if false_recall is None else 1.0 - false_recall,
        "num_probes": len({row.probe_id for row in own(rows, "version")}),
        "num_probes_still_valid": len(final),
        "num_near_misses": len(near_misses),
    }


def time_figures(outcomes: Sequence[UpdateOutcome]) -> dict[str, object]:
    """Seconds from batch stored to version visible, and of that from admitted to visible, an update each."""
    admitted = [outcome for outcome in outcomes if outcome.report.admitted]
    update_seconds = [round(outcome.update_seconds, 3) for outcome in admitted]
    return {
        "update_seconds": update_seconds,
        "update_seconds_median": median(update_seconds) if update_seconds else None,
        "swap_seconds": [round(outcome.swap_seconds, 4) for outcome in admitted],
    }
