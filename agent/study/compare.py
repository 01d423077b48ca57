"""Two studies beside each other: by how much a method's figures differ, seed by seed.

Knows: paired differences. Refuses to know: files, how figures are worked out.
"""

from collections.abc import Mapping
from typing import NamedTuple

from agent.intervals import Metric, measured
from agent.study.folder import StudyFolder
from agent.study.summary import COSTS, FLOOR, LEAST_SEEDS, figures_of
from memory_log.errors import BadInput


class Difference(NamedTuple):
    """One figure of two studies; `change` is the second minus the first, over the seeds that both have."""

    figure: str
    unit: str
    first: Metric
    second: Metric
    change: Metric

    @property
    def is_clear(self) -> bool:
        """Whether the change's interval leaves out 0. With fewer than three seeds, or equal changes, nothing is: one
        figure in twenty is clear by chance.
        """
        values = self.change.values
        return len(values) >= LEAST_SEEDS and len(set(values)) > 1 and not self.change.low <= 0 <= self.change.high


def compare(first: StudyFolder, second: StudyFolder, method: str, *, other: str | None = None) -> list[Difference]:
    """Every figure that a method has in both, over the seeds that both have.

    Args:
        first, second: two studies; they may be the same one, to compare two of its methods.
        method: of the first study.
        other: of the second; None is the same method.

    Raises:
        BadInput: a study has no such method or has not finished it, schedule or streams of experiences are others, or
            no seed is in both.
    """
    if first.config.course != second.config.course:
        raise BadInput(f"{first.path} and {second.path} have other schedules; compare studies of the same one")
    outcomes = [first.outcomes(), second.outcomes()]
    methods = (method, other or method)
    for folder, found, name in zip((first, second), outcomes, methods, strict=True):
        if name not in found:
            raise BadInput(f"{folder.path} has no finished update of {name!r}; it has: {', '.join(found) or 'none'}")
    for folder, name in zip((first, second), methods, strict=True):
        open_parts = [f"seed {seed}" for part, seed in folder.unfinished() if part == name]
        if open_parts:
            raise BadInput(f"{folder.path} has not finished {name} ({', '.join(open_parts)}); resume it first")
    seeds = sorted(outcomes[0][methods[0]].keys() & outcomes[1][methods[1]].keys())
    if not seeds:
        raise BadInput(f"no seed is in both {first.path} and {second.path}; differences are taken seed by seed")
    streams = [folder.environment.get("hashes", {}).get("streams", {}) for folder in (first, second)]
    if any(streams[0].get(str(seed), 0) != streams[1].get(str(seed), 1) for seed in seeds):
        raise BadInput(
            f"{first.path} and {second.path} have other experiences or questions for the same seed, so that a "
            "difference would be the streams'; compare studies of the same source and schedule"
        )
    differences = []
    both = {name: figure for name, figure in figures_of(methods[0]).items() if name in figures_of(methods[1])}
    for name, figure in {**both, **COSTS}.items():
        values = [
            [figure.of(found[kind][seed], found.get(FLOOR, {}).get(seed)) for seed in seeds]
            for found, kind in zip(outcomes, methods, strict=True)
        ]
        pairs = [(one, other) for one, other in zip(*values, strict=True) if one is not None and other is not None]
        if len(pairs) == len(seeds):
            before, after = (measured(column, unit=figure.unit) for column in zip(*pairs, strict=True))
            change = measured([other - one for one, other in pairs], unit=figure.unit)
            differences.append(Difference(name, figure.unit, before, after, change))
    return differences


def as_json(differences: list[Difference]) -> Mapping[str, object]:
    """The same as values of JSON."""
    return {
        one.figure: {
            "unit": one.unit, "first": one.first.mean, "second": one.second.mean, "change": one.change.mean,
            "low": one.change.low, "high": one.change.high, "is_clear": one.is_clear,
        }
        for one in differences
    }  # fmt: skip
