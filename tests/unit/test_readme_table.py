"""The README quotes the committed results files, and nothing else."""

import pytest

from benchmarks.readme_table import BEGIN, END, QUOTED, ROOT, committed, table, with_table


def test_the_readme_quotes_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(readme, table(committed())) == readme, "run: python -m benchmarks.readme_table"


def test_every_quoted_figure_is_measured_and_every_row_names_its_target() -> None:
    results = committed()
    made = table(results)
    for name, quoted in QUOTED.items():
        assert set(quoted) <= set(results[name].metrics), name
        assert not results[name].quick
    assert made.count("\n| ") == 1 + sum(map(len, QUOTED.values()))
    assert "| right with notes in the prompt (ceiling) |" in made and ">= 0.95" in made


def test_what_stands_around_the_marks_stays() -> None:
    assert with_table(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"
    with pytest.raises(ValueError):
        with_table("no marks", "new\n")
