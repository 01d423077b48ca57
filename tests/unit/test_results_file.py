"""The results file: intervals, targets, round trip and the table."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.intervals import Metric, Target, measured, t_quantile_95
from benchmarks import targets
from benchmarks.results_file import ResultsFile, report

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def example_report(**metrics: Metric) -> ResultsFile:
    return report("demo", command="python -m benchmarks.demo", seeds=[0, 1, 2], metrics=metrics, now=NOW)


def test_interval_of_a_hand_worked_example() -> None:
    # mean 2, s = 1, n = 3: 2 +- 4.303 / sqrt(3)
    metric = measured([1, 2, 3], unit="seconds")
    assert (metric.mean, metric.met) == (2.0, None)
    assert metric.low == pytest.approx(2 - 4.303 / 3**0.5)
    assert metric.high == pytest.approx(2 + 4.303 / 3**0.5)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (4, 2.776), (30, 2.042), (31, 2.0395), (60, 2.0003), (1000, 1.9623)]
)
def test_t_quantiles_agree_with_published_tables(degrees: int, quantile: float) -> None:
    assert t_quantile_95(degrees) == pytest.approx(quantile, abs=1e-4)


@pytest.mark.parametrize("degrees", [0, -1])
def test_no_degrees_of_freedom_is_an_error(degrees: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        t_quantile_95(degrees)


@pytest.mark.parametrize(
    ("target", "low", "high", "met"),
    [
        (">= 0.95", 0.95, 0.99, True),
        (">= 0.95", 0.94, 0.99, False),
        ("<= 0.05", 0.01, 0.05, True),
        ("<=0.05", 0.01, 0.06, False),
        ("== 0", 0.0, 0.0, True),
        ("== 0", 0.0, 1.0, False),
        (">= -1e-3", 0.0, 1.0, True),
    ],
)
def test_a_target_is_met_by_the_worse_end_of_the_interval(target: str, low: float, high: float, met: bool) -> None:
    assert Target.parse(target).met_by(low=low, high=high) is met


@pytest.mark.parametrize("text", ["", "0.95", "> 0.95", ">= x", ">= 1 or so", ">= nan", "=> 1"])
def test_a_target_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Target.parse(text)


def test_a_mean_above_the_target_is_not_enough_when_the_interval_reaches_below() -> None:
    assert measured([0.90, 0.99, 0.99], unit="share", target=">= 0.95").met is False


def test_bounds_cut_the_interval_and_leave_the_mean() -> None:
    metric = measured([0.9, 1.0, 1.0], unit="share", bounds=(0, 1))
    assert metric.high == 1.0
    assert metric.low < metric.mean < 1.0


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_no_values_or_infinite_ones_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError):
        measured(values, unit="share")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_mean_lies_in_its_interval(values: list[float]) -> None:
    metric = measured(values, unit="x")
    assert metric.low <= metric.mean <= metric.high


def test_a_written_file_reads_back_equal_and_leaves_nothing_aside(tmp_path: Path) -> None:
    result = example_report(ceiling=measured([0.97, 0.98, 0.99], unit="share", target=">= 0.5"))
    result.write(tmp_path / "results" / "demo.json")
    assert ResultsFile.read(tmp_path / "results" / "demo.json") == result
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["demo.json"]
    assert result.versions["python"]
    assert result.hardware
    assert result.commit


def test_a_file_that_claims_a_target_it_misses_is_refused(tmp_path: Path) -> None:
    result = example_report(ceiling=measured([0.5], unit="share", target=">= 0.95"))
    path = tmp_path / "demo.json"
    path.write_text(result.model_dump_json().replace('"met":false', '"met":true'), encoding="utf-8")
    with pytest.raises(ValidationError, match="needed False"):
        ResultsFile.read(path)


def test_the_table_shows_each_metric_and_strict_fails_on_a_missed_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demo.json"
    example_report(
        ceiling=measured([0.99] * 3, unit="share", target=">= 0.95"),
        floor=measured([0.2] * 3, unit="share", target="<= 0.05"),
    ).write(path)
    assert targets.main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("ceiling", "0.99", ">= 0.95", "yes", "floor", "no"))
    assert targets.main(["--strict", str(path)]) == 1


def test_a_file_that_is_no_results_file_gives_exit_code_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{}", encoding="utf-8")
    assert targets.main([str(path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
