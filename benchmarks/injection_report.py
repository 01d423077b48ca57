"""What a protocol comes to, over all methods and seeds: the metrics of its results file.

Knows: names, units and targets of metrics, shares of the ceiling, and when ours beats a baseline. Refuses to know: how
rows came about, how a file is written.
"""

from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean, median
from typing import Final, NamedTuple

from agent.intervals import Metric, measured
from agent.study.courses import Course, ProtocolName
from agent.study.scores import (
    Outcome,
    backward_transfer,
    balanced,
    changed_facts,
    changed_three_times,
    drift,
    efficacy,
    false_recall,
    final_average,
    final_exact_match,
    final_f1,
    mean,
    reading_kept,
    retention_at,
    retention_by_lag,
    rows_of,
    time_growth,
)

Figure = Callable[[Outcome], float | None]
Outcomes = Mapping[str, Mapping[int, Outcome]]
"""By method and seed."""

OURS: Final = "ours"
CEILING: Final = "in_context"
WITHOUT_CONTEXT: Final = ("none", "ce_sentences", "ce_raw", "fresh_lora", "kl_no_anchors", "kl_no_replay")
RATIO_TARGETS: Final = {
    "single_ratio": ">= 0.98",
    "batch100_ratio": ">= 0.97",
    "sequential20x5_ratio": ">= 0.95",
    "sequential100x10_ratio": ">= 0.90",
    "changed_fact_ratio": ">= 0.95",
}
BEATEN: Final = ">= 0.001"
"""The worse end of a margin must be more than nothing."""
SHOWN_LAGS: Final = 5

SHARE: Final = (0.0, 1.0)
NOT_NEGATIVE: Final = (0.0, float("inf"))


class Reported(NamedTuple):
    """One figure of a method and a seed, and how it is reported."""

    figure: Figure
    unit: str
    bounds: tuple[float, float] | None = None
    target: str | None = None


def _total_cost(outcome: Outcome, name: str) -> float:
    return float(sum(getattr(line.cost, name) for line in outcome.lines))


def _mean_cost(outcome: Outcome, name: str) -> float:
    return fmean(getattr(line.cost, name) for line in outcome.lines)


def _last_cost(outcome: Outcome, name: str) -> float:
    return float(getattr(outcome.lines[-1].cost, name))


def _median_seconds(outcome: Outcome) -> float:
    return median(line.cost.seconds for line in outcome.lines)


def _num_asked(outcome: Outcome, kind: str) -> float | None:
    return float(sum(row.kind == kind and not row.taught for line in outcome.ending for row in line.rows)) or None


def _total_of_rows(outcome: Outcome, name: str) -> float:
    return float(sum(getattr(row, name) for line in outcome.lines for row in line.rows))


OF_OURS: Final[Mapping[str, Reported]] = {
    "reading_kept": Reported(reading_kept, "ratio", NOT_NEGATIVE, ">= 0.98"),
    "false_recall": Reported(false_recall, "share", SHARE, "<= 0.03"),
    "num_near_misses": Reported(partial(_num_asked, kind="near_miss"), "questions", None, ">= 200"),
    "drift_nats": Reported(drift, "nats a token", NOT_NEGATIVE, "<= 0.02"),
    "update_time_growth": Reported(time_growth, "ratio", NOT_NEGATIVE, "<= 1.2"),
}
OF_EACH: Final[Mapping[str, Reported]] = {
    "efficacy": Reported(efficacy, "share", SHARE),
    "final_average": Reported(final_average, "share", SHARE),
    "final_average_new_phrasings": Reported(partial(final_average, kind="new_phrasing"), "share", SHARE),
    "exact_match": Reported(final_exact_match, "share", SHARE),
    "f1": Reported(final_f1, "share", SHARE),
    "backward_transfer": Reported(backward_transfer, "share"),
    "changed_facts": Reported(changed_facts, "share", SHARE),
    "changed_three_times": Reported(changed_three_times, "share", SHARE),
    "false_recall": Reported(false_recall, "share", SHARE),
    "balanced": Reported(balanced, "share", SHARE),
    "reading_kept": Reported(reading_kept, "ratio", NOT_NEGATIVE),
    "seconds_per_update": Reported(_median_seconds, "seconds", NOT_NEGATIVE),
    "steps_per_update": Reported(partial(_mean_cost, name="num_steps"), "steps", NOT_NEGATIVE),
    "sentences_per_step": Reported(partial(_mean_cost, name="sentences_per_step"), "sentences"),
    "num_refused": Reported(partial(_total_cost, name="num_refused"), "experiences", NOT_NEGATIVE),
    "bytes_of_targets": Reported(partial(_last_cost, name="num_bytes_targets"), "bytes", NOT_NEGATIVE),
    "bytes_of_deltas": Reported(partial(_last_cost, name="num_bytes_deltas"), "bytes", NOT_NEGATIVE),
    "num_questions": Reported(partial(_num_asked, kind="paraphrase"), "questions", NOT_NEGATIVE),
    "num_questions_taught": Reported(partial(_total_of_rows, name="taught"), "questions", NOT_NEGATIVE),
    "num_notes_dropped": Reported(partial(_total_of_rows, name="num_dropped"), "notes", NOT_NEGATIVE),
}


def metrics_of(outcomes: Outcomes, course: Course, protocol: ProtocolName) -> dict[str, Metric]:
    """Every metric that these outcomes have: first ours with targets, then each method's own."""
    found = _ratios(outcomes, course, protocol)
    if OURS in outcomes:
        found |= _over_seeds(outcomes[OURS], OF_OURS) | _margins(outcomes)
    for method, seeds in outcomes.items():
        reported = {**OF_EACH, **_drifts(seeds), **_retentions(seeds)}
        found |= {f"{method}_{name}": metric for name, metric in _over_seeds(seeds, reported).items()}
    return found


def _over_seeds(seeds: Mapping[int, Outcome], reported: Mapping[str, Reported]) -> dict[str, Metric]:
    """Figures with their intervals; one that a seed does not have is left out."""
    found = {}
    for name, one in reported.items():
        values = [value for outcome in seeds.values() if (value := one.figure(outcome)) is not None]
        if values and len(values) == len(seeds):
            found[name] = measured(values, unit=one.unit, target=one.target, bounds=one.bounds)
    return found


def _drifts(seeds: Mapping[int, Outcome]) -> dict[str, Reported]:
    kinds = {kind for outcome in seeds.values() for kind in outcome.lines[-1].drift_nats or {}}
    return {
        "drift_nats" if kind == "all" else f"drift_nats_{kind}": Reported(
            partial(drift, kind=kind), "nats a token", NOT_NEGATIVE
        )
        for kind in sorted(kinds)
    }


def _retentions(seeds: Mapping[int, Outcome]) -> dict[str, Reported]:
    lags = {lag for outcome in seeds.values() for lag in retention_by_lag(outcome) if lag % SHOWN_LAGS == 0}
    return {f"retention_lag_{lag}": Reported(partial(retention_at, lag=lag), "share", SHARE) for lag in sorted(lags)}


def _ratios(outcomes: Outcomes, course: Course, protocol: ProtocolName) -> dict[str, Metric]:
    """Ours as a share of the ceiling, seed by seed; nothing where either was not run."""
    if OURS not in outcomes or CEILING not in outcomes:
        return {}
    found = {}
    for name, figure in _figures_of(course, protocol).items():
        seeds = sorted(outcomes[OURS].keys() & outcomes[CEILING].keys())
        pairs = [(figure(outcomes[OURS][seed]), figure(outcomes[CEILING][seed])) for seed in seeds]
        values = [ours / ceiling for ours, ceiling in pairs if ours is not None and ceiling]
        if values and len(values) == len(pairs):
            found[name] = measured(values, unit="ratio", target=RATIO_TARGETS.get(name), bounds=NOT_NEGATIVE)
    return found


def _figures_of(course: Course, protocol: ProtocolName) -> dict[str, Figure]:
    """What is reported as a share of the ceiling in a protocol."""
    if protocol == "single":
        return {"single_ratio": final_average}
    if protocol == "batch":
        return {
            f"batch{len(cohort)}_ratio": partial(_right_after, place=place)
            for place, cohort in enumerate(course.cohorts)
        }
    return {
        f"sequential{len(course.cohorts)}x{len(course.cohorts[0])}_ratio": final_average,
        "changed_fact_ratio": changed_facts,
    }


def _right_after(outcome: Outcome, place: int) -> float | None:
    return mean(row.right for row in rows_of(outcome.lines[place]))


def _margins(outcomes: Outcomes) -> dict[str, Metric]:
    """How far ours lies above the upper end of the interval of each baseline without context."""
    found = {}
    ours = [value for outcome in outcomes[OURS].values() if (value := balanced(outcome)) is not None]
    for method in WITHOUT_CONTEXT:
        theirs = _over_seeds(outcomes.get(method, {}), {"balanced": OF_EACH["balanced"]}).get("balanced")
        if theirs is not None and ours:
            above = [value - theirs.high for value in ours]
            found[f"margin_over_{method}"] = measured(above, unit="share", target=BEATEN)
    return found
