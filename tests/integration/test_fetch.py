"""The fetch benchmark with the embedded model: a short life, one update, and the way from weights to things."""

from pathlib import Path

import pytest

from agent.study.lines import ITEMS_FILE, whole_lines
from benchmarks.fetch import QUICK_SETTINGS
from benchmarks.fetch_household import HouseholdPlan
from benchmarks.fetch_minigrid import MiniGridPlan
from benchmarks.fetch_plan import FetchPlan, folder_of, run_part
from benchmarks.fetch_records import FetchLine
from benchmarks.fetch_report import metrics_of
from tests.model_fixtures import LEARNER

pytestmark = [
    pytest.mark.skipif(not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights"),
    pytest.mark.timeout(900),
]

PLAN = FetchPlan(
    household=HouseholdPlan(episodes=1, notes_per_episode=2, num_things=20), minigrid=MiniGridPlan(episodes=1),
    rounds=2, num_questions=3, settings=QUICK_SETTINGS,
)  # fmt: skip


def test_what_was_learned_in_one_episode_is_fetched_from_the_weights(tmp_path: Path) -> None:
    outcomes: dict[str, dict[int, list[FetchLine]]] = {}
    for method in ("ours", "in_context", "perfect", "none"):
        run_part(PLAN, "household", method, 0, tmp_path)
        outcomes[method] = {0: whole_lines(folder_of(tmp_path, "household", method, 0) / ITEMS_FILE, FetchLine)}
    metrics = metrics_of("household", outcomes, PLAN)
    assert metrics["ours_num_learned"].mean == 2 and metrics["ours_num_updates"].mean == 1
    assert metrics["in_context_answers_right"].mean == 1.0 and metrics["in_context_steps_vs_perfect"].mean == 1.0
    assert metrics["ours_answers_right"].mean > 0.5, outcomes["ours"][0][-1].rows
    assert metrics["ours_steps"].mean < metrics["none_steps"].mean
    assert metrics["ours_prompt_tokens"].mean < metrics["in_context_prompt_tokens"].mean
