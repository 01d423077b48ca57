"""What fetching comes to, over all worlds, methods and seeds: the metrics of its results file.

Knows: names, units and targets of metrics. Refuses to know: how rows came about, how a file is written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean, median
from typing import Final, NamedTuple

from agent.intervals import Metric, measured
from benchmarks.fetch_plan import FetchPlan, WorldName
from benchmarks.fetch_records import FetchLine, FetchRow, TaskKind
from benchmarks.fetch_run import KNOWS_ALL

Lines = Sequence[FetchLine]
Outcomes = Mapping[str, Mapping[int, Lines]]
"""By method and seed, of one world."""

OURS: Final = "ours"
CLAIMED: Final[tuple[TaskKind, ...]] = ("unmoved", "moved")
"""What a memory can know: things that are still where they were last noted."""
SHARE: Final = (0.0, 1.0)
NOT_NEGATIVE: Final = (0.0, float("inf"))


class Reported(NamedTuple):
    """One figure of a method and a seed, and how it is reported."""

    figure: Callable[[Lines], float | None]
    unit: str
    bounds: tuple[float, float] | None = NOT_NEGATIVE


def rows_of(lines: Lines, kinds: Sequence[TaskKind] = CLAIMED) -> list[FetchRow]:
    """The tasks of some kinds at the end of these lines."""
    return [row for row in lines[-1].rows if row.kind in kinds]


def until(lines: Lines, episode: int) -> Lines:
    """The lines of a life up to the end of an episode."""
    return [line for line in lines if line.episode <= episode]


def success(lines: Lines, kinds: Sequence[TaskKind] = CLAIMED) -> float | None:
    """Share of the tasks at the end in which the thing was fetched."""
    return _mean(row.fetched for row in rows_of(lines, kinds))


def steps(lines: Lines, kinds: Sequence[TaskKind] = CLAIMED) -> float | None:
    """Mean steps of the tasks at the end; a failure counts the step limit."""
    return _mean(row.steps for row in rows_of(lines, kinds))


def answers_right(lines: Lines) -> float | None:
    """Share of single answers that name exactly the place where the thing is; None where nothing was asked."""
    return _mean(share for row in rows_of(lines) if (share := _share_right(row)) is not None)


def _share_right(row: FetchRow) -> float | None:
    return row.num_right / len(row.said) if row.said else None


def _of_asked(lines: Lines, name: str) -> float | None:
    return _mean(getattr(row, name) for row in rows_of(lines))


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return fmean(numbers) if numbers else None


def _num_tasks(lines: Lines, kinds: Sequence[TaskKind]) -> float:
    return float(len(rows_of(lines, kinds)))


def _seconds_per_update(lines: Lines) -> float | None:
    seconds = [line.cost.seconds for line in lines if line.cost.num_steps]
    return median(seconds) if seconds else None


def _of_costs(lines: Lines, name: str) -> float:
    return float(sum(getattr(line.cost, name) for line in lines))


def _num_updates(lines: Lines) -> float:
    return float(sum(line.cost.num_steps > 0 for line in lines))


OF_EACH: Final[Mapping[str, Reported]] = {
    "success": Reported(success, "share", SHARE),
    "steps": Reported(steps, "steps"),
    "success_unmoved": Reported(partial(success, kinds=("unmoved",)), "share", SHARE),
    "success_moved": Reported(partial(success, kinds=("moved",)), "share", SHARE),
    "success_stale": Reported(partial(success, kinds=("stale",)), "share", SHARE),
    "steps_unmoved": Reported(partial(steps, kinds=("unmoved",)), "steps"),
    "steps_moved": Reported(partial(steps, kinds=("moved",)), "steps"),
    "steps_stale": Reported(partial(steps, kinds=("stale",)), "steps"),
    "answers_right": Reported(answers_right, "share", SHARE),
    "prompt_tokens": Reported(partial(_of_asked, name="prompt_tokens"), "tokens"),
    "notes_dropped": Reported(partial(_of_asked, name="num_dropped"), "notes"),
}
OF_OURS: Final[Mapping[str, Reported]] = {
    "seconds_per_update": Reported(_seconds_per_update, "seconds"),
    "num_updates": Reported(_num_updates, "updates"),
    "num_learned": Reported(partial(_of_costs, name="num_learned"), "experiences"),
    "num_refused": Reported(partial(_of_costs, name="num_refused"), "experiences"),
    "num_tasks_unmoved": Reported(partial(_num_tasks, kinds=("unmoved",)), "tasks"),
    "num_tasks_moved": Reported(partial(_num_tasks, kinds=("moved",)), "tasks"),
    "num_tasks_stale": Reported(partial(_num_tasks, kinds=("stale",)), "tasks"),
}


def metrics_of(world: WorldName, outcomes: Outcomes, plan: FetchPlan) -> dict[str, Metric]:
    """Every metric that the outcomes of a world have: first ours with targets, then each method's own, then the sizes.

    The household's have no prefix, because the project's target is about them.
    """
    found: dict[str, Metric] = {}
    if OURS in outcomes:
        values = _over_seeds(outcomes[OURS], Reported(success, "share", SHARE))
        found["fetch_success"] = measured(values, unit="share", target=">= 0.95", bounds=SHARE)
    for method, seeds in outcomes.items():
        if method != KNOWS_ALL and KNOWS_ALL in outcomes:
            ratios = _ratios(seeds, outcomes[KNOWS_ALL])
            name, target = ("steps_vs_perfect", "<= 1.10") if method == OURS else (f"{method}_steps_vs_perfect", None)
            found[name] = measured(ratios, unit="ratio", target=target, bounds=NOT_NEGATIVE)
    for method, seeds in outcomes.items():
        for name, reported in {**OF_EACH, **_curves(seeds), **(OF_OURS if method == OURS else {})}.items():
            values = _over_seeds(seeds, reported)
            if len(values) == len(seeds):
                found[f"{method}_{name}"] = measured(values, unit=reported.unit, bounds=reported.bounds)
    found |= _sizes(world, outcomes, plan)
    return found if world == "household" else {f"{world}_{name}": metric for name, metric in found.items()}


def _curves(seeds: Mapping[int, Lines]) -> dict[str, Reported]:
    """Success and steps after each point: `steps_after_15` and so on."""
    points = sorted({line.episode for lines in seeds.values() for line in lines if line.is_point})
    found = {}
    for episode in points:
        found[f"success_after_{episode}"] = Reported(_at(success, episode), "share", SHARE)
        found[f"steps_after_{episode}"] = Reported(_at(steps, episode), "steps")
    return found


def _at(figure: Callable[[Lines], float | None], episode: int) -> Callable[[Lines], float | None]:
    return lambda lines: figure(until(lines, episode))


def _sizes(world: WorldName, outcomes: Outcomes, plan: FetchPlan) -> dict[str, Metric]:
    episodes = plan.household.episodes if world == "household" else plan.minigrid.episodes
    sizes = {
        "num_episodes": (episodes, "episodes"),
        "step_limit": (plan.errands(world).step_limit, "steps"),
        "questions_per_task": (plan.num_questions, "questions"),
    }
    num_seeds = max(len(seeds) for seeds in outcomes.values())
    return {name: measured([size] * num_seeds, unit=unit) for name, (size, unit) in sizes.items()}


def _over_seeds(seeds: Mapping[int, Lines], reported: Reported) -> list[float]:
    return [value for lines in seeds.values() if (value := reported.figure(lines)) is not None]


def _ratios(seeds: Mapping[int, Lines], perfect: Mapping[int, Lines]) -> list[float]:
    """Mean steps over the mean steps of perfect knowledge, seed by seed."""
    found = []
    for seed, lines in seeds.items():
        own, best = steps(lines), steps(perfect[seed])
        if own is not None and best:
            found.append(own / best)
    return found
