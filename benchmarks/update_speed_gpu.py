"""An update on a GPU: `python -m benchmarks.update_speed_gpu [--tiny] [--json FILE] [--profile FILE]`.

A model with the shape of Llama 3 8B and random weights, in bfloat16; ten experiences of 64 tokens with 20 sentences of
64 tokens each; teacher and training, up to the factors. The fold, which a lineage's server makes on the host, is not in
it. `--tiny` runs the same on a CPU with a tiny model, to see that it runs: its figures mean nothing.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from agent.circumstances import utc_now
from agent.intervals import Metric, measured
from benchmarks.results_file import report
from benchmarks.update_speed_contestants import ours
from benchmarks.update_speed_setup import LLAMA_3_8B, TINY, Sizes, Work, model_of, work_of
from benchmarks.update_speed_step import Step, peak_share, seconds, step_of, where_time_goes
from updater.language_model import quiet_transformers

ROUNDS: Final = 5
BATCH: Final = 8
"""Sentences a step: what the activations of leaves the peak within a quarter of the weights."""


def work_on(sizes: Sizes, seed: int, *, num_steps: int) -> Work:
    """Ten experiences with 20 sentences each."""
    return work_of(
        64, seed=seed, vocabulary=sizes.vocabulary, experiences=10, sentences=20, batch=BATCH, num_steps=num_steps
    )


def run(sizes: Sizes, device: str, num_steps: int) -> tuple[dict[str, Metric], Step]:
    """Updates one after the other, then a step of one beside the fastest product."""
    model = model_of(sizes, dtype=torch.bfloat16, device=device)
    num_bytes = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    ours(model, work_on(sizes, 0, num_steps=2), [])  # warms up
    took, peaks = [], []
    for seed in range(ROUNDS):
        work = work_on(sizes, seed, num_steps=num_steps)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        took.append(seconds(lambda work=work: ours(model, work, []), device))  # type: ignore[misc]
        peaks.append((torch.cuda.max_memory_allocated() if device == "cuda" else num_bytes) / num_bytes)
    step = step_of(model, work_of(64, seed=0, vocabulary=sizes.vocabulary, sentences=BATCH, experiences=1, batch=BATCH))
    shares = [peak_share(step, device) for _ in range(ROUNDS)]
    found = {
        "gpu_matmul_peak_share": measured(shares, unit="share", target=">= 0.5", bounds=(0, 1)),
        "gpu_peak_memory_over_weights": measured(peaks, unit="ratio", target="<= 1.25", bounds=(0, math.inf)),
        "gpu_seconds_per_update": measured(took, unit="seconds", target="<= 10", bounds=(0, math.inf)),
    }
    return found, step


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the files when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.update_speed_gpu", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="write where a step spends its time")
    options = parser.parse_args(arguments)
    if not options.tiny and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --tiny runs the same on the CPU with a tiny model")
    quiet_transformers()
    device = "cpu" if options.tiny else "cuda"
    metrics, step = run(TINY if options.tiny else LLAMA_3_8B, device, 4 if options.tiny else 52)
    for name, metric in metrics.items():
        verdict = "met" if metric.met else "MISSED"
        said = f"{name:32} {metric.mean:9.3f}  [{metric.low:.3f}, {metric.high:.3f}] {metric.unit}"
        print(said if options.tiny else f"{said}   {metric.target}: {verdict}")
    if options.profile is not None:
        options.profile.write_text(where_time_goes(step, device) + "\n")
    if options.json is not None:
        accelerator = None if options.tiny else torch.cuda.get_device_name()
        command = f"python -m benchmarks.update_speed_gpu {'--tiny ' if options.tiny else ''}--json {options.json}"
        report(
            "update_speed_gpu", command=command, seeds=range(ROUNDS), metrics=metrics, now=utc_now(),
            accelerator=accelerator, quick=options.tiny,
        ).write(options.json)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
