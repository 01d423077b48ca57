"""A contestant's peak memory above the weights: `python -m benchmarks.update_speed_memory NAME CONTEXT STEPS SIZES`.

A process of its own for `benchmarks.update_speed`, because a process does not give back what another contestant took.
It prints bytes: the most that was resident during the update, less what was when the model stood there.
"""

import json
import sys
from pathlib import Path

import torch

from benchmarks.update_speed import CONTESTANTS
from benchmarks.update_speed_setup import Sizes, model_of, work_of
from updater.language_model import quiet_transformers


def resident(line: str) -> int:
    """A line of what the system says of this process's memory, in bytes: `VmRSS` now, `VmHWM` at most."""
    status = Path("/proc/self/status").read_text()
    return int(next(row for row in status.splitlines() if row.startswith(line)).split()[1]) * 1024


def main(arguments: list[str]) -> int:
    """Measure it and print it. The exit code."""
    name, context, num_steps, sizes = arguments
    quiet_transformers()
    torch.set_num_threads(1)
    model = model_of(Sizes(*json.loads(sizes)))
    work = work_of(int(context), seed=0, vocabulary=model.config.vocab_size, num_steps=min(4, int(num_steps)))
    minibatches = [list(range(8 * step, 8 * step + work.batch)) for step in range(work.num_steps)]
    CONTESTANTS[name](model, work_of(64, seed=0, vocabulary=model.config.vocab_size, num_steps=1), minibatches[:1])
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far counts no longer
    before = resident("VmRSS")
    updated = CONTESTANTS[name](model, work, minibatches)
    print(resident("VmHWM") - before)
    del updated
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
