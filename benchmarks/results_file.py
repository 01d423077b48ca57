"""The results file: what a benchmark measured, with intervals, targets and the circumstances of the run.

Knows the file's format. Refuses to know what any metric means.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from agent.circumstances import current_commit, describe_hardware, installed_versions
from agent.intervals import Metric


class ResultsFile(BaseModel):
    """What one benchmark measured and under which circumstances.

    Produced by `python -m benchmarks.NAME --json FILE`, read by `python -m benchmarks.targets`.

    Example:
        >>> report("demo", command="python -m benchmarks.demo", seeds=[0], metrics={}, now=utc_now()).benchmark
        'demo'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    command: str
    date: AwareDatetime
    commit: str
    hardware: str
    versions: dict[str, str]
    seeds: tuple[int, ...]
    quick: bool = False
    """True for a shortened run, whose figures are a smoke test and no measurement."""
    metrics: dict[str, Metric]

    def write(self, path: Path) -> None:
        """Write the file aside, then rename it, so that a reader never sees half a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(self.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
        aside.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a results file.

        Raises:
            pydantic.ValidationError: the file is not of this format (a ValueError).
        """
        return cls.model_validate_json(path.read_bytes())


def report(
    benchmark: str,
    *,
    command: str,
    seeds: Sequence[int],
    metrics: Mapping[str, Metric],
    now: datetime,
    accelerator: str | None = None,
    quick: bool = False,
) -> ResultsFile:
    """Put metrics together with the commit, the hardware and the versions they were measured with.

    Args:
        benchmark: the module's name under `benchmarks`, which is also the file's.
        command: what to type to measure again.
        seeds: the seeds, in the order of every metric's values.
        metrics: by name, from `measured`.
        now: time of the run, timezone-aware.
        accelerator: name of the GPU that did the work, None for the CPU.
        quick: whether this was a shortened run.
    """
    return ResultsFile(
        benchmark=benchmark,
        command=command,
        date=now,
        commit=current_commit(Path(__file__).parent),
        hardware=describe_hardware(accelerator),
        versions=installed_versions(),
        seeds=tuple(seeds),
        quick=quick,
        metrics=dict(metrics),
    )
