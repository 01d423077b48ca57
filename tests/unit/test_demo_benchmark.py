"""The demo's benchmark: summaries into metrics, and seeds that are not run twice."""

import json
from pathlib import Path

import pytest

from agent.demo import DemoPlan
from benchmarks.demo import METRICS, metrics_of, summary_of

SUMMARY = {name: 1.0 for name in METRICS if name != "swap_seconds_max"} | {"swap_seconds": [0.1, 0.3]}


def test_every_metric_has_a_value_a_seed_and_its_target() -> None:
    metrics = metrics_of([SUMMARY, SUMMARY | {"swap_seconds": [0.2]}])
    assert list(metrics) == list(METRICS)
    assert metrics["swap_seconds_max"].values == (0.3, 0.2)
    met = {name: metric.met for name, metric in metrics.items()}
    assert met["ceiling"] is True and met["floor"] is False and met["num_failed_requests"] is False


def test_what_a_short_demo_cannot_have_is_left_out() -> None:
    metrics = metrics_of([SUMMARY | {"retention_ratio_lag_ge_4": None, "swap_seconds": []}])
    assert set(METRICS) - set(metrics) == {"retention_ratio_lag_ge_4", "swap_seconds_max"}


def test_a_complete_seed_is_not_run_again_and_another_plan_is_refused(tmp_path: Path) -> None:
    stored = SUMMARY | {"seed": 1, "num_updates": 2, "num_experiences": 6}
    (tmp_path / "summary.json").write_text(json.dumps(stored))
    plan = DemoPlan(updates=2, experiences_per_update=3, seed=1, out=tmp_path)
    assert summary_of(tmp_path, plan, plain=True) == stored
    with pytest.raises(ValueError, match="another length or seed"):
        summary_of(tmp_path, plan.model_copy(update={"updates": 3}), plain=True)
