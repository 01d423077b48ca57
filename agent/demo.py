"""The demo: an agent lives in a made-up house, and comes to know it while it keeps answering.

Knows: where results go and what the summary says. Refuses to know: the course of a demo (`demo_course.py`), what
figures mean (`demo_measures.py`), how things look (`display.py`).
"""

import copy
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from agent.demo_check import Verdict, check_version
from agent.demo_course import Course
from agent.demo_measures import learning_figures, retention_matrix, time_figures
from agent.display import Display, updates_table
from agent.figures import draw_retention
from agent.home import Home
from agent.runtime import HomeParts, Runtime
from memory_log.clock import utc_now
from memory_log.disk import naming_a_full_disk
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from memory_log.records import VersionState
from updater.fold import VersionWeights, load_weights
from updater.settings import UpdateSettings

LINEAGE: Final = "default"
MAX_WAIT_SECONDS: Final = 20.0


class DemoPlan(BaseModel):
    """How long a demo is, and with what.

    Example: DemoPlan(updates=2, experiences_per_update=2, seed=0, out=Path("demo"))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    updates: int = Field(default=8, ge=1)
    experiences_per_update: int = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0)
    out: Path
    model: str | None = None
    """Folder or Hugging Face id; None is the embedded model."""
    device: str = "auto"
    settings: UpdateSettings | None = None
    """How updates are made; None takes the defaults with the demo's seed."""


def run_demo(
    *,
    updates: int,
    experiences_per_update: int,
    seed: int,
    out: Path | None,
    model: str | None,
    plain: bool,
    device: str,
) -> int:
    """Run a demo from start to end and print what came of it; the exit code.

    Args:
        updates, experiences_per_update, seed: its length and its house.
        out: an empty or new folder for the results; None makes one in the working folder.
        model: folder or Hugging Face id of the base model; None is the embedded one.
        plain: lines instead of a live screen.
        device: `auto`, `cpu`, `cuda`.

    Returns:
        0; 1 where a request failed or an answer mixed versions, which must not happen.

    Raises:
        BadInput: the folder is in use.
        DemoStalled: updates stopped getting anywhere.
    """
    plan = DemoPlan(
        updates=updates, experiences_per_update=experiences_per_update, seed=seed, out=results_folder(out), model=model,
        device=device,
    )  # fmt: skip
    summary = play(plan, Display(plain=plain))
    return 1 if summary["num_failed_requests"] or summary["num_mixed_version_answers"] else 0


def results_folder(out: Path | None) -> Path:
    """The folder to write to: the given one, which must be new or empty, or a fresh one in the working folder.

    Raises:
        BadInput: it holds something.
    """
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise BadInput(f"{out} is not an empty folder; name a new one with --out, so that no results are mixed")
        with naming_a_full_disk(out):
            out.mkdir(parents=True, exist_ok=True)
        return out
    stem = f"selfparam-demo-{utc_now():%Y%m%d-%H%M%S}"
    for number in range(1, 100):
        folder = Path(stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise BadInput(f"{stem} and its like exist already; name a folder with --out")


def play(plan: DemoPlan, display: Display) -> dict[str, Any]:
    """Run a demo and write its files; the summary, which is one of them."""
    begun = time.monotonic()

    def elapsed() -> float:
        return time.monotonic() - begun

    home = Home.open(plan.out / "home", model=plan.model)
    with display, home.open_log() as log:
        display.event(elapsed(), f"results go to {plan.out}; the update worker and the serving actor are starting")
        with Runtime(
            home, lineage=LINEAGE, batch_size=plan.experiences_per_update, max_wait_seconds=MAX_WAIT_SECONDS,
            device=plan.device, settings=plan.settings or UpdateSettings(seed=plan.seed),
        ) as runtime:  # fmt: skip
            course = Course(
                runtime, log, display, lineage=LINEAGE, updates=plan.updates,
                experiences_per_update=plan.experiences_per_update, seed=plan.seed, elapsed=elapsed,
            )  # fmt: skip
            course.run()
        display.event(elapsed(), f"{course.ledger.num_requests} requests; asking each version its part alone")
        verdict = check_answers(course, runtime.parts, log)
        summary = summarise(plan, course, runtime, log, verdict, wall_seconds=elapsed())
    write_results(plan, course, summary)
    report_results(plan, course, summary, display)
    return summary


def check_answers(course: Course, parts: HomeParts, log: MemoryLog) -> Verdict:
    """Compare every different answer with what its version says alone."""
    versions = VersionWeights(parts.base, log, parts.home.blob_store())
    model = copy.deepcopy(parts.base.model)
    verdicts = []
    for version, replies in course.ledger.replies_by_version().items():
        load_weights(model, versions.weights(parts.lineage, version))
        verdicts.append(check_version(model, replies, eos_token_ids=parts.base.dialogue.eos_token_ids))
    return Verdict(*(sum(counts) for counts in zip(*verdicts, strict=True)))


def summarise(
    plan: DemoPlan, course: Course, runtime: Runtime, log: MemoryLog, verdict: Verdict, *, wall_seconds: float
) -> dict[str, Any]:
    """Everything that `summary.json` holds."""
    outcomes = sorted(course.outcomes.values(), key=lambda outcome: outcome.started_at)
    spans = [(outcome.started_at, outcome.visible_at) for outcome in outcomes]
    admitted = [v.number for v in log.versions(LINEAGE) if v.state is VersionState.ADMITTED and v.number]
    swaps = sorted(course.swaps.values(), key=lambda swap: swap.version)
    return {
        "model": runtime.parts.home.model_source,
        "seed": plan.seed,
        "num_updates": plan.updates,
        "num_experiences": plan.updates * plan.experiences_per_update,
        "num_refused": sum(row.num_refused for row in course.update_rows),
        "versions": admitted,
        **learning_figures(course.probe_rows, plan.updates),
        "num_probes_taught": course.book.num_taught,
        "num_requests": course.ledger.num_requests,
        "num_requests_during_updates": course.ledger.num_answered_between(spans),
        "num_failed_requests": course.ledger.num_failed,
        "failures": dict(course.ledger.failures),
        "num_retried_requests": runtime.num_retried,
        "num_checked_answers": verdict.num_checked,
        "num_mixed_version_answers": verdict.num_mixed,
        "num_near_ties": verdict.num_near_ties,
        **time_figures(outcomes),
        "flip_seconds": [swap.swap_seconds for swap in swaps],
        "in_flight_at_swaps": [swap.num_in_flight for swap in swaps],
        "min_in_flight_at_swap": min((swap.num_in_flight for swap in swaps), default=None),
        "retention_matrix": retention_matrix(course.probe_rows, plan.updates),
        "updates": [row.model_dump(mode="json") for row in course.update_rows],
        "wall_seconds": round(wall_seconds, 1),
    }


def write_results(plan: DemoPlan, course: Course, summary: Mapping[str, Any]) -> None:
    """Write `probes.jsonl`, `retention.png` and, as the last one, `summary.json`: where it is, a demo is complete.

    Raises:
        DiskFull: there is no room.
    """
    lines = "".join(row.model_dump_json() + "\n" for row in course.probe_rows)
    title = f"share of probes right, seed {plan.seed}"
    aside = plan.out / "summary.json.unfinished"
    with naming_a_full_disk(plan.out):
        (plan.out / "probes.jsonl").write_text(lines, encoding="utf-8")
        draw_retention(summary["retention_matrix"], plan.out / "retention.png", title=title)
        aside.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        aside.replace(plan.out / "summary.json")


def report_results(plan: DemoPlan, course: Course, summary: Mapping[str, Any], display: Display) -> None:
    """Print the table of updates and the figures that matter most."""
    display.console.print(updates_table(course.update_rows))
    for line in closing_lines(summary):
        display.console.print(line, markup=False)
    display.console.print(f"{plan.out}: summary.json, retention.png, probes.jsonl, home", markup=False)


def closing_lines(summary: Mapping[str, Any]) -> Sequence[str]:
    """The summary in a few sentences."""

    def shown(name: str) -> str:
        return "none" if summary[name] is None else f"{summary[name]:.2f}"

    return (
        f"with its notes the model answers {shown('ceiling')} of {summary['num_probes']} probes, without them "
        f"{shown('floor')}; from its weights {shown('efficacy')} right after each update, and at the end "
        f"{shown('retention')} of the {summary['num_probes_still_valid']} still true",
        f"false recall {shown('false_recall')} over {summary['num_near_misses']} near misses",
        f"{summary['num_requests']} requests, {summary['num_requests_during_updates']} answered during updates, "
        f"{summary['num_retried_requests']} asked again, {summary['num_failed_requests']} failed; "
        f"{summary['num_mixed_version_answers']} of {summary['num_checked_answers']} different answers mixed versions "
        f"({summary['num_near_ties']} near ties)",
    )
