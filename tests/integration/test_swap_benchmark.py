"""The benchmark of swaps, in its short form: every figure, and no answer lost, mixed or stale."""

from pathlib import Path

import pytest

from benchmarks import swap
from benchmarks.results_file import ResultsFile


def test_the_short_form_loses_and_mixes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "swap.json"
    assert swap.main(["--quick", "--folder", str(tmp_path), "--json", str(file)]) == 0
    results = ResultsFile.read(file)
    assert results.quick and results.metrics["num_answers"].mean > 20
    for name in ("num_failed", "num_mixed", "num_stale"):
        assert results.metrics[name].mean == 0, name
    assert results.metrics["hash_after_all_swaps_is_right"].mean == 1
    assert results.metrics["itl_p99_ratio_reload"].mean > 0
    assert "visible_seconds" in capsys.readouterr().out
