"""The picture of the fetch benchmark: steps of each method beside perfect knowledge, for each world that was run.

Knows: matplotlib and the names of metrics. Refuses to know: how figures are measured.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("Agg")  # pictures go to files; no window may be opened
from matplotlib import pyplot

from agent.intervals import Metric
from benchmarks.results_file import ResultsFile

LABELS: Final = {
    "none": "no memory", "in_context": "log in the prompt", "bm25": "retrieval", "ours": "ours",
    "perfect": "perfect knowledge",
}  # fmt: skip
PREFIXES: Final = {"": "household", "minigrid_": "MiniGrid"}


def draw(metrics: Mapping[str, Metric], path: Path) -> None:
    """Write bars of mean steps a task, with intervals over seeds and the share fetched above each, as a PNG."""
    worlds = {prefix: title for prefix, title in PREFIXES.items() if f"{prefix}perfect_steps" in metrics}
    figure, axes_of = pyplot.subplots(1, len(worlds), figsize=(4.6 * len(worlds), 3.8), dpi=150, squeeze=False)
    for axes, (prefix, title) in zip(axes_of[0], worlds.items(), strict=True):
        names = [name for name in LABELS if f"{prefix}{name}_steps" in metrics]
        steps = [metrics[f"{prefix}{name}_steps"] for name in names]
        errors = [[one.mean - one.low for one in steps], [one.high - one.mean for one in steps]]
        colours = ["0.35" if name == "ours" else "0.75" for name in names]
        means = [one.mean for one in steps]
        axes.bar(range(len(names)), means, yerr=errors, capsize=4, color=colours, edgecolor="black")
        for place, (name, one) in enumerate(zip(names, steps, strict=True)):
            share = metrics[f"{prefix}{name}_success"].mean
            axes.annotate(f"{share:.0%}", (place, one.high), xytext=(0, 3), textcoords="offset points", ha="center")
        axes.set_xticks(range(len(names)), [LABELS[name] for name in names], rotation=25, ha="right")
        axes.set_ylabel("steps a task; above: share fetched")
        axes.set_title(title)
        axes.margins(y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw from a results file: `python -m benchmarks.fetch_picture benchmarks/results/fetch.json docs/fetch.png`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fetch_picture", description=main.__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args(arguments)
    draw(ResultsFile.read(options.results).metrics, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
