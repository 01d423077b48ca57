"""A study as one page to read: `report.html`, which needs no other file and no network.

Knows: HTML. Refuses to know: how figures are worked out or drawn.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from agent.intervals import Metric
from agent.study.config import StudyConfig, as_toml
from agent.study.contestants import METHODS
from agent.study.summary import COSTS, FIGURES, Summary

FIRST_COLUMNS: Final = {
    "efficacy": "right just after learning",
    "final_average": "right at the end",
    "final_average_reverse": "asked back to front",
    "backward_transfer": "what later updates did to it",
    "changed_facts": "changed facts, latest answer",
    "false_recall": "false recall",
    "drift_nats": "drift, nats a token",
    "reading_kept": "reading kept",
}
CAPTIONS: Final = {
    "retention": "Share of paraphrased questions right, by how many updates ago their experience was learned. Bands "
    "are 95% t-intervals over seeds; the dashed line reads the experience in its prompt (ceiling), the dotted one "
    "knows nothing (floor).",
    "matrix": "A row is an update after which was asked, a column what an update taught; the darker, the more is "
    "right. Coloured ground was not asked. Right of the diagonal is what was asked before it was learned.",
    "trade-off": "What a method takes up against what it loses again; right and low is good.",
    "drift": "How far the weights have moved the model on text that no update is about: KL(base || model).",
}
STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8883; --warn: #b35900; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
p.under { margin-top: .2rem; opacity: .75; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid var(--soft); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid var(--line); }
thead th { white-space: normal; vertical-align: bottom; font-weight: 600; }
.low { opacity: .65; font-size: .85em; display: block; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; background: white; border: 1px solid var(--soft); }
figcaption { font-size: .9rem; opacity: .8; max-width: 50rem; }
.warnings { border-left: 4px solid var(--warn); padding: .2rem 1rem; background: var(--soft); }
pre { overflow-x: auto; padding: .8rem; background: var(--soft); font-size: .85rem; }
summary { cursor: pointer; font-weight: 600; margin: .6rem 0; }
"""


def page(config: StudyConfig, summary: Summary, pictures: Sequence[Path], environment: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        config: what the study was made of.
        summary: what it came to.
        pictures: PNGs, which go into the page themselves.
        environment: under which circumstances it ran.
    """
    runs = environment.get("runs", [])
    begun = f"begun {runs[0]['date']}, commit {runs[0]['commit'][:12]}, {runs[0]['hardware']}" if runs else ""
    schedule = config.schedule
    under = (
        f"{schedule.updates} updates of {schedule.experiences_per_update} experiences, {len(config.seeds)} "
        f"{'seed' if len(config.seeds) == 1 else 'seeds'}, {begun}"
    )
    parts = [
        f"<h1>{escape(config.name)}</h1>",
        f'<p class="under">{escape(under)}</p>',
        _warnings(summary.warnings),
        "<h2>In short</h2>",
        _first_table(summary),
        "<p>Mean over seeds, with the 95% t-interval below. Shares are of questions that no update was taught.</p>",
        "<h2>Pictures</h2>",
        *(_figure(path) for path in pictures),
        "<h2>Everything measured</h2>",
        _long_table("Figures", summary.figures, list(FIGURES)),
        _long_table("Costs", summary.costs, list(COSTS)),
        "<h2>The methods</h2>",
        _methods(config),
        "<h2>How it was made</h2>",
        f"<details><summary>study.toml</summary><pre>{escape(as_toml(config))}</pre></details>",
        f"<details><summary>Circumstances</summary>{_circumstances(environment)}</details>",
        "<p>Beside this page lie <code>items.jsonl</code> (every single probe), <code>matrix.csv</code>, "
        "<code>summary.json</code>, <code>summary.csv</code>, <code>table.tex</code> and the pictures as PDF.</p>",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(config.name)}: retention study</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings"><p><b>Before you believe a figure</b></p><ul>{items}</ul></div>'


def _first_table(summary: Summary) -> str:
    shown = [name for name in FIRST_COLUMNS if any(name in metrics for metrics in summary.figures.values())]
    head = "".join(f"<th>{escape(FIRST_COLUMNS[name])}</th>" for name in shown)
    rows = []
    for method, metrics in summary.figures.items():
        life = summary.half_lives.get(method)
        cells = "".join(f"<td>{_cell(metrics.get(name))}</td>" for name in shown)
        rows.append(f"<tr><td>{escape(method)}</td>{cells}<td>{escape(str(life)) if life else '–'}</td></tr>")  # noqa: RUF001
    return (
        f'<div class="wide"><table><thead><tr><th>method</th>{head}<th>half-life, updates</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "–"  # noqa: RUF001 - a dash for what is not there
    if len(metric.values) < 2:
        return _number(metric.mean)
    return f'{_number(metric.mean)}<span class="low">{_number(metric.low)} to {_number(metric.high)}</span>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def _long_table(title: str, by_method: Mapping[str, Mapping[str, Metric]], names: Sequence[str]) -> str:
    shown = [name for name in names if any(name in metrics for metrics in by_method.values())]
    if not shown:
        return ""
    head = "".join(f"<th>{escape(method)}</th>" for method in by_method)
    rows = []
    for name in shown:
        unit = next(metrics[name].unit for metrics in by_method.values() if name in metrics)
        cells = "".join(f"<td>{_cell(metrics.get(name))}</td>" for metrics in by_method.values())
        rows.append(f"<tr><td>{escape(name)} <span class='low'>{escape(unit)}</span></td>{cells}</tr>")
    return (
        f'<details><summary>{escape(title)}</summary><div class="wide"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _methods(config: StudyConfig) -> str:
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(METHODS[name])}</li>" for name in config.methods)
    return f"<ul>{items}</ul>"


def _figure(path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    caption = CAPTIONS[path.stem]
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _circumstances(environment: Mapping[str, Any]) -> str:
    rows = []
    for run in environment.get("runs", []):
        versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
        said = f"{run['date']}: commit {run['commit']}; {run['hardware']}; {versions}"
        rows.append(f"<li>{escape(said)}</li>")
    fingerprint = escape(str(environment.get("hashes", {}).get("model", "")))
    return f"<ul>{''.join(rows)}</ul><p>Weights of the base model: <code>{fingerprint}</code></p>"
