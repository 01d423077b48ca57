"""The benchmark of serving, in its short form."""

from pathlib import Path

import pytest

from benchmarks import serving
from benchmarks.results_file import ResultsFile


def test_the_short_form_measures_every_contestant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "serving.json"
    assert serving.main(["--quick", "--json", str(file)]) == 0
    results = ResultsFile.read(file)
    assert results.quick and results.metrics["tokens_per_second_4_clients"].mean > 0
    assert results.metrics["generate_tokens_per_second"].mean > 0
    assert results.metrics["stack_overhead"].mean < 1
    assert "speedup_4_clients" in capsys.readouterr().out
