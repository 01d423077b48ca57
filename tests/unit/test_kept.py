"""What a long benchmark keeps: each value is measured once, under one plan."""

from pathlib import Path

import pytest

from benchmarks.kept import Kept
from memory_log.errors import BadInput


def test_a_value_is_measured_once_and_read_after_an_interruption(tmp_path: Path) -> None:
    measured = iter([{"ours": (1.5, 2.0)}, {"ours": (9.0, 9.0)}])
    for _ in range(2):
        kept = Kept(tmp_path / "work", {"sizes": (1, 2)})
        assert kept.value("round-0", lambda: next(measured)) == {"ours": [1.5, 2.0]}
    assert next(measured) == {"ours": (9.0, 9.0)}


def test_a_measurement_that_fails_leaves_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {})
    with pytest.raises(ZeroDivisionError):
        kept.value("round-0", lambda: 1 / 0)
    assert kept.value("round-0", lambda: 3) == 3


def test_values_of_another_plan_are_refused_by_name_of_the_folder(tmp_path: Path) -> None:
    Kept(tmp_path, {"num_steps": 4})
    with pytest.raises(BadInput, match=f"{tmp_path} holds a run of other settings .num_steps is 4 there, 5 here"):
        Kept(tmp_path, {"num_steps": 5})


def test_without_a_folder_nothing_is_kept() -> None:
    kept = Kept(None, {})
    assert [kept.value("round-0", lambda number=number: number) for number in (1, 2)] == [1, 2]  # type: ignore[misc]
