"""Under which circumstances something was measured: the commit, the hardware, the versions, the time.

Knows how to find them out. Refuses to know what was measured.
"""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPORTED_PACKAGES = ("selfparam", "torch", "transformers", "peft", "ray", "sqlalchemy", "tokenizers", "numpy")


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def current_commit(folder: Path) -> str:
    """Hash of the commit that is checked out at `folder`, with `-dirty` for changed code, or `unknown` outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        # Results themselves do not count: one benchmark's file must not make the next one's commit dirty.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/results")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_hardware(accelerator: str | None = None) -> str:
    """One line about processor, usable cores and memory, such as `AMD EPYC 7B13, 2 cores, 8 GiB, no accelerator`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {cores} cores, {memory_gib:.0f} GiB, {accelerator or 'no accelerator'}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a figure; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
