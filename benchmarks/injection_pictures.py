"""Pictures of the injection benchmark: final averages by method, retention by lag, seconds by update.

Knows: matplotlib. Refuses to know: how figures are measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")  # pictures go to files; no window may be opened
from matplotlib import pyplot

from agent.intervals import Metric, measured
from agent.study.scores import Outcome, final_average, retention_by_lag

SHARE: Final = (0.0, 1.0)
LIMITS: Final = (("in_context", "ceiling", "--"), ("none", "floor", ":"))

Outcomes = Mapping[str, Mapping[int, Outcome]]


def draw_all(outcomes: Outcomes, folder: Path, *, name: str) -> list[Path]:
    """Write every picture that these outcomes allow as PNGs into the folder; which they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}_methods.png"]
    draw_methods(outcomes, paths[0])
    if not any(outcome.fresh for seeds in outcomes.values() for outcome in seeds.values()):
        paths += [folder / f"{name}_retention.png", folder / f"{name}_seconds.png"]
        draw_retention_by_lag(outcomes, paths[1])
        draw_seconds(outcomes, paths[2])
    return paths


@contextmanager
def _axes(path: Path, *, x: str, y: str) -> Iterator[Any]:
    figure, axes = pyplot.subplots(figsize=(7.0, 4.2), dpi=150)
    try:
        yield axes
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(path)
    finally:
        pyplot.close(figure)


def _interval(values: Sequence[float]) -> Metric:
    return measured(values, unit="share", bounds=SHARE)


def _finals(seeds: Mapping[int, Outcome]) -> list[float]:
    return [value for outcome in seeds.values() if (value := final_average(outcome)) is not None]


def draw_methods(outcomes: Outcomes, path: Path) -> None:
    """A bar with its 95% interval for each method, between the floor and the ceiling."""
    found = {method: _interval(values) for method, seeds in outcomes.items() if (values := _finals(seeds))}
    limits = {method for method, _, _ in LIMITS}
    bars = {method: metric for method, metric in found.items() if method not in limits}
    with _axes(path, x="", y="final average, share right") as axes:
        means = [metric.mean for metric in bars.values()]
        errors = [[m.mean - m.low for m in bars.values()], [m.high - m.mean for m in bars.values()]]
        axes.bar(range(len(bars)), means, yerr=errors, capsize=4, color="0.6", edgecolor="black")
        for method, label, style in LIMITS:
            if method in found:
                axes.axhline(found[method].mean, linestyle=style, color="black", linewidth=1, label=label)
        axes.set_xticks(range(len(bars)), list(bars), rotation=30, ha="right")
        axes.set_ylim(0.0, 1.05)
        if limits & found.keys():
            axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(LIMITS))


def draw_retention_by_lag(outcomes: Outcomes, path: Path) -> None:
    """A line for each method: share right by updates since it was learned, with the 95% interval as a band."""
    with _axes(path, x="updates since it was learned", y="share right") as axes:
        for method, seeds in outcomes.items():
            by_lag: dict[int, list[float]] = {}
            for outcome in seeds.values():
                for lag, share in retention_by_lag(outcome).items():
                    by_lag.setdefault(lag, []).append(share)
            points = {lag: _interval(values) for lag, values in sorted(by_lag.items()) if len(values) == len(seeds)}
            if points:
                [line] = axes.plot(list(points), [m.mean for m in points.values()], label=method, linewidth=1.4)
                lows, highs = [m.low for m in points.values()], [m.high for m in points.values()]
                axes.fill_between(list(points), lows, highs, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set_ylim(0.0, 1.05)
        axes.legend(frameon=False, fontsize=8)


def draw_seconds(outcomes: Outcomes, path: Path) -> None:
    """A line for each method that trains: mean seconds of each update over seeds."""
    with _axes(path, x="update", y="seconds") as axes:
        for method, seeds in outcomes.items():
            seconds: dict[int, list[float]] = {}
            for outcome in seeds.values():
                for one in outcome.lines:
                    if one.cost.num_steps:
                        seconds.setdefault(one.update, []).append(one.cost.seconds)
            if seconds:
                means = [sum(values) / len(values) for values in seconds.values()]
                axes.plot(list(seconds), means, label=method, marker=".", linewidth=1.2)
        axes.set_ylim(bottom=0.0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
