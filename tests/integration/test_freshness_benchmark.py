"""The benchmark of freshness, in its short form: a real server and learner, and everything told comes to be known."""

from pathlib import Path

import pytest

from benchmarks import freshness
from benchmarks.results_file import ResultsFile


def test_the_short_form_sees_everything_come_to_be_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "freshness.json"
    work = tmp_path / "work"
    assert freshness.main(["--quick", "--work", str(work), "--json", str(file)]) == 0
    results = ResultsFile.read(file)
    figures = {name: metric.mean for name, metric in results.metrics.items()}
    assert results.quick and figures["num_streamed"] == 1 and figures["share_refused"] == 0
    assert 0 < figures["known_after_p50_seconds"] <= figures["known_after_p95_seconds"]
    assert figures["max_backlog"] == 1 and figures["memory_growth"] > 0.5
    assert figures["max_backlog_at_full_speed"] <= freshness.QUICK.most_pending + 2
    assert "sustained_per_minute" in capsys.readouterr().out
    assert freshness.main(["--quick", "--work", str(work)]) == 2
    assert "holds a home already" in capsys.readouterr().err
