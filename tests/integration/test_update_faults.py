"""Updates that are interrupted, poisoned, overtaken or killed: head and queue stay as they were, or move on whole."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.home import Home
from agent.memory import AgentMemory
from memory_log.errors import DiskFull, LeaseLost, LineageBusy
from memory_log.records import ExperienceState, VersionState
from tests.model_fixtures import LEARNER
from tests.rights import files_no_larger_than
from updater.settings import GateSettings, UpdateSettings
from updater.training import COOL_DOWN_STEPS

pytestmark = pytest.mark.skipif(
    not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to learn with"
)

REPOSITORY = Path(__file__).parents[2]
MUG, MIRA = "I put the red mug in the kitchen drawer.", "Mira's favourite drink is green tea."
# Enough to go through every stage, in a second or two.
SHORT = UpdateSettings(
    questions_per_experience=8, near_misses_per_experience=4, min_samples=8, num_steps=4, num_anchors=12, rank=4
)
# For updates whose quality does not matter.
LENIENT = GateSettings(min_efficacy=0.0, max_false_recall=1.0, max_reading_loss=1.0, max_drift_nats=10.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def told(home: Path, settings: UpdateSettings, *texts: str) -> AgentMemory:
    memory = AgentMemory.open(home, model=str(LEARNER), device="cpu", settings=settings)
    for text in texts:
        memory.tell(text)
    return memory


@pytest.fixture
def memory(home: Path) -> Iterator[AgentMemory]:
    with told(home, SHORT, MUG, MIRA) as opened:
        yield opened


def stop_at(stage: str, done: int, act: Callable[[], None]) -> Callable[[str, int, int], None]:
    """A progress callback that acts once, when a stage has come so far."""

    def progress(now_stage: str, now_done: int, total: int) -> None:
        if (now_stage, now_done) == (stage, done):
            act()

    return progress


def interrupt() -> None:
    raise KeyboardInterrupt


def assert_untouched(memory: AgentMemory, *, num_pending: int = 2) -> None:
    """The head is the base, everything waits, no version counts, nothing is replayed, and the lineage is free."""
    assert memory.log.head("default").number == 0
    assert memory.log.count_by_state("default")[ExperienceState.PENDING] == num_pending
    assert all(version.state is VersionState.REJECTED for version in memory.versions()[1:])
    assert memory.log.referenced_blobs() == set()
    assert memory.log.replay_targets("default", limit=10, seed=0) == []
    memory.log.release_updater_lease(memory.log.acquire_updater_lease("default", owner="next", lease_seconds=60))


@pytest.mark.parametrize(
    ("stage", "done"), [("writing sentences", 0), ("teacher targets", 0), ("training", 2), ("gate", 0)]
)
def test_an_interrupt_leaves_the_experiences_waiting_and_the_head_where_it_was(
    memory: AgentMemory, stage: str, done: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        memory.update(progress=stop_at(stage, done, interrupt))
    assert_untouched(memory)
    assert [one.attempts for one in memory.log.experiences("default")] == [0, 0]


def test_an_interrupt_after_the_head_has_moved_loses_nothing(home: Path) -> None:
    with AgentMemory.open(home, model=str(LEARNER), device="cpu", settings=SHORT, gate=LENIENT) as memory:
        memory.tell(MUG)
        with pytest.raises(KeyboardInterrupt):
            memory.update(progress=stop_at("gate", 1, interrupt))
        assert memory.log.head("default").number == 1
        assert memory.log.experiences("default")[0].learned_in == 1
        assert memory.ask("Where is the red mug?").version == 1


def test_a_time_budget_ends_training_with_its_cool_down_and_the_gate_still_measures(home: Path) -> None:
    hasty = SHORT.model_copy(update={"num_steps": 40, "budget_seconds": 1e-3})
    with AgentMemory.open(home, model=str(LEARNER), device="cpu", settings=hasty, gate=LENIENT) as memory:
        memory.tell(MUG)
        report = memory.update()
        assert (report.admitted, report.num_steps, report.ended_by) == (True, 1 + COOL_DOWN_STEPS, "budget")
        assert report.metrics["drift_nats"] > 0 and memory.log.version("default", 1).metrics["num_steps"] == 9


@pytest.mark.parametrize("learning_rate", [50.0, 1e30])
def test_a_poisoned_update_is_rejected_by_the_gate_and_never_moves_the_head(home: Path, learning_rate: float) -> None:
    poison = SHORT.model_copy(update={"learning_rate": learning_rate})
    with told(home, poison, MUG, MIRA) as memory:
        before = memory.ask("Where is the red mug?")
        report = memory.update()
        assert not report.admitted and report.version is None and report.num_refused == 2
        assert memory.log.head("default").number == 0
        assert all(version.state is VersionState.REJECTED for version in memory.versions()[1:])
        refused = memory.log.experiences("default", state=ExperienceState.REFUSED)
        assert len(refused) == 2 and all(one.reason and one.reason in (report.reason or "") for one in refused)
        assert [attempt.is_retry for attempt in report.attempts] == [False, True, False, False]
        assert all(attempt.changed["learning_rate"] == learning_rate / 10 for attempt in report.attempts[1:])
        assert memory.ask("Where is the red mug?") == before


def test_an_update_whose_lease_was_taken_over_writes_nothing(home: Path) -> None:
    short_lived = SHORT.model_copy(update={"lease_seconds": 0.01})
    with told(home, short_lived, MUG, MIRA) as memory, Home.open(home).open_log() as other:

        def take_over() -> None:
            time.sleep(0.02)
            other.acquire_updater_lease("default", owner="other", lease_seconds=60)

        with pytest.raises(LeaseLost):
            memory.update(progress=stop_at("training", 1, take_over))
        assert memory.log.head("default").number == 0
        with pytest.raises(LineageBusy, match="other"):
            memory.update()
        assert memory.log.count_by_state("default")[ExperienceState.PENDING] == 2


def test_forgetting_in_the_middle_of_an_update_ends_it_and_spares_the_others(memory: AgentMemory) -> None:
    mug = memory.log.experiences("default")[0]
    with pytest.raises(LeaseLost, match="forgotten"):
        memory.update(progress=stop_at("training", 1, lambda: bool(memory.log.forget(mug.id))))
    assert_untouched(memory, num_pending=1)


def test_an_update_that_finds_no_room_for_its_delta_leaves_all_as_it_was(home: Path) -> None:
    wide = SHORT.model_copy(update={"rank": 32})
    with contextlib.ExitStack() as limit, told(home, wide, MUG, MIRA) as memory:

        def fill_the_disk() -> None:
            largest = max(path.stat().st_size for path in home.iterdir() if path.is_file())
            limit.enter_context(files_no_larger_than(largest + 300_000))

        with pytest.raises(DiskFull, match="free some room"):
            memory.update(progress=stop_at("gate", 0, fill_the_disk))
        assert_untouched(memory)
        assert [one.attempts for one in memory.log.experiences("default")] == [0, 0]
        assert [path for path in (home / "blobs").rglob("*") if path.is_file()] == []


UPDATER = """
import sys
from agent.memory import AgentMemory
from updater.settings import UpdateSettings

with AgentMemory.open(sys.argv[1], device="cpu", settings=UpdateSettings(lease_seconds=float(sys.argv[2]))) as memory:
    memory.update(progress=lambda *step: print(*step, flush=True))
"""


def test_after_kill_9_in_mid_update_another_process_learns_the_batch_once_the_lease_has_expired(home: Path) -> None:
    with AgentMemory.open(home, model=str(LEARNER), device="cpu", settings=SHORT, gate=LENIENT) as memory:
        memory.tell(MUG)
        memory.versions()
        words = [sys.executable, "-c", UPDATER, str(home), "15"]
        with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as killed:
            assert killed.stdout is not None
            assert any(line.startswith("training 1 ") for line in killed.stdout), "it ended before it trained"
            killed.kill()
        assert memory.log.count_by_state("default")[ExperienceState.LEASED] == 1
        with pytest.raises(LineageBusy):
            memory.update()
        report, deadline = None, time.monotonic() + 30
        while report is None and time.monotonic() < deadline:
            with contextlib.suppress(LineageBusy):
                report = memory.update()
            time.sleep(0.2)
        assert report is not None and (report.admitted, report.version) == (True, 1)
        learned = memory.log.experiences("default")[0]
        assert (learned.state, learned.learned_in, learned.attempts) == (ExperienceState.LEARNED, 1, 1)
        assert [memory.log.batch(number).state for number in (1, 2)] == ["abandoned", "committed"]
