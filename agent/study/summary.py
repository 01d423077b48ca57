"""What a study comes to: figures of every method with intervals over seeds, costs, and where it is too small.

Knows: which figures there are, their units, and what a claim needs. Refuses to know: files, pictures.
"""

from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean, median
from typing import Any, Final, NamedTuple

from agent.intervals import Metric, measured
from agent.study.config import FRESH, StudyConfig
from agent.study.records import QuestionKind
from agent.study.retention import (
    HalfLife,
    forgetting_from_best,
    forgetting_from_first,
    forward_transfer,
    half_life,
    relative_retention,
    turnover,
)
from agent.study.scores import (
    Outcome,
    backward_transfer,
    changed_facts,
    drift,
    efficacy,
    final_average,
    final_rows,
    mean,
    reading_kept,
    retention_at,
    retention_by_lag,
)

Outcomes = Mapping[str, Mapping[int, Outcome]]
"""By method and seed."""
FLOOR: Final = "none"
CEILING: Final = "in_context"
LAGS: Final = (1, 5, 10, 50)
ANSWERED: Final[tuple[QuestionKind, ...]] = ("verbatim", "new_phrasing", "reverse", "implication")
SHARE: Final = (0.0, 1.0)
NOT_NEGATIVE: Final = (0.0, float("inf"))
LEAST_PROBES: Final = 200
LEAST_SEEDS: Final = 3
LEAST_UPDATES: Final = 10
MOST_TAUGHT: Final = 0.1


class Figure(NamedTuple):
    """One figure of a method and a seed. `of` gets the method's outcome and the floor's, None where there is none."""

    of: Callable[[Outcome, Outcome | None], float | None]
    unit: str
    bounds: tuple[float, float] | None = None


def _alone(figure: Callable[[Outcome], float | None]) -> Callable[[Outcome, Outcome | None], float | None]:
    return lambda outcome, floor: figure(outcome)


def _wrong(outcome: Outcome, kind: QuestionKind) -> float | None:
    return mean(not row.right for row in final_rows(outcome, kind))


def _forward(outcome: Outcome, floor: Outcome | None) -> float | None:
    return None if floor is None else forward_transfer(outcome, floor)


def _num_asked(outcome: Outcome, kind: QuestionKind) -> float:
    return float(len(final_rows(outcome, kind)))


FIGURES: Final[Mapping[str, Figure]] = {
    "efficacy": Figure(_alone(efficacy), "share", SHARE),
    "final_average": Figure(_alone(final_average), "share", SHARE),
    **{
        f"final_average_{kind}": Figure(_alone(partial(final_average, kind=kind)), "share", SHARE) for kind in ANSWERED
    },
    "changed_facts": Figure(_alone(changed_facts), "share", SHARE),
    "backward_transfer": Figure(_alone(backward_transfer), "share"),
    "forward_transfer": Figure(_forward, "share"),
    "forgetting_from_best": Figure(_alone(forgetting_from_best), "share"),
    "forgetting_from_first": Figure(_alone(forgetting_from_first), "share"),
    **{f"retention_lag_{lag}": Figure(_alone(partial(retention_at, lag=lag)), "share", SHARE) for lag in LAGS},
    **{
        f"relative_retention_lag_{lag}": Figure(_alone(partial(relative_retention, lag=lag)), "ratio", NOT_NEGATIVE)
        for lag in LAGS
    },
    "forgotten_over_gained": Figure(_alone(lambda outcome: turnover(outcome).ratio), "ratio", NOT_NEGATIVE),
    "false_recall": Figure(_alone(partial(_wrong, kind="near_miss")), "share", SHARE),
    "false_recall_never_seen": Figure(_alone(partial(_wrong, kind="never_seen")), "share", SHARE),
    "drift_nats": Figure(_alone(drift), "nats a token", NOT_NEGATIVE),
    "reading_kept": Figure(_alone(reading_kept), "ratio", NOT_NEGATIVE),
    "num_questions": Figure(_alone(partial(_num_asked, kind="paraphrase")), "questions"),
    "num_near_misses": Figure(_alone(partial(_num_asked, kind="near_miss")), "questions"),
}
COSTS: Final[Mapping[str, Figure]] = {
    "seconds_per_update": Figure(
        _alone(lambda outcome: median(line.cost.seconds for line in outcome.lines)), "seconds", NOT_NEGATIVE
    ),
    "seconds_in_all": Figure(
        _alone(lambda outcome: sum(line.cost.seconds for line in outcome.lines)), "seconds", NOT_NEGATIVE
    ),
    "bytes_of_targets": Figure(_alone(lambda outcome: float(outcome.lines[-1].cost.num_bytes_targets)), "bytes"),
    "bytes_of_deltas": Figure(_alone(lambda outcome: float(outcome.lines[-1].cost.num_bytes_deltas)), "bytes"),
    "num_refused": Figure(
        _alone(lambda outcome: float(sum(line.cost.num_refused for line in outcome.lines))), "experiences"
    ),
}


OF_ALL_AT_ONCE: Final = (
    "final_average", *(f"final_average_{kind}" for kind in ANSWERED), "changed_facts", "false_recall",
    "false_recall_never_seen", "drift_nats", "reading_kept", "num_questions", "num_near_misses",
)  # fmt: skip
"""Of `fresh_lora`, which learns everything anew at its points: nothing there is about the time since learning."""


def figures_of(method: str) -> Mapping[str, Figure]:
    """The figures that mean something for a method."""
    return {name: FIGURES[name] for name in OF_ALL_AT_ONCE} if method == FRESH else FIGURES


class Summary(NamedTuple):
    """What a study comes to, by method."""

    figures: Mapping[str, Mapping[str, Metric]]
    costs: Mapping[str, Mapping[str, Metric]]
    half_lives: Mapping[str, HalfLife]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as values of JSON."""
        return {
            "warnings": list(self.warnings),
            "figures": {method: _dumped(figures) for method, figures in self.figures.items()},
            "half_lives": {method: one._asdict() for method, one in self.half_lives.items()},
            "costs": {method: _dumped(figures) for method, figures in self.costs.items()},
        }


def _dumped(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: metric.model_dump(mode="json", exclude_none=True) for name, metric in metrics.items()}


def summarise(config: StudyConfig, outcomes: Outcomes) -> Summary:
    """Every figure that these outcomes have."""
    level = at_a_shared_point(outcomes)
    floors = level.get(FLOOR, {})
    found = {method: _over_seeds(seeds, floors, figures_of(method)) for method, seeds in level.items()}
    costs = {method: _over_seeds(seeds, floors, COSTS) for method, seeds in level.items()}
    lives = {
        method: life
        for method, seeds in level.items()
        if method != FRESH and (life := _half_life_of(seeds, floors)) is not None
    }
    return Summary(found, costs, lives, tuple(_warnings(config, outcomes)))


def at_a_shared_point(outcomes: Outcomes) -> dict[str, dict[int, Outcome]]:
    """Every method's seeds as they stood after the last update after which all of them were asked everything; a seed
    that has come to none yet is left out.
    """
    found = {}
    for method, seeds in outcomes.items():
        ends = {seed: outcome.ending[-1].update for seed, outcome in seeds.items() if outcome.ending}
        if ends:
            found[method] = {seed: seeds[seed].until(min(ends.values())) for seed in ends}
    return found


def _over_seeds(
    seeds: Mapping[int, Outcome], floors: Mapping[int, Outcome], figures: Mapping[str, Figure]
) -> dict[str, Metric]:
    """Figures with their intervals; one that a seed does not have is left out."""
    found = {}
    for name, figure in figures.items():
        values = [figure.of(outcome, floors.get(seed)) for seed, outcome in sorted(seeds.items())]
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):
            found[name] = measured(known, unit=figure.unit, bounds=figure.bounds)
    return found


def mean_by_lag(seeds: Mapping[int, Outcome]) -> dict[int, list[float]]:
    """Share right of every seed by lag, at lags that every seed has."""
    curves = [retention_by_lag(outcome) for _, outcome in sorted(seeds.items())]
    shared = set.intersection(*(set(curve) for curve in curves)) if curves else set()
    return {lag: [curve[lag] for curve in curves] for lag in sorted(shared)}


def _half_life_of(seeds: Mapping[int, Outcome], floors: Mapping[int, Outcome]) -> HalfLife | None:
    """Of the mean curve over seeds; None without a floor."""
    floor = mean(average for outcome in floors.values() if (average := final_average(outcome)) is not None)
    if floor is None:
        return None
    return half_life({lag: fmean(shares) for lag, shares in mean_by_lag(seeds).items()}, floor=floor)


def _warnings(config: StudyConfig, outcomes: Outcomes) -> list[str]:
    """What a reader must know before believing a figure."""
    found = []
    missing = [
        f"{method}, seed {seed}"
        for seed in config.seeds
        for method in config.methods
        if len(_lines(outcomes, method, seed)) < config.num_lines(method)
    ]
    if missing:
        found.append(
            f"not finished: {'; '.join(missing)}. Each method's figures are of the last point that its seeds share."
        )
    if len(config.seeds) < LEAST_SEEDS:
        found.append(
            f"{len(config.seeds)} {'seed says' if len(config.seeds) == 1 else 'seeds say'} little or nothing about the "
            f"spread; take at least {LEAST_SEEDS}, better five."
        )
    if config.schedule.updates < LEAST_UPDATES:
        found.append(f"{config.schedule.updates} updates are a short time to forget in; take at least {LEAST_UPDATES}.")
    found += [
        f"{name} was not run, so figures have no {what} to be read beside."
        for name, what in ((FLOOR, "floor"), (CEILING, "ceiling"))
        if name not in config.methods
    ]
    for method, seeds in outcomes.items():
        found += _warnings_of(method, seeds)
    return found


def _lines(outcomes: Outcomes, method: str, seed: int) -> list[object]:
    outcome = outcomes.get(method, {}).get(seed)
    return [] if outcome is None else list(outcome.lines)


def _warnings_of(method: str, seeds: Mapping[int, Outcome]) -> list[str]:
    found = []
    kinds: tuple[tuple[QuestionKind, str], ...] = (("paraphrase", "final average"), ("near_miss", "false recall"))
    for kind, what in kinds:
        num = sum(len(final_rows(outcome, kind)) for outcome in seeds.values())
        if num < LEAST_PROBES:
            found.append(f"{method}: the {what} rests on {num} questions; a claim needs at least {LEAST_PROBES}.")
    lines = [line for outcome in seeds.values() for line in outcome.lines]
    rows = [row for line in lines for row in line.rows if row.kind == "paraphrase"]
    num_taught = sum(row.taught for row in rows)
    if rows and num_taught > MOST_TAUGHT * len(rows):
        found.append(f"{method}: {num_taught} of {len(rows)} questions were taught in these words and are left out.")
    num_refused = sum(line.cost.num_refused for line in lines)
    if num_refused:
        found.append(f"{method}: the gate refused {num_refused} experiences; questions about them count all the same.")
    num_dropped = sum(row.num_dropped for line in lines for row in line.rows)
    if num_dropped:
        found.append(f"{method}: {num_dropped} notes did not fit into the model's prompt and were left out.")
    return found
