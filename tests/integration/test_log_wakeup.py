"""The benchmark of waking up, in its short form: both engines, every figure, a file that can be read."""

from pathlib import Path

import pytest

from benchmarks import log_wakeup
from benchmarks.results_file import ResultsFile


def test_the_short_form_measures_both_engines_and_writes_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log_wakeup.json"
    assert log_wakeup.main(["--quick", "--folder", str(tmp_path), "--json", str(file)]) == 0
    results = ResultsFile.read(file)
    assert results.quick and results.seeds == (0,)
    for engine in ("sqlite", "postgresql"):
        p50, p99 = (results.metrics[f"wakeup_{name}_ms_{engine}"].mean for name in ("p50", "p99"))
        assert 0 < p50 <= p99
        assert results.metrics[f"append_rate_{engine}"].mean > 0
    assert "wakeup_p99_ms_postgresql" in capsys.readouterr().out
