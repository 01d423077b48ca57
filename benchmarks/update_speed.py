"""How fast an update is: `python -m benchmarks.update_speed [--quick] [--rounds N] [--work DIR] [--json FILE]`.

One update of ours beside the paper as it reads and beside TRL's trainer, teacher included: same model, sentences,
minibatches, steps, factors, optimiser, type of products and threads, and the same KL in the end. Contexts of 64, 512
and 2,048 tokens, two of them with 20 sentences each. The contestants take turns within a round; a ratio is of one
round, and the rounds are the seeds of the results file. A ratio above 1 means that ours is faster.

Seconds are the process's on one thread, so that other programs on the same cores do not count. Memory is the peak above
what the process held once the model was there, each contestant in a process of its own. A round takes half an hour on a
slow processor; what is measured is kept in the folder of `--work`, and the same command goes on from there. On a GPU,
with a larger model: `benchmarks.update_speed_gpu`.
"""

import argparse
import functools
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from transformers import PreTrainedModel

from agent.circumstances import utc_now
from agent.intervals import Metric, measured
from benchmarks.kept import Kept
from benchmarks.results_file import report
from benchmarks.update_speed_contestants import Contestant, ours, plain
from benchmarks.update_speed_setup import LARGE, MODERATE, TINY, Sizes, Work, final_kl, model_of, work_of
from benchmarks.update_speed_step import Step, peak_share, step_of, where_time_goes
from benchmarks.update_speed_trl import by_trl
from memory_log.errors import BadInput
from updater.language_model import quiet_transformers

RATIO: Final = (0.0, math.inf)
SPEEDUPS: Final = {64: ">= 2", 512: ">= 4", 2048: ">= 8"}
CONTESTANTS: Final[dict[str, Contestant]] = {"plain": plain, "ours": ours, "trl": by_trl}
"""In this order: ours and TRL's take the minibatches that the plain way has drawn, as ours would."""


class Plan(NamedTuple):
    """How much is measured."""

    sizes: Sizes
    step_sizes: Sizes
    contexts: Sequence[int]
    memory_contexts: Sequence[int]
    num_rounds: int
    num_steps: int


FULL: Final = Plan(MODERATE, LARGE, (64, 512, 2048), (64, 512, 2048), 3, 20)
QUICK: Final = Plan(TINY, TINY, (64, 512, 2048), (512,), 2, 4)


class Measured(NamedTuple):
    """One contestant's update."""

    seconds: float
    final_kl_nats: float


def one_round(model: PreTrainedModel, work: Work) -> dict[str, Measured]:
    """Every contestant once, one after the other."""
    found: dict[str, Measured] = {}
    minibatches: Sequence[Sequence[int]] = ()
    for name, update in CONTESTANTS.items():
        began = time.process_time()
        updated = update(model, work, minibatches)
        seconds = time.process_time() - began
        minibatches = updated.minibatches
        found[name] = Measured(seconds, final_kl(updated.model(), model, work))
        del updated
    return found


def metrics_of(rounds: dict[int, list[dict[str, Measured]]], memory: dict[int, dict[str, int]]) -> dict[str, Metric]:
    """Speed-ups first, then memory, and whether the contestants ended where ours did."""
    found: dict[str, Metric] = {}
    for context, done in rounds.items():
        for other in ("plain", "trl"):
            ratios = [one[other].seconds / one["ours"].seconds for one in done]
            target = SPEEDUPS.get(context)
            found[f"speedup_vs_{other}_{context}"] = measured(ratios, unit="ratio", target=target, bounds=RATIO)
    for context, peaks in memory.items():
        for other in ("plain", "trl"):
            target = "<= 0.5" if (context, other) == (512, "plain") else None
            share = peaks["ours"] / peaks[other]
            found[f"memory_vs_{other}_{context}"] = measured([share], unit="ratio", target=target, bounds=RATIO)
        found |= {
            f"memory_{name}_{context}": measured([peak / 2**20], unit="MiB", bounds=RATIO)
            for name, peak in peaks.items()
        }
    for context, done in rounds.items():
        for other in ("plain", "trl"):
            ends = [one["ours"].final_kl_nats / one[other].final_kl_nats for one in done]
            found[f"final_kl_ratio_{other}_{context}"] = measured(ends, unit="ratio", target="<= 1.05", bounds=RATIO)
        for name in CONTESTANTS:
            values = [one[name].seconds for one in done]
            found[f"seconds_{name}_{context}"] = measured(values, unit="seconds", bounds=RATIO)
    return found


def peak_above_weights(name: str, context: int, plan: Plan) -> int:
    """A contestant's peak above the weights, in bytes, measured in a process of its own."""
    words = [name, str(context), str(plan.num_steps), json.dumps(plan.sizes)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.update_speed_memory", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the process that measures {name} at {context} tokens failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.split()[-1])


def large_step(plan: Plan) -> Step:
    """A step over 40 sentences of the larger model."""
    model = model_of(plan.step_sizes)
    return step_of(model, work_of(64, seed=0, vocabulary=plan.step_sizes.vocabulary, batch=40, num_steps=1))


def run(plan: Plan, kept: Kept) -> tuple[dict[str, Metric], str]:
    """Everything that is measured on a CPU, with a line a step meanwhile, and the profile of a step."""
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)

    model = model_of(plan.sizes)
    rounds: dict[int, list[dict[str, Measured]]] = {context: [] for context in plan.contexts}
    one_round(model, work_of(64, seed=0, vocabulary=plan.sizes.vocabulary, num_steps=2))  # warms up
    for number in range(plan.num_rounds):
        for context in plan.contexts:
            work = work_of(context, seed=number, vocabulary=plan.sizes.vocabulary, num_steps=plan.num_steps)
            found = kept.value(f"round-{number}-context-{context}", functools.partial(one_round, model, work))
            rounds[context].append({name: Measured(*values) for name, values in found.items()})
            said = ", ".join(f"{n} {m.seconds:.1f} s to {m.final_kl_nats:.2f}" for n, m in rounds[context][-1].items())
            say(f"round {number + 1}, context {context}: {said}")
    del model
    memory: dict[int, dict[str, int]] = {context: {} for context in plan.memory_contexts}
    for context, peaks in memory.items():
        for name in CONTESTANTS:
            measure = functools.partial(peak_above_weights, name, context, plan)
            peaks[name] = kept.value(f"memory-{name}-context-{context}", measure)
            say(f"memory, context {context}: {name} {peaks[name] / 2**20:.0f} MiB")
    step = large_step(plan)
    shares = [peak_share(step, "cpu") for _ in range(max(3, plan.num_rounds))]
    say("the larger model's step measured")
    name = str(step.dtype).removeprefix("torch.")
    share = measured([sum(shares) / len(shares)], unit="share", target=">= 0.5", bounds=(0, 1))
    metrics = metrics_of(rounds, memory) | {"matmul_peak_share": share, f"matmul_peak_share_{name}": share}
    return metrics, f"One step of {step.flops / 1e9:.0f} GFLOP of products in {name}\n\n" + where_time_goes(step, "cpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the files when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.update_speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few steps: a smoke test")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds (default: {FULL.num_rounds})")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep what is measured here, and go on from it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="write where the larger model's step spends time")
    options = parser.parse_args(arguments)
    quiet_transformers()
    torch.set_num_threads(1)
    plan = QUICK if options.quick else FULL
    if options.rounds is not None:
        plan = plan._replace(num_rounds=options.rounds)
    try:
        kept = Kept(options.work, plan._replace(num_rounds=0)._asdict())
    except BadInput as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    metrics, profile = run(plan, kept)
    for name, metric in metrics.items():
        verdict = "" if metric.met is None else f"   {metric.target}: {'met' if metric.met else 'MISSED'}"
        print(f"{name:34} {metric.mean:10.3f}  [{metric.low:.3f}, {metric.high:.3f}] {metric.unit}{verdict}")
    if options.profile is not None:
        options.profile.parent.mkdir(parents=True, exist_ok=True)
        options.profile.write_text(profile + "\n")
    if options.json is not None:
        quick = ["--quick"] if options.quick else []
        rounds = [] if options.rounds is None else ["--rounds", str(options.rounds)]
        command = " ".join(["python -m benchmarks.update_speed", *quick, *rounds, "--json", str(options.json)])
        seeds = list(range(plan.num_rounds))
        report(
            "update_speed", command=command, seeds=seeds, metrics=metrics, now=utc_now(), quick=options.quick
        ).write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
