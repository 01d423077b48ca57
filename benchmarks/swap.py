"""Swaps under load: `python -m benchmarks.swap [--quick] [--json FILE]`.

A model of some 100 million random weights serves streams that are open all the time, while its log's head moves through
100 versions, one low-rank delta each, and 20 steps back. Measured in one run: what that does to the time between two
tokens, how soon a version is seen, what memory it takes, and whether every answer is token for token what its version
gives alone. Beside it the usual ways, in which everybody waits: the whole model loaded anew, and `load_state_dict`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import torch
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from agent.circumstances import utc_now
from agent.following import FollowingServer
from agent.intervals import Metric, measured, quantile
from agent.serving import ModelServer
from benchmarks.results_file import report
from benchmarks.swap_home import LINEAGE, base_of, open_log
from benchmarks.swap_load import Answered, Load, gaps, prompts_of
from benchmarks.swap_usual import WAYS, LockedServer
from benchmarks.update_speed_setup import LARGE, TINY, Sizes, model_of
from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from updater.fold import VersionWeights
from updater.language_model import quiet_transformers, weights_hash, weights_of
from updater.streaming import WeightsOnDisk

NEAR_TIE: Final = 1e-4
SAMPLE_SECONDS: Final = 0.005
WAIT_SECONDS: Final = 300.0


class Plan(NamedTuple):
    """How much is measured."""

    sizes: Sizes
    num_swaps: int
    num_rollbacks: int
    num_usual: int
    """Swaps of each of the usual ways."""
    quiet_seconds: float
    """Without swaps, before and after."""
    max_new_tokens: int
    num_clients: int


FULL: Final = Plan(LARGE, 100, 20, 10, 30.0, 24, 4)
QUICK: Final = Plan(TINY, 8, 3, 3, 1.0, 12, 4)


class Swapped(NamedTuple):
    """What our own server did."""

    answers: list[Answered]
    failures: list[str]
    visible_seconds: list[float]
    merge_seconds: list[float]
    quiet_gaps: list[float]
    swap_gaps: list[float]
    rollback_gaps: list[float]
    extra_bytes: int
    hash_is_right: bool


def resident_bytes() -> int:
    """Memory of this process that no file can be read for again."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("RssAnon")).split()[1]) * 1024


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """A list whose one number is, at the end, the most memory that was resident meanwhile above what was before."""
    before, peak, stop = resident_bytes(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], resident_bytes() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def swap_ours(folder: Path, plan: Plan, tell: "Teller") -> Swapped:
    """Our own server through all swaps and steps back."""
    base, blobs = base_of(plan.sizes), BlobStore(folder / "blobs")
    with open_log(folder) as log:
        stored = WeightsOnDisk(weights_of(base.model), folder)
        weights = VersionWeights(base, log, blobs, base_weights=stored)
        with FollowingServer(base, log, weights, LINEAGE, in_place=True, max_versions=2) as following:
            server = following.server
            prompts = prompts_of(plan.sizes.vocabulary, 0)
            load = Load(
                server, prompts, max_new_tokens=plan.max_new_tokens, num_clients=plan.num_clients,
                serving=lambda: server.serving_version,
            )  # fmt: skip
            quiet = [_span(plan.quiet_seconds)]
            visible: list[float] = []
            merges: list[float] = []
            begin = time.monotonic()
            with peak_memory() as extra_bytes:
                for number in range(1, plan.num_swaps + 1):
                    tell(f"swap {number} of {plan.num_swaps}")
                    visible.append(_moved_to(number, log, server, prompts[0]))
                    merges.append(_merged(following))
            swapping = (begin, time.monotonic())
            hash_is_right = weights_hash(weights_of(base.model)) == log.head(LINEAGE).weights_hash
            quiet.append(_span(plan.quiet_seconds))
            begin = time.monotonic()
            for turn in range(plan.num_rollbacks):
                tell(f"step back {turn + 1} of {plan.num_rollbacks}")
                for number in (plan.num_swaps - 1 - turn % 3, plan.num_swaps):
                    _moved_to(number, log, server, prompts[0])
            stepping = (begin, time.monotonic())
            load.stop()
    return Swapped(
        load.answers, load.failures, visible, merges,
        [gap for span in quiet for gap in gaps(load.answers, *span)],
        gaps(load.answers, *swapping), gaps(load.answers, *stepping), extra_bytes[0], hash_is_right,
    )  # fmt: skip


def _span(seconds: float) -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(seconds)
    return begin, time.monotonic()


def _moved_to(number: int, log: MemoryLog, server: ModelServer, prompt: Sequence[int]) -> float:
    """Move the head, as an update's commit does; seconds from there to the version's first answer, one token long."""
    log.rollback(LINEAGE, number)
    committed = time.monotonic()
    while time.monotonic() - committed < WAIT_SECONDS:
        if server.submit(prompt, max_new_tokens=1).result().version == number:
            return time.monotonic() - committed
    raise TimeoutError(f"version {number} did not serve within {WAIT_SECONDS:.0f} s")


def _merged(following: FollowingServer) -> float:
    begin = time.monotonic()
    while not following.is_merged:
        if time.monotonic() - begin > WAIT_SECONDS:
            raise TimeoutError(f"nothing was merged within {WAIT_SECONDS:.0f} s: {following.error}")
        time.sleep(SAMPLE_SECONDS)
    return time.monotonic() - begin


def swap_as_usual(folder: Path, plan: Plan, tell: "Teller") -> dict[str, tuple[list[float], list[float], float]]:
    """By way: gaps without swaps, gaps with, and the median seconds for which everybody waits."""
    found: dict[str, tuple[list[float], list[float], float]] = {}
    config = model_of(plan.sizes).config
    files = [folder / f"checkpoint-{number}.safetensors" for number in range(2)]
    for number, file in enumerate(files):
        model = model_of(plan.sizes)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1e-4 * number)
        save_file({name: weight.contiguous() for name, weight in weights_of(model).items()}, file)
    for way in WAYS:
        with LockedServer(
            lambda: LlamaForCausalLM(config), model_of(plan.sizes), eos_token_ids=(), pad_token_id=0, max_batch=32
        ) as server:
            load = Load(
                server, prompts_of(plan.sizes.vocabulary, 0), max_new_tokens=plan.max_new_tokens,
                num_clients=plan.num_clients, serving=lambda: 0,
            )  # fmt: skip
            quiet, waits = _span(plan.quiet_seconds), list[float]()
            begin = time.monotonic()
            for number in range(plan.num_usual):
                tell(f"{way} {number + 1} of {plan.num_usual}")
                waits.append(server.swap(way, files[number % 2], number + 1))
                time.sleep(1.0)
            swapping = (begin, time.monotonic())
            load.stop()
        found[way] = gaps(load.answers, *quiet), gaps(load.answers, *swapping), quantile(waits, 0.5)
    return found


class Judged(NamedTuple):
    """Answers compared with what their version gives alone."""

    num_mixed: int
    num_near_ties: int
    num_stale: int


def judge(folder: Path, plan: Plan, answers: Sequence[Answered], tell: "Teller") -> Judged:
    """Ask each answer's version the same thing alone: a model with nothing but its weights, one prompt at a time."""
    base = base_of(plan.sizes)
    stored = WeightsOnDisk(weights_of(base.model), folder)
    with open_log(folder) as log:
        weights = VersionWeights(base, log, BlobStore(folder / "blobs"), base_weights=stored)
        by_version: dict[int, list[Answered]] = {}
        for answer in answers:
            by_version.setdefault(answer.generation.version, []).append(answer)
        num_mixed = num_near_ties = 0
        for place, (version, group) in enumerate(sorted(by_version.items()), start=1):
            tell(f"checking version {place} of {len(by_version)}")
            fold = weights.streamed(LINEAGE, version)
            with torch.no_grad():
                for name, parameter in base.model.named_parameters():
                    parameter.copy_(fold.weight(name))
            right: dict[tuple[int, ...], tuple[int, ...]] = {}
            with ModelServer(base.model, eos_token_ids=base.dialogue.eos_token_ids, pad_token_id=0) as alone:
                for prompt in {answer.prompt for answer in group}:
                    right[prompt] = alone.submit(prompt, max_new_tokens=plan.max_new_tokens).result().token_ids
            for answer in group:
                if answer.generation.token_ids != right[answer.prompt]:
                    is_tie = answer.generation.min_top2_gap < NEAR_TIE
                    num_near_ties, num_mixed = num_near_ties + is_tie, num_mixed + (not is_tie)
    num_stale = sum(answer.generation.version not in answer.serving for answer in answers)
    return Judged(num_mixed, num_near_ties, num_stale)


class Teller:
    """Says what is being done: in one line on a terminal, elsewhere in a line each."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("")

    def __call__(self, what: str) -> None:
        """Say it."""
        self._progress.update(self._task, description=what)
        if not sys.stdout.isatty():
            print(what, file=sys.stderr, flush=True)


def metrics_of(
    plan: Plan, ours: Swapped, judged: Judged, usual: dict[str, tuple[list[float], list[float], float]]
) -> dict[str, Metric]:
    """Every figure of a run."""
    num_bytes = sum(weight.numel() * weight.element_size() for weight in weights_of(model_of(plan.sizes)).values())
    quiet_p99 = quantile(ours.quiet_gaps, 0.99)
    found = {
        "num_swaps": measured([plan.num_swaps], unit="swaps"),
        "num_rollbacks": measured([plan.num_rollbacks], unit="steps back"),
        "num_answers": measured([len(ours.answers)], unit="answers"),
        "num_failed": measured([len(ours.failures)], unit="answers", target="== 0"),
        "num_mixed": measured([judged.num_mixed], unit="answers", target="== 0"),
        "num_stale": measured([judged.num_stale], unit="answers", target="== 0"),
        "num_near_ties": measured([judged.num_near_ties], unit="answers"),
        "itl_p99_ratio": measured(
            [quantile(ours.swap_gaps, 0.99) / quiet_p99], unit="ratio", target="<= 1.3"
        ),
        "itl_p50_ratio": measured(
            [quantile(ours.swap_gaps, 0.5) / quantile(ours.quiet_gaps, 0.5)], unit="ratio"
        ),
        "itl_p99_seconds_quiet": measured([quiet_p99], unit="seconds"),
        "itl_max_seconds": measured([max(ours.swap_gaps)], unit="seconds"),
        "itl_p99_ratio_rollbacks": measured([quantile(ours.rollback_gaps, 0.99) / quiet_p99], unit="ratio"),
        "visible_seconds": measured([quantile(ours.visible_seconds, 0.5)], unit="seconds", target="<= 1"),
        "visible_seconds_max": measured([max(ours.visible_seconds)], unit="seconds"),
        "merge_seconds": measured([quantile(ours.merge_seconds, 0.5)], unit="seconds"),
        "extra_memory_share": measured([ours.extra_bytes / num_bytes], unit="share", target="<= 0.10"),
        "hash_after_all_swaps_is_right": measured([float(ours.hash_is_right)], unit="yes", target="== 1"),
    }  # fmt: skip
    for way, (quiet, swapping, waits) in usual.items():
        found[f"itl_p99_ratio_{way}"] = measured([quantile(swapping, 0.99) / quantile(quiet, 0.99)], unit="ratio")
        found[f"itl_max_seconds_{way}"] = measured([max(swapping)], unit="seconds")
        found[f"stall_seconds_{way}"] = measured([waits], unit="seconds")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few swaps: a smoke test")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="for versions (default: temporary files')")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    quiet_transformers()
    torch.set_num_threads(1)  # the other core is the loader's
    with (
        tempfile.TemporaryDirectory(prefix="selfparam-swap-", dir=options.folder) as name,
        Progress(TextColumn("{task.description}"), TimeElapsedColumn(), transient=True) as progress,
    ):
        folder, tell = Path(name), Teller(progress)
        tell(f"making {plan.num_swaps} versions")
        building = [sys.executable, "-m", "benchmarks.swap_home", name, json.dumps(plan.sizes), str(plan.num_swaps)]
        subprocess.run(building, check=True)
        ours = swap_ours(folder, plan, tell)
        usual = swap_as_usual(folder, plan, tell)
        judged = judge(folder, plan, ours.answers, tell)
    metrics = metrics_of(plan, ours, judged, usual)
    for failure in sorted(set(ours.failures)):
        print(f"failed: {failure}")
    for metric_name, metric in metrics.items():
        print(f"{metric_name:32} {metric.mean:10.4f} {metric.unit}{metric.verdict}")
    if options.json is not None:
        quick = ["--quick"] if options.quick else []
        command = " ".join(["python -m benchmarks.swap", *quick, "--json", str(options.json)])
        report("swap", command=command, seeds=[0], metrics=metrics, now=utc_now(), quick=options.quick).write(
            options.json
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
