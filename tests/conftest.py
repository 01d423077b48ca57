"""Settings that every test shares: one thread each, no network, a marker by folder, and what runs in one process."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

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
STARTING_RAY = (
    "tests/acceptance/", "tests/integration/test_runtime.py", "tests/integration/test_serving_actor.py",
    "tests/integration/test_study_ray.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its suite, the first folder below `tests/`."""
    for item in items:
        suite = item.path.relative_to(TESTS).parts[0]
        if suite in SUITES:
            item.add_marker(suite)


class _ByFile(LoadFileScheduling):
    """In several processes, the tests of a file stay together, because they share what was made for them; and all that
    starts Ray stays together, because each of these takes several processes itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "ray" if nodeid.startswith(STARTING_RAY) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """How tests are shared out when there are several processes."""
    return _ByFile(config, log)
