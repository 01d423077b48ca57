"""Serving under load: `python -m benchmarks.serving [--quick] [--json FILE]`.

`selfparam serve` with a model of some 100 million random weights, asked by 1, 4, 16 and 64 clients at once over HTTP,
each answer a stream. Beside it, in the same run: `generate` of transformers, one prompt after the other and in static
batches, and the bare decoding steps without HTTP, threads and queues.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from agent.circumstances import utc_now
from agent.decoding import DecodeBatch, Request
from agent.intervals import Metric, measured, quantile
from agent.seed_model import WEIGHTS_FOLDER
from benchmarks.results_file import report
from benchmarks.serving_clients import Job, Streamed, keep_busy
from benchmarks.update_speed_setup import FIRST_TOKEN, LARGE, TINY, Sizes, model_of
from updater.dialogue import left_padded
from updater.language_model import load_language_model, quiet_transformers

START_SECONDS: Final = 300.0
STATIC_BATCH: Final = 16


class Plan(NamedTuple):
    """How much is measured."""

    sizes: Sizes
    num_clients: tuple[int, ...]
    jobs_a_client: int
    num_rounds: int
    least_tokens: int
    most_tokens: int


FULL: Final = Plan(LARGE, (1, 4, 16, 64), 3, 3, 16, 96)
QUICK: Final = Plan(TINY, (1, 4), 2, 1, 4, 12)


def jobs_of(plan: Plan, count: int, vocabulary: int, seed: int) -> list[Job]:
    """Prompts of 16 to 64 tokens, with answers of mixed lengths."""
    rng = random.Random(f"serving/{seed}")
    return [
        Job(
            [rng.randrange(FIRST_TOKEN, vocabulary) for _ in range(rng.randint(16, 64))],
            rng.randint(plan.least_tokens, plan.most_tokens),
        )
        for _ in range(count)
    ]


def save_model(folder: Path, plan: Plan) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """A model folder for `selfparam serve`: random weights, the embedded model's tokenizer, no end of answers."""
    tokenizer = load_language_model(WEIGHTS_FOLDER).dialogue.tokenizer
    model = model_of(plan.sizes._replace(vocabulary=len(tokenizer)))
    assert model.generation_config is not None, "every causal model has one"
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


@contextmanager
def served(model: Path, home: Path, num_threads: int) -> Iterator[str]:
    """`selfparam serve` as a process; its address."""
    command = [
        sys.executable, "-P", "-m", "agent.cli", "--home", str(home), "--model", str(model), "serve", "--port", "0",
        "--no-learn", "--threads", str(num_threads), "--max-batch", "64",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        if "http://" not in first:
            raise RuntimeError(f"the server did not start: {first!r}; its own output above says why")
        yield first[first.index("http://") :].strip()
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        process.stdout.close()


def tokens_a_second_one_by_one(model: LlamaForCausalLM, jobs: Sequence[Job]) -> float:
    """`generate`, one prompt after the other."""
    begin = time.monotonic()
    for job in jobs:
        _generate(model, [job])
    return sum(job.max_tokens for job in jobs) / (time.monotonic() - begin)


def tokens_a_second_in_batches(model: LlamaForCausalLM, jobs: Sequence[Job]) -> float:
    """`generate` on static batches, each of which ends with its longest answer; only what was asked for counts."""
    begin = time.monotonic()
    for start in range(0, len(jobs), STATIC_BATCH):
        _generate(model, jobs[start : start + STATIC_BATCH])
    return sum(job.max_tokens for job in jobs) / (time.monotonic() - begin)


def _generate(model: LlamaForCausalLM, jobs: Sequence[Job]) -> None:
    ids, mask = left_padded([job.prompt_ids for job in jobs], 0, model.device)
    generate: Any = model.generate
    most = max(job.max_tokens for job in jobs)
    with torch.inference_mode():
        generate(input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, eos_token_id=None)


def bare_tokens_a_second(model: LlamaForCausalLM, jobs: Sequence[Job], num_rows: int) -> float:
    """Nothing but steps of a batch of so many rows, without anything around them."""
    most = max(job.max_tokens for job in jobs)
    requests = [Request(tuple(jobs[row % len(jobs)].prompt_ids), 0, most, 0.0) for row in range(num_rows)]
    batch = DecodeBatch(model, requests, eos_token_ids=(), pad_token_id=0, is_plain=True)
    batch.step()
    begin = time.monotonic()
    while batch.requests:
        batch.step()
    return num_rows * (most - 1) / (time.monotonic() - begin)


class Round(NamedTuple):
    """What one round measured."""

    one_by_one: float
    in_batches: float
    served: dict[int, float]
    """Tokens a second by number of clients."""
    streams: dict[int, list[Streamed]]
    bare: dict[int, float]


def measure(plan: Plan, model: LlamaForCausalLM, url: str, vocabulary: int, seed: int, progress: Progress) -> Round:
    """One round of everything, in turns."""
    task = progress.add_task("")
    rates, streams, bare = dict[int, float](), dict[int, list[Streamed]](), dict[int, float]()
    for num_clients in plan.num_clients:
        progress.update(task, description=f"round {seed + 1}: {num_clients} clients")
        jobs = jobs_of(plan, plan.jobs_a_client * num_clients, vocabulary, seed)
        begin = time.monotonic()
        streams[num_clients] = asyncio.run(keep_busy(url, "default", jobs, num_clients))
        rates[num_clients] = sum(one.num_tokens for one in streams[num_clients]) / (time.monotonic() - begin)
        progress.update(task, description=f"round {seed + 1}: bare steps of {num_clients} rows")
        bare[num_clients] = bare_tokens_a_second(model, jobs, num_clients)
    progress.update(task, description=f"round {seed + 1}: generate")
    jobs = jobs_of(plan, STATIC_BATCH, vocabulary, seed)
    one_by_one, in_batches = tokens_a_second_one_by_one(model, jobs), tokens_a_second_in_batches(model, jobs)
    progress.remove_task(task)
    return Round(one_by_one, in_batches, rates, streams, bare)


def metrics_of(plan: Plan, rounds: Sequence[Round]) -> dict[str, Metric]:
    """Every figure, over rounds."""
    found = {
        "generate_tokens_per_second": measured([one.one_by_one for one in rounds], unit="tokens a second"),
        "generate_batch16_tokens_per_second": measured([one.in_batches for one in rounds], unit="tokens a second"),
    }
    for number in plan.num_clients:
        rates = [one.served[number] for one in rounds]
        found[f"tokens_per_second_{number}_clients"] = measured(rates, unit="tokens a second")
        found[f"speedup_{number}_clients"] = measured(
            [one.served[number] / one.one_by_one for one in rounds], unit="ratio",
            target=">= 3" if number == 16 else None,
        )  # fmt: skip
        found[f"speedup_{number}_clients_over_batch16"] = measured(
            [one.served[number] / one.in_batches for one in rounds], unit="ratio"
        )
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            found[f"first_token_{name}_seconds_{number}_clients"] = measured(
                [quantile([s.first_seconds for s in one.streams[number]], share) for one in rounds], unit="seconds"
            )
        found[f"stack_overhead_{number}_clients"] = measured(
            [1 - one.served[number] / one.bare[number] for one in rounds], unit="share"
        )
    # With a client for each row the batch is full, so that what is missing is the stack's, and the prompts' reading.
    widest = max(number for number in plan.num_clients if number <= STATIC_BATCH)
    found["stack_overhead"] = measured(
        [1 - one.served[widest] / one.bare[widest] for one in rounds], unit="share", target="<= 0.20"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print every metric, write the file when asked to. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few requests: a smoke test")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of every contestant (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results file")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    quiet_transformers()
    torch.set_num_threads(options.threads)
    with (
        tempfile.TemporaryDirectory(prefix="selfparam-serving-") as name,
        Progress(TextColumn("{task.description}"), TimeElapsedColumn(), transient=True) as progress,
    ):
        folder = Path(name)
        model, tokenizer = save_model(folder / "model", plan)
        with served(folder / "model", folder / "home", options.threads) as url:
            rounds = [
                measure(plan, model, url, len(tokenizer), seed, progress) for seed in range(plan.num_rounds)
            ]
    metrics = metrics_of(plan, rounds)
    for metric_name, metric in metrics.items():
        interval = f"[{metric.low:.3f}, {metric.high:.3f}]"
        print(f"{metric_name:44} {metric.mean:9.3f}  {interval} {metric.unit}{metric.verdict}")
    if options.json is not None:
        quick = ["--quick"] if options.quick else []
        words = ["python -m benchmarks.serving", *quick, "--threads", str(options.threads), "--json", str(options.json)]
        seeds = list(range(plan.num_rounds))
        results = report(
            "serving", command=" ".join(words), seeds=seeds, metrics=metrics, now=utc_now(), quick=options.quick
        )
        results.write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
