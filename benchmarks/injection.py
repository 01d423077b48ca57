"""Knowledge injected by every method, in the paper's three protocols: `python -m benchmarks.injection --protocol ...`.

single      each of 20 experiences alone into the base model
batch       20, and 100, experiences at once into the base model
sequential  updates one after the other, 20 x 5 unless said otherwise; some experiences change an earlier fact

Questions are asked in phrasings that no update is taught with. With --work a run can be killed at any point and taken
up again by the same command: each method and seed goes on after its last finished update.
"""

import argparse
import functools
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agent.seed_model import WEIGHTS_FOLDER
from benchmarks.injection_measures import backward_transfer, changed_facts, efficacy, false_recall, final_average
from benchmarks.injection_methods import InContext, Learner, NoMemory, Ours
from benchmarks.injection_records import Stream, UpdateLine
from benchmarks.injection_run import (
    ITEMS_FILE,
    Course,
    Examiner,
    ProtocolName,
    course_of,
    finished_lines,
    run_course,
)
from benchmarks.injection_world import household_stream
from memory_log.errors import BadInput, SelfParamError
from memory_log.fields import Record
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.settings import UpdateSettings

METHODS: Final = ("ours", "none", "in_context")
CHANGED_SHARE: Final = 0.15
BATCHES: Final = (20, 100)
QUICK_BATCHES: Final = (4,)
LOOK_SECONDS: Final = 1.0


class Plan(Record):
    """What a run measures; a folder of --work holds one plan, for as many methods and seeds as one likes.

    Example: Plan(protocol="sequential", updates=20, per_update=5, batches=(20, 100), model="folder", settings={},
        quick=False)
    """

    protocol: ProtocolName
    updates: int
    per_update: int
    batches: tuple[int, ...]
    model: str
    settings: dict[str, Any]
    quick: bool

    @property
    def course(self) -> Course:
        """What is injected when."""
        return course_of(self.protocol, updates=self.updates, per_update=self.per_update, batches=self.batches)

    def stream(self, seed: int) -> Stream:
        """The experiences and questions of one seed."""
        num_told = sum(len(cohort) for cohort in self.course.cohorts)
        return household_stream(
            num_told, seed=seed, changed_share=CHANGED_SHARE if self.protocol == "sequential" else 0.0
        )


def make_learner(method: str, base: LanguageModel, stream: Stream, settings: UpdateSettings, folder: Path) -> Learner:
    """One method with its memory in a folder."""
    if method == "ours":
        return Ours(base, folder, settings)
    return {"none": NoMemory, "in_context": InContext}[method](base, stream)


def run_pair(plan: Plan, method: str, seed: int, folder: Path) -> None:
    """One method and one seed, from start or from where it was interrupted, to the end."""
    quiet_transformers()
    base = load_language_model(plan.model)
    stream, course = plan.stream(seed), plan.course
    settings = UpdateSettings.model_validate({**plan.settings, "seed": seed})
    make = functools.partial(make_learner, method, base, stream, settings)
    run_course(folder, stream, course, Examiner(base, stream, course, seed=seed), make)


def _begin_worker(parent: int) -> None:
    """One thread for each process, and none that outlives the one that started it."""
    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_all(plan: Plan, methods: Sequence[str], seeds: Sequence[int], work: Path, *, jobs: int) -> None:
    """Every method and seed, several at a time, with a bar that counts finished updates."""
    pairs = [(method, seed) for seed in seeds for method in methods]
    files = {pair: folder_of(work, *pair) / ITEMS_FILE for pair in pairs}
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_begin_worker, initargs=(os.getpid(),)
    )
    with pool, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("updates", total=len(plan.course.cohorts) * len(pairs))
        running: set[Future[None]] = {
            pool.submit(run_pair, plan, method, seed, files[method, seed].parent) for method, seed in pairs
        }
        try:
            while running:
                ended, running = wait(running, timeout=LOOK_SECONDS)
                for future in ended:
                    future.result()
                progress.update(task, completed=sum(_num_lines(path) for path in files.values()))
        finally:
            for future in running:
                future.cancel()


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def folder_of(work: Path, method: str, seed: int) -> Path:
    """Where the rows, and the memory, of one method and seed lie."""
    return work / f"seed-{seed}" / method


def settle(plan: Plan, work: Path) -> None:
    """Write the plan down in the folder, or see that it is the one that is written there.

    Raises:
        BadInput: the folder holds a run of other settings.
    """
    work.mkdir(parents=True, exist_ok=True)
    path, wanted = work / "plan.json", json.loads(plan.model_dump_json())
    if not path.is_file():
        path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = sorted(name for name in wanted if found.get(name) != wanted[name])
    if differing:
        said = "; ".join(f"{name} is {found.get(name)!r} there, {wanted[name]!r} here" for name in differing)
        raise BadInput(f"{work} holds a run of other settings ({said}); choose another --work, or remove it")


def parsed_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE words as settings of an update; `a.b=1` sets b within a.

    Raises:
        BadInput: one is malformed, or no setting.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name:
            raise BadInput(f"--set got {pair!r}, needed KEY=VALUE, such as num_steps=60")
        *groups, last = name.split(".")
        place = settings
        for group in groups:
            place = place.setdefault(group, {})
        try:
            place[last] = json.loads(value)
        except ValueError:
            place[last] = value
    try:
        UpdateSettings.model_validate(settings)
    except ValidationError as exc:
        problem = exc.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        known = ", ".join(sorted(UpdateSettings.model_fields))
        raise BadInput(f"--set {where}: {problem['msg']}. Settings are: {known}") from exc
    return settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except SelfParamError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    updates, per_update = (2, 2) if options.quick else (options.updates, options.per_update)
    plan = Plan(
        protocol=options.protocol, updates=updates, per_update=per_update,
        batches=QUICK_BATCHES if options.quick else BATCHES, model=options.model,
        settings=parsed_settings(options.set), quick=options.quick,
    )  # fmt: skip
    methods = list(METHODS) if options.methods == "all" else options.methods.split(",")
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise BadInput(f"--methods got {', '.join(unknown)}; there are: {', '.join(METHODS)}")
    seeds = range(options.first_seed, options.first_seed + (1 if options.quick else options.seeds))
    with tempfile.TemporaryDirectory(prefix="selfparam-injection-") as temporary:
        work: Path = options.work or Path(temporary)
        settle(plan, work)
        run_all(plan, methods, seeds, work, jobs=options.jobs)
        for method in methods:
            for seed in seeds:
                print(_summary(method, seed, finished_lines(folder_of(work, method, seed) / ITEMS_FILE), plan.course))
    return 0


def _summary(method: str, seed: int, lines: Sequence[UpdateLine], course: Course) -> str:
    fresh, last = course.fresh, lines[-1]
    figures = {
        "efficacy": efficacy(lines),
        "final": final_average(lines, fresh=fresh),
        "new_phrasings": final_average(lines, fresh=fresh, kind="new_phrasing"),
        "transfer": backward_transfer(lines),
        "changed": changed_facts(lines)[0],
        "false_recall": false_recall(lines, fresh=fresh),
        "reading": last.reading_share,
        "drift": last.drift_nats,
        "seconds": median(line.cost.seconds for line in lines),
    }
    shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items() if value is not None)
    return f"{method:12} seed {seed}  {shown}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.injection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--protocol", choices=["single", "batch", "sequential"], required=True)
    parser.add_argument("--updates", type=_positive, default=20, metavar="U", help="of single and sequential (20)")
    parser.add_argument("--per-update", type=_positive, default=5, metavar="P", help="experiences, of sequential (5)")
    parser.add_argument("--methods", default="all", metavar="A,B", help=f"all, or of: {', '.join(METHODS)}")
    parser.add_argument("--seeds", type=_positive, default=5, metavar="N", help="how many (5)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="K", help="seeds K to K + N - 1 (0)")
    parser.add_argument("--jobs", type=_positive, default=1, help="methods and seeds at a time, one thread each (1)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep everything here, and take up what is there")
    parser.add_argument("--model", default=str(WEIGHTS_FOLDER), help="folder or Hugging Face id (the embedded model)")
    parser.add_argument("--quick", action="store_true", help="one seed, two updates of two: a smoke test")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of updates")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
