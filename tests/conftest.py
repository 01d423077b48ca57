"""Settings that every test shares: one thread per process, no network, and markers by folder and file."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Set before anything imports torch, transformers or matplotlib. Child processes inherit them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray's coming default; without it, an init on a computer with GPUs warns, and warnings are errors here.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

# How fast examples are made says how busy the machine is, and nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

TESTS = Path(__file__).parent
SUITES = ("unit", "integration", "acceptance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its suite, the first folder below `tests/`, and with what runs in one process with it.

    Where tests run in several processes, those of a file stay together, because they share what was made for them; and
    all that starts Ray stays together, because each of these takes several processes itself.
    """
    for item in items:
        path = item.path.relative_to(TESTS)
        suite = path.parts[0]
        if suite in SUITES:
            item.add_marker(suite)
        starts_ray = suite == "acceptance" or "ray_session" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if starts_ray else str(path)))
