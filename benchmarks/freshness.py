"""How soon an agent knows what it lives through: `python -m benchmarks.freshness [--quick] [--json FILE]`.

`selfparam serve` answers, and the process that it starts learns, while another process appends experiences of a made-up
household to the log. First at full speed: as fast as the log takes them while at most two batches may be pending, so
that who brings them has to wait. That gives the rate that can be sustained. Then at random moments at a share of this
rate, or at `--rate`: an experience is known when a version that learned it is seen to serve, and that version is asked
about it in a phrasing that no update is taught with.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.circumstances import utc_now
from agent.intervals import Metric, measured
from agent.study.household import household_stream
from agent.study.records import Stream
from benchmarks.freshness_server import Served
from benchmarks.freshness_stream import (
    Lived,
    NothingMeasured,
    arrivals,
    growth,
    max_backlog,
    sustained_per_minute,
    waited,
)
from benchmarks.freshness_watch import LINEAGE, Watch
from benchmarks.results_file import report
from memory_log.errors import BadInput, SelfParamError
from memory_log.log import MemoryLog
from memory_log.records import Bound, NewExperience

CHANGED_SHARE: Final = 0.1
FULL_SPEED_SHARE: Final = 0.25
"""Of all experiences, where no time is given."""
LOAD: Final = 0.7
"""Share of the sustained rate at which experiences come where no rate is given."""
PATIENCE_SECONDS: Final = 1800.0
"""For room in the log, and for the last to be known: longer than any update."""
POLL_SECONDS: Final = 0.5


class Plan(NamedTuple):
    """How much is measured, and how the home learns."""

    num_experiences: int
    batch_size: int
    max_wait_seconds: float
    per_minute: float | None
    num_threads: int
    most_seconds: float = math.inf
    """Of the stream, after which no more experiences come; the least number of batches then comes at full speed."""
    settings: tuple[str, ...] = ()
    least_batches: int = 3
    """At full speed: the first one starts the learner and does not count."""

    @property
    def most_pending(self) -> int:
        """Where whoever appends has to wait."""
        return 2 * self.batch_size

    @property
    def num_at_full_speed(self) -> int:
        """Whole batches: the least number where the stream's time is given, else about a quarter of all experiences."""
        share = round(FULL_SPEED_SHARE * self.num_experiences / self.batch_size)
        return self.batch_size * max(self.least_batches, share if self.most_seconds == math.inf else 0)


QUICK_SETTINGS: Final = (
    "update.questions_per_experience=6", "update.near_misses_per_experience=1", "update.exchanges_per_question=0",
    "update.min_samples=6", "update.min_questions=1", "update.num_anchors=8", "update.num_contradictions=0",
    "update.num_replay=8", "update.num_fresh_near_misses=0", "update.num_steps=2", "update.least_passes=0",
    "update.retry.num_retries=0", "gate.min_efficacy=0", "gate.max_false_recall=1", "gate.max_retention_loss=1",
    "gate.max_reading_loss=1", "gate.max_drift_nats=1000",
)  # fmt: skip
"""Few steps and an open gate: what is learned then is wrong, and only the course of things is tried."""
QUICK: Final = Plan(3, 1, 0.2, 60.0, 1, settings=QUICK_SETTINGS, least_batches=2)


class Measured(NamedTuple):
    """What one run came to."""

    at_full_speed: list[Lived]
    streamed: list[Lived]
    weights: list[tuple[int, int]]
    """Bytes of server and learner from the first streamed experience until the last is known, in order."""
    per_minute: float
    """At which they came."""

    @property
    def all(self) -> list[Lived]:
        """Of the whole run."""
        return self.at_full_speed + self.streamed


class Telling:
    """Brings the experiences of a stream into the log, and has them watched.

    Args:
        log: where to.
        stream: what is told.
        bound: makes the teller wait.
        watch: sees what becomes of them.
    """

    def __init__(self, log: MemoryLog, stream: Stream, bound: Bound, watch: Watch, advance: Callable[[], None]) -> None:
        self._log, self._stream, self._bound, self._watch = log, stream, bound, watch
        self._advance = advance

    def tell(self, number: int, came_at: float | None = None) -> None:
        """Append one as soon as there is room; it happened then, or at the moment that is given."""
        told = self._stream.told[number]
        new = NewExperience(text=told.text, facts=told.facts, lineage=LINEAGE, session="freshness", step=number)
        began_at = time.monotonic()
        experience = self._log.append(new, bound=self._bound)
        self._watch.told(number, experience, began_at if came_at is None else came_at)
        self._advance()

    def at_full_speed(self, plan: Plan) -> list[Lived]:
        """Tell whole batches as fast as there is room, and wait until all is known."""
        for number in range(plan.num_at_full_speed):
            self.tell(number)
        self.wait_until_known()
        return self._watch.lived(range(plan.num_at_full_speed))

    def at_moments(self, plan: Plan, first: int, per_minute: float, seed: int) -> range:
        """Tell the rest at random moments while there is time, and wait until all is known; which were told."""
        began_at, number = time.monotonic(), first
        for after in arrivals(plan.num_experiences - first, per_minute=per_minute, seed=seed):
            if after > plan.most_seconds and number > first:
                break
            time.sleep(max(0.0, began_at + after - time.monotonic()))
            self.tell(number, began_at + after)
            number += 1
        self.wait_until_known()
        return range(first, number)

    def wait_until_known(self) -> None:
        """Return when nothing that was told is open any more.

        Raises:
            RuntimeError: nobody watches any more, or it takes too long.
        """
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while self._watch.num_open:
            if self._watch.error is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"{self._watch.num_open} experiences are not known yet") from self._watch.error
            time.sleep(POLL_SECONDS)


def run(plan: Plan, folder: Path, *, seed: int, progress: Progress) -> Measured:
    """Serve, tell and watch, once.

    Raises:
        BadInput: there are too few experiences for the batch size.
        RuntimeError: server or learner ended, or something does not come to be known.
    """
    if plan.num_at_full_speed >= plan.num_experiences:
        raise BadInput(
            f"got {plan.num_experiences} experiences, needed more than {plan.num_at_full_speed} with batches of "
            f"{plan.batch_size}"
        )
    stream = household_stream(plan.num_experiences, seed=seed, changed_share=CHANGED_SHARE)
    bound = Bound(most_pending=plan.most_pending, when_full="block", timeout_seconds=PATIENCE_SECONDS)
    arguments = ["--batch", str(plan.batch_size), "--max-wait", str(plan.max_wait_seconds)]
    arguments += [word for setting in plan.settings for word in ("--set", setting)]
    home = folder / "home"
    with ExitStack() as stack:
        served = stack.enter_context(
            Served(home, arguments, num_threads=plan.num_threads, output=folder / "serve.log")
        )
        log = stack.enter_context(MemoryLog(f"sqlite:///{home}/log.sqlite3"))
        watch = stack.enter_context(Watch(served, log, stream))
        task = progress.add_task("at full speed", total=plan.num_experiences)
        telling = Telling(log, stream, bound, watch, lambda: progress.advance(task))
        at_full_speed = telling.at_full_speed(plan)
        per_minute = plan.per_minute or LOAD * sustained_per_minute(at_full_speed)
        progress.update(task, description=f"{per_minute:.1f} a minute")
        began_at = time.monotonic()
        streamed = telling.at_moments(plan, len(at_full_speed), per_minute, seed)
        watch.close()
        if watch.error is not None:
            raise RuntimeError("what is known could not be asked about") from watch.error
        weights = [(one.server, one.learner) for moment, one in watch.weights if moment >= began_at]
        return Measured(watch.lived(range(len(at_full_speed))), watch.lived(streamed), weights, per_minute)


def metrics_of(plan: Plan, runs: Sequence[Measured]) -> dict[str, Metric]:
    """Every figure, one value for each run; a figure for which a run had nothing to measure is left out."""

    def over_runs(
        figure: Callable[[Measured], float], unit: str, target: str | None = None, *, is_share: bool = False
    ) -> Metric | None:
        try:
            values = [figure(one) for one in runs]
        except NothingMeasured:
            return None
        return measured(values, unit=unit, target=target, bounds=(0, 1) if is_share else None)

    found = {
        "num_experiences": over_runs(lambda one: len(one.all), "experiences"),
        "num_streamed": over_runs(lambda one: len(one.streamed), "experiences"),
        "sustained_per_minute": over_runs(lambda one: sustained_per_minute(one.at_full_speed), "experiences a minute"),
        "arrived_per_minute": over_runs(lambda one: one.per_minute, "experiences a minute"),
        "known_after_p50_seconds": over_runs(lambda one: waited(one.streamed, 0.5), "seconds"),
        "known_after_p95_seconds": over_runs(lambda one: waited(one.streamed, 0.95), "seconds"),
        "max_backlog": over_runs(lambda one: max_backlog(one.streamed), "experiences"),
        "max_backlog_at_full_speed": over_runs(
            # Pending, in an update, and learned by a version that is about to serve.
            lambda one: max_backlog(one.at_full_speed), "experiences", f"<= {plan.most_pending + 2 * plan.batch_size}"
        ),
        "memory_growth": over_runs(lambda one: growth([sum(pair) for pair in one.weights]), "ratio", "<= 1.1"),
        "memory_growth_server": over_runs(lambda one: growth([pair[0] for pair in one.weights]), "ratio"),
        "memory_growth_learner": over_runs(lambda one: growth([pair[1] for pair in one.weights]), "ratio"),
        "right_when_known": over_runs(lambda one: _share_right(one.all), "share", is_share=True),
        "share_refused": over_runs(lambda one: _share_refused(one.all), "share", is_share=True),
        "share_refused_streamed": over_runs(lambda one: _share_refused(one.streamed), "share", is_share=True),
    }  # fmt: skip
    return {name: metric for name, metric in found.items() if metric is not None}


def _share_right(lived: Sequence[Lived]) -> float:
    asked = [one.is_right for one in lived if one.is_right is not None]
    if not asked:
        raise NothingMeasured("no question was asked")
    return sum(asked) / len(asked)


def _share_refused(lived: Sequence[Lived]) -> float:
    if not lived:
        raise NothingMeasured("no experience came")
    return sum(one.is_refused for one in lived) / len(lived)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freshness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few experiences, learned badly: a smoke test")
    parser.add_argument("--experiences", type=int, default=1000, metavar="N", help="in all (default: 1000)")
    parser.add_argument(
        "--rate", type=float, metavar="N", help="experiences a minute (default: 0.7 of what is sustained at full speed)"
    )
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="most in one update (default: 8)")
    parser.add_argument(
        "--max-wait", type=float, default=5.0, metavar="SECONDS", help="begin for fewer after so long (default: 5)"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="of the learner (default: one a core)"
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, metavar="N",
        help="end the stream after so long, and take three batches at full speed (default: until all have come)",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep home and output there (default: temporary)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan(
        options.experiences, options.batch, options.max_wait, options.rate, options.threads, 60 * options.minutes
    )  # fmt: skip
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with tempfile.TemporaryDirectory(prefix="selfparam-freshness-") as temporary, Progress(*bars) as progress:
            folder = options.work or Path(temporary)
            if folder.joinpath("home").exists():
                raise BadInput(f"{folder} holds a home already; times cannot be taken up again: name another --work")
            folder.mkdir(parents=True, exist_ok=True)
            metrics = metrics_of(plan, [run(plan, folder, seed=0, progress=progress)])
    except SelfParamError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    for name, metric in metrics.items():
        print(f"{name:28} {metric.mean:9.3f} {metric.unit}{metric.verdict}")
    if options.json is not None:
        results = report(
            "freshness", command=_command(options), seeds=[0], metrics=metrics, now=utc_now(), quick=options.quick
        )
        results.write(options.json)
    return 0


def _command(options: argparse.Namespace) -> str:
    """What to type to measure this again."""
    words = ["python -m benchmarks.freshness"]
    if options.quick:
        words.append("--quick")
    else:
        words += ["--experiences", str(options.experiences), "--batch", str(options.batch)]
        words += ["--max-wait", f"{options.max_wait:g}", "--threads", str(options.threads)]
        words += [] if options.minutes == math.inf else ["--minutes", f"{options.minutes:g}"]
        words += [] if options.rate is None else ["--rate", f"{options.rate:g}"]
    return " ".join([*words, "--json", str(options.json)])


if __name__ == "__main__":
    sys.exit(main())
