"""The runtime on a local Ray: what is appended is learned and served without further calls, also after kills."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.home import Home
from agent.runtime import HomeParts, HomeWeights, Runtime, _base_model
from agent.seed_model import WEIGHTS_FOLDER
from memory_log.errors import BadInput, BaseModelChanged, UnknownVersion
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState, NewExperience
from updater.filters import redact_personal
from updater.settings import GateSettings, UpdateSettings

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(1200)]

MODEL = os.environ.get("SELFPARAM_TEST_MODEL")
MUG = "I put the red mug in the kitchen drawer."
SMALL = UpdateSettings(num_steps=30, num_anchors=80, questions_per_experience=16, near_misses_per_experience=8)
OPEN = GateSettings(min_efficacy=0.0, max_false_recall=1.0, max_retention_loss=1.0, max_drift_nats=10.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path / "home", model=MODEL)


@pytest.fixture
def log(home: Home) -> Iterator[MemoryLog]:
    with home.open_log() as opened:
        yield opened


def said(runtime: Runtime, question: str, version: int | None = None) -> tuple[str, int]:
    dialogue = runtime.parts.base.dialogue
    answer = runtime.ask(dialogue.prompt_ids(question), version)
    return dialogue.text(answer.token_ids), answer.version


def wait_for_version(log: MemoryLog, number: int, runtime: Runtime) -> None:
    deadline = time.monotonic() + 500
    while log.head("default").number < number or runtime.serving_stats().serving_version < number:
        assert time.monotonic() < deadline, (runtime.worker_status(), log.experiences("default"))
        time.sleep(0.2)


def test_a_pause_holds_the_worker_of_one_lineage_and_a_filter_travels_to_it(home: Home, log: MemoryLog) -> None:
    log.append(NewExperience(text="The old lamp belongs to mira@example.org."))
    log.append(NewExperience(text=MUG, lineage="other"))
    log.pause("default", by="mira", reason="exam week")
    quick = SMALL.model_copy(
        update={"num_steps": 2, "num_anchors": 12, "questions_per_experience": 8, "min_samples": 8, "min_questions": 1}
    )
    with Runtime(
        home, batch_size=1, more_lineages=["other"], device="cpu", settings=quick, gate=OPEN, filter=redact_personal
    ) as runtime:
        deadline = time.monotonic() + 180
        while (pause := runtime.worker_status().pause) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert pause is not None and pause.reason == "exam week"
        assert log.updater_lease("default") is None and log.head("default").number == 0
        while not runtime.worker_status("other").outcomes:
            assert time.monotonic() < deadline + 400, runtime.worker_status("other")
            time.sleep(0.05)
        assert log.head("other").number == 1 and runtime.serving_stats().serving_version == 0
        log.resume("default")
        wait_for_version(log, 1, runtime)
        assert runtime.worker_status().pause is None
    stored = log.targets_of(1)
    assert stored and not any("example" in target.prompt + target.completion for target in stored)


def test_what_is_told_is_learned_and_served_though_both_processes_are_killed(home: Home, log: MemoryLog) -> None:
    with Runtime(home, batch_size=1, device="cpu", settings=SMALL, gate=OPEN) as runtime:
        asked = "Where can I find the red mug?"
        assert said(runtime, asked)[1] == 0
        log.append(NewExperience(text=MUG))
        worker, server = runtime.worker_status().pid, runtime.serving_pid()
        while not runtime.worker_status().is_updating:
            time.sleep(0.05)
        os.kill(worker, signal.SIGKILL)
        os.kill(server, signal.SIGKILL)
        assert said(runtime, asked)[1] == 0
        assert runtime.num_retried >= 1
        wait_for_version(log, 1, runtime)
        text, version = said(runtime, asked)
        assert version == 1 and "kitchen drawer" in text
        assert "unknown" in said(runtime, asked, 0)[0]
        assert runtime.worker_status().pid != worker and runtime.serving_pid() != server
        stored = log.experiences("default")
        assert [(one.state, one.learned_in, one.attempts) for one in stored] == [(ExperienceState.LEARNED, 1, 1)]
        log.rollback("default", 0)
        deadline = time.monotonic() + 180
        while said(runtime, asked)[1] != 0:
            assert time.monotonic() < deadline, "the worker announces a rollback too"
            time.sleep(0.1)
        with pytest.raises(UnknownVersion):
            said(runtime, asked, 99)
    assert log.updater_lease("default") is None


def test_a_gpu_that_is_not_there_is_refused(home: Home) -> None:
    with pytest.raises(BadInput, match="no GPU"):
        Runtime(home, device="cuda")


def test_a_process_that_starts_when_the_models_files_have_changed_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(WEIGHTS_FOLDER, tmp_path / "model"))
    parts = HomeParts(Home.open(tmp_path / "home", model=str(folder)), "default", "cpu")
    assert parts.served_model().model is parts.base.model
    style = json.loads((folder / "selfparam.json").read_text())
    (folder / "selfparam.json").write_text(json.dumps(style | {"with_notes": "Read this."}))
    _base_model.cache_clear()  # as in a new process
    with pytest.raises(BaseModelChanged, match="prompt style"):
        parts.served_model()
    with pytest.raises(BaseModelChanged, match="prompt style"):
        parts.updater("worker")


def test_the_weights_source_folds_what_the_log_names(home: Home, log: MemoryLog) -> None:
    parts = HomeParts(home, "default", "cpu")
    log.ensure_lineage("default", base_fingerprint=parts.base.fingerprint)
    weights = HomeWeights(parts)
    assert weights.serving_version() == 0
    own = dict(parts.base.model.named_parameters())
    folded = weights.state_dict(0)
    assert folded.keys() == own.keys() and all(folded[name].equal(own[name]) for name in own)
    with pytest.raises(UnknownVersion):
        weights.state_dict(3)
