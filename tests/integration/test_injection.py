"""The injection benchmark with the embedded model: an update of ours and of a baseline, and taking ours up again."""

from pathlib import Path

import pytest

from agent.study.lines import ITEMS_FILE
from agent.study.running import finished_lines
from agent.study.scores import Outcome
from benchmarks.injection_pictures import draw_all
from benchmarks.injection_plan import Plan, folder_of, run_pair
from benchmarks.injection_report import metrics_of
from tests.model_fixtures import LEARNER

pytestmark = [
    pytest.mark.skipif(not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights"),
    pytest.mark.timeout(900),
]

SHORT = {
    "num_steps": 26, "batch_about": 8, "batch_anchors": 3, "questions_per_experience": 8,
    "near_misses_per_experience": 4, "min_samples": 8, "num_anchors": 24,
}  # fmt: skip
METHODS = ("ours", "ce_sentences", "none", "in_context")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(
        protocol="sequential", updates=1, per_update=1, batches=(), changed_share=0.0, top=4, model=str(LEARNER),
        device="cpu", data=None, form="jsonl", settings=SHORT, quick=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def work(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("injection")
    for method in METHODS:
        run_pair(plan, method, 0, folder_of(folder, method, 0))
    return folder


def test_every_method_answers_and_what_trains_stores_what_it_learned(plan: Plan, work: Path) -> None:
    outcomes = {
        method: {0: Outcome(finished_lines(folder_of(work, method, 0) / ITEMS_FILE), fresh=False)} for method in METHODS
    }
    metrics = metrics_of(outcomes, plan.course, plan.protocol)
    assert metrics["in_context_final_average"].mean == 1.0 and metrics["none_final_average"].mean == 0.0
    for method in ("ours", "ce_sentences"):
        assert metrics[f"{method}_num_refused"].mean == 0, outcomes[method][0].lines
        assert metrics[f"{method}_drift_nats"].mean > 0.0, method
        assert metrics[f"{method}_bytes_of_deltas"].mean > 100_000 and metrics[f"{method}_bytes_of_targets"].mean > 1000
    assert metrics["in_context_drift_nats"].mean == 0.0 and metrics["in_context_reading_kept"].mean == 1.0
    assert {"margin_over_none", "margin_over_ce_sentences", "sequential1x1_ratio", "false_recall"} <= metrics.keys()


def test_pictures_are_drawn(plan: Plan, work: Path, tmp_path: Path) -> None:
    outcomes = {
        method: {0: Outcome(finished_lines(folder_of(work, method, 0) / ITEMS_FILE), fresh=False)} for method in METHODS
    }
    paths = draw_all(outcomes, tmp_path / "plots", name="injection_sequential")
    assert len(paths) == 3 and all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_what_died_between_an_update_and_its_line_is_not_learned_twice(plan: Plan, work: Path) -> None:
    path = folder_of(work, "ours", 0) / ITEMS_FILE
    [before] = finished_lines(path)
    path.write_bytes(b"")
    run_pair(plan, "ours", 0, folder_of(work, "ours", 0))
    [after] = finished_lines(path)
    assert [row.said for row in after.rows] == [row.said for row in before.rows]
    assert after.cost.num_bytes_deltas == before.cost.num_bytes_deltas, "no second version"
    assert (before.cost.timed, after.cost.timed) == (True, False) and after.cost.seconds > 0
