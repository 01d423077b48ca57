"""A study's pictures, each as PDF for a paper and as PNG for a screen.

Knows: matplotlib. Refuses to know: how figures are worked out.

    matrix        share right by update and cohort, a panel for each method
    retention     share right by lag, with intervals, ceiling and floor
    trade-off     what was acquired against what was forgotten
    drift         distance from the base model on unrelated text, by update
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")  # pictures go to files; no window may be opened
from matplotlib import pyplot

from agent.intervals import Metric, measured
from agent.study.config import FRESH
from agent.study.retention import forgetting_from_best, matrix
from agent.study.scores import Outcome, efficacy
from agent.study.summary import CEILING, FLOOR, Outcomes, mean_by_lag

SHARE: Final = (0.0, 1.0)
MARKERS: Final = "osD^vPX*<>"
LIMITS: Final = {CEILING: "--", FLOOR: ":"}


def draw_all(outcomes: Outcomes, folder: Path) -> list[Path]:
    """Write every picture that these outcomes allow into the folder; the PNGs, in the order to look at them."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [
        _draw_retention(outcomes, folder / "retention"),
        _draw_matrix(outcomes, folder / "matrix"),
        _draw_trade_off(outcomes, folder / "trade-off"),
        _draw_drift(outcomes, folder / "drift"),
    ]
    return [path for path in drawn if path is not None]


@contextmanager
def _figure(stem: Path, *, num_panels: int = 1, size: tuple[float, float] = (6.4, 4.0)) -> Iterator[Any]:
    """The axes of a new figure, which is written as PDF and PNG at the end."""
    columns = min(3, num_panels)
    rows = -(-num_panels // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(size[0] * columns, size[1] * rows), dpi=150, squeeze=False, layout="constrained"
    )
    try:
        flat = [one for row in axes for one in row]
        for unused in flat[num_panels:]:
            unused.set_axis_off()
        yield flat[:num_panels]
        # Without a date, so that the same study gives the same bytes.
        figure.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None})
        figure.savefig(stem.with_suffix(".png"))
    finally:
        pyplot.close(figure)


def _clean(axes: Any, *, x: str, y: str) -> None:  # noqa: ANN401 - matplotlib's axes
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)


def _interval(values: Sequence[float]) -> Metric:
    return measured(values, unit="share", bounds=SHARE)


def _line(axes: Any, points: Mapping[int, Metric], method: str, place: int) -> None:  # noqa: ANN401
    """A curve with its band; ceiling and floor are black, so that methods stand out."""
    style = LIMITS.get(method)
    marker = None if style else MARKERS[place % len(MARKERS)]
    [line] = axes.plot(
        list(points), [one.mean for one in points.values()], label=method, linestyle=style or "-", linewidth=1.4,
        color="black" if style else None, marker=marker, markersize=3.5,
    )  # fmt: skip
    lows, highs = [one.low for one in points.values()], [one.high for one in points.values()]
    axes.fill_between(list(points), lows, highs, color=line.get_color(), alpha=0.15, linewidth=0)


def _draw_retention(outcomes: Outcomes, stem: Path) -> Path | None:
    curves = {
        method: {lag: _interval(values) for lag, values in mean_by_lag(seeds).items()}
        for method, seeds in outcomes.items()
        if method != FRESH  # which learns all at once, so that its lags say nothing about time
    }
    with _figure(stem) as [axes]:
        for place, (method, points) in enumerate(curves.items()):
            if points:
                _line(axes, points, method, place)
        _clean(axes, x="updates since it was learned", y="share right")
        axes.set_ylim(-0.03, 1.03)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return stem.with_suffix(".png")


def _mean_matrix(seeds: Mapping[int, Outcome]) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    for outcome in seeds.values():
        for key, share in matrix(outcome.lines).items():
            found[key].append(share)
    return {key: fmean(shares) for key, shares in found.items()}


def _draw_matrix(outcomes: Outcomes, stem: Path) -> Path | None:
    """Greys, so that it reads in print: the darker, the more is right; right of the diagonal it was not learned yet."""
    cells = {method: _mean_matrix(seeds) for method, seeds in outcomes.items() if method not in LIMITS}
    if not cells:
        return None
    with _figure(stem, num_panels=len(cells), size=(3.6, 3.4)) as panels:
        for axes, (method, shares) in zip(panels, cells.items(), strict=True):
            updates, cohorts = sorted({key[0] for key in shares}), range(1, max(key[1] for key in shares) + 1)
            grid = [[shares.get((update, cohort), float("nan")) for cohort in cohorts] for update in updates]
            image = axes.imshow(grid, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
            axes.set_facecolor("#f3e9dc")
            for numbers, set_ticks in ((updates, axes.set_yticks), (list(cohorts), axes.set_xticks)):
                places = range(0, len(numbers), max(1, len(numbers) // 6))
                set_ticks(list(places), [str(numbers[place]) for place in places])
            axes.set_xlabel("what update ... taught")
            axes.set_ylabel("asked after update")
            axes.set_title(method, fontsize=10)
        panels[0].figure.colorbar(image, ax=panels, shrink=0.8, label="share right")
    return stem.with_suffix(".png")


def _draw_trade_off(outcomes: Outcomes, stem: Path) -> Path | None:
    """A point with both intervals for each method; the lower right corner is where one wants to be."""
    with _figure(stem) as [axes]:
        for place, (method, seeds) in enumerate(outcomes.items()):
            if method == FRESH:
                continue
            gained = [value for outcome in seeds.values() if (value := efficacy(outcome)) is not None]
            lost = [value for outcome in seeds.values() if (value := forgetting_from_best(outcome)) is not None]
            if gained and lost:
                x, y = _interval(gained), measured(lost, unit="share", bounds=(-1.0, 1.0))
                axes.errorbar(
                    [x.mean], [y.mean], xerr=[[x.mean - x.low], [x.high - x.mean]],
                    yerr=[[y.mean - y.low], [y.high - y.mean]], marker=MARKERS[place % len(MARKERS)], linestyle="",
                    capsize=3, label=method, color="black" if method in LIMITS else None,
                )  # fmt: skip
        _clean(axes, x="right just after it was learned, share", y="forgotten since its best, share")
        axes.set_xlim(-0.03, 1.03)
        axes.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return stem.with_suffix(".png")


def _draw_drift(outcomes: Outcomes, stem: Path) -> Path | None:
    curves: dict[str, dict[int, list[float]]] = {}
    for method, seeds in outcomes.items():
        if not any(line.cost.num_steps for outcome in seeds.values() for line in outcome.lines):
            continue  # it trains nothing
        for outcome in seeds.values():
            for line in outcome.lines:
                if line.drift_nats:
                    curves.setdefault(method, {}).setdefault(line.update, []).append(line.drift_nats["all"])
    if not curves:
        return None
    with _figure(stem) as [axes]:
        for place, (method, points) in enumerate(curves.items()):
            intervals = {
                update: measured(values, unit="nats a token", bounds=(0.0, float("inf")))
                for update, values in sorted(points.items())
            }
            _line(axes, intervals, method, place)
        _clean(axes, x="update", y="KL from the base model, nats a token")
        axes.set_ylim(bottom=0.0)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return stem.with_suffix(".png")
