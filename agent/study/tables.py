"""A study's tables: every probe, the retention matrix, the figures as CSV and as LaTeX.

Knows: formats. Refuses to know: how a figure is worked out. Nothing in these files depends on when or how fast anything
ran, so that a study that was interrupted ends with the same bytes.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agent.intervals import Metric
from agent.study.retention import cells
from agent.study.summary import Outcomes

MATRIX_COLUMNS: Final = ("method", "seed", "update", "cohort", "lag", "kind", "n", "mean")
SUMMARY_COLUMNS: Final = ("method", "figure", "unit", "mean", "low", "high", "seeds")
DIGITS: Final = 6
LATEX_COLUMNS: Final = {
    "efficacy": "Efficacy",
    "final_average": "Final avg.",
    "final_average_new_phrasing": "New phrasings",
    "final_average_reverse": "Reverse",
    "backward_transfer": "BWT",
    "changed_facts": "Changed",
    "false_recall": "False recall",
    "drift_nats": "Drift",
}


def item_lines(outcomes: Outcomes) -> Iterator[str]:
    """Every single probe as a line of JSON, in the order of methods, seeds, updates and questions."""
    for method, seeds in outcomes.items():
        for seed, outcome in sorted(seeds.items()):
            for line in outcome.lines:
                for row in line.rows:
                    place = {"method": method, "seed": seed, "update": line.update, "lag": line.update - row.cohort}
                    yield json.dumps(place | row.model_dump(mode="json"), ensure_ascii=False) + "\n"


def matrix_csv(outcomes: Outcomes) -> str:
    """A row for each method, seed, update, cohort and kind. A negative lag was asked before it was learned; of
    `near_miss` and `never_seen`, right is to say that nothing is known.
    """
    rows = [
        (method, seed, cell.update, cell.cohort, cell.update - cell.cohort, cell.kind, cell.num_asked,
         round(cell.share_right, DIGITS))
        for method, seeds in outcomes.items()
        for seed, outcome in sorted(seeds.items())
        for cell in cells(outcome.lines)
    ]  # fmt: skip
    return _csv(MATRIX_COLUMNS, rows)


def summary_csv(figures: Mapping[str, Mapping[str, Metric]]) -> str:
    """A row for each figure of each method, with its 95% interval over seeds."""
    rows = [
        (method, name, one.unit, *(round(end, DIGITS) for end in (one.mean, one.low, one.high)), len(one.values))
        for method, metrics in figures.items()
        for name, one in metrics.items()
    ]
    return _csv(SUMMARY_COLUMNS, rows)


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def latex_table(figures: Mapping[str, Mapping[str, Metric]], *, name: str) -> str:
    """The main figures as a table for a paper (booktabs): mean and 95% interval, which ends where a share does."""
    numbers = sorted({len(one.values) for metrics in figures.values() for one in metrics.values()})
    seeds = " or ".join(map(str, numbers)) + (" seed" if numbers == [1] else " seeds")
    interval = "" if numbers == [1] else ", with the 95\\% t-interval"
    shown = {key: title for key, title in LATEX_COLUMNS.items() if any(key in metrics for metrics in figures.values())}
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \begin{{tabular}}{{l{'r' * len(shown)}}}",
        r"    \toprule",
        f"    Method & {' & '.join(shown.values())} \\\\",
        r"    \midrule",
        *(
            f"    {_escaped(method)} & {' & '.join(_latex(metrics.get(key)) for key in shown)} \\\\"
            for method, metrics in figures.items()
        ),
        r"    \bottomrule",
        r"  \end{tabular}",
        rf"  \caption{{Study {_escaped(name)}: mean over {seeds}{interval}.}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex(metric: Metric | None) -> str:
    if metric is None:
        return "--"
    if len(metric.values) < 2:
        return f"${metric.mean:.3f}$"
    return rf"${metric.mean:.3f}$ \footnotesize$[{metric.low:.3f}, {metric.high:.3f}]$"


def _escaped(text: str) -> str:
    for special in "\\&%$#_{}":
        text = text.replace(special, rf"\{special}" if special != "\\" else r"\textbackslash ")
    return text
