"""How much of the processor's matrix speed a training step of ours reaches, and where the rest of its time goes.

Knows: counting the step's matrix products, the fastest product of the same type in the same process, a profile by
operator. Refuses to know: what is trained.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from benchmarks.update_speed_setup import PAD, Work, student_of
from updater.gradients import accumulate_gradients, weighted_sentences
from updater.products import autocast, spare_passes
from updater.targets import compute_targets

SQUARES: Final = (1024, 2048, 4096)
"""Sides of the products among which the fastest is the peak."""
ROWS_SHOWN: Final = 25


class Step(NamedTuple):
    """One step: what it computes and how long it takes."""

    do: Callable[[], None]
    flops: int
    """Floating-point operations of its matrix products: two for each multiplication with addition."""
    dtype: torch.dtype
    """In which the products are computed."""


def step_of(model: PreTrainedModel, work: Work) -> Step:
    """A whole step of an update over a minibatch: forward, loss, backward, clip, step."""
    student, optimizer = student_of(model, work)
    spare_passes(student)
    targets = compute_targets(model, work.sentences, work.contexts, k=work.settings.kept_tokens, pad_token_id=PAD)
    weighted = weighted_sentences([targets, [], [], [], []], [], work.settings)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def do() -> None:
        accumulate_gradients(student, weighted, PAD, len(weighted))
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    do()
    with FlopCounterMode(display=False) as counted:
        do()
    with autocast(model.device):
        device = model.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else model.dtype
    return Step(do, counted.get_total_flops(), dtype)


def fastest_product(dtype: torch.dtype, device: str) -> float:
    """Floating-point operations a second of the fastest square product of this type, the best of a few tries."""
    best = 0.0
    for side in SQUARES:
        one = torch.randn((side, side), device=device).to(dtype)
        other = torch.randn((side, side), device=device).to(dtype)
        for _ in range(4):
            best = max(best, 2 * side**3 / seconds(lambda one=one, other=other: one @ other, device))  # type: ignore[misc]
    return best


def seconds(do: Callable[[], object], device: str) -> float:
    """How long it takes, to the end of what it left running on a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    do()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peak_share(step: Step, device: str) -> float:
    """The step's products a second over those of the fastest product, both measured one after the other."""
    return step.flops / seconds(step.do, device) / fastest_product(step.dtype, device)


def where_time_goes(step: Step, device: str) -> str:
    """A table of the step's operators by their own time."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiled:
        step.do()
    own = "self_cuda_time_total" if device == "cuda" else "self_cpu_time_total"
    table: str = profiled.key_averages().table(sort_by=own, row_limit=ROWS_SHOWN, max_name_column_width=45)
    return table
