"""An update in a process that really has no memory left: a clear end, and nothing lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.home import Home
from memory_log.records import ExperienceState
from tests.model_fixtures import LEARNER

pytestmark = pytest.mark.skipif(
    not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to learn with"
)

REPOSITORY = Path(__file__).parents[2]

# Without memory a library below may crash instead of saying so, once in ten times. Then only the log has to stand.
TRIES = 3

# The limit is set when all is loaded, a little above what the process has then.
UPDATER = """
import resource, sys
from pathlib import Path
from agent.memory import AgentMemory
from memory_log.errors import OutOfMemory
from updater.settings import UpdateSettings

settings = UpdateSettings(questions_per_experience=8, near_misses_per_experience=4, min_samples=8, num_steps=4)
with AgentMemory.open(sys.argv[1], model=sys.argv[2], device="cpu", settings=settings) as memory:
    memory.tell("I put the red mug in the kitchen drawer.")
    memory.ask("Where is the red mug?")
    memory.updater
    for spare in (20, 10, 5, 2, 1):  # MiB; what the allocators have kept differs from run to run
        num_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + spare * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))
        try:
            memory.update()
            memory.rollback(0)
        except OutOfMemory as error:
            print(error)
            break
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="the system does not say what a process uses")
def test_an_update_without_memory_ends_with_the_way_out_and_its_experiences_wait(tmp_path: Path) -> None:
    for attempt in range(TRIES):
        home = tmp_path / str(attempt)
        words = [sys.executable, "-c", UPDATER, str(home), str(LEARNER)]
        result = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=200, check=False)
        with Home.open(home).open_log() as log:
            assert log.get(1).text
            if result.returncode >= 0:
                break
    assert result.returncode == 0, result.stderr
    assert "memory is out" in result.stdout and "free some memory" in result.stdout
    with Home.open(home).open_log() as log:
        assert log.count_by_state("default")[ExperienceState.PENDING] == 1
        assert (log.get(1).attempts, log.updater_lease("default"), log.head("default").number) == (0, None, 0)
