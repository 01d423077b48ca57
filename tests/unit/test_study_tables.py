"""A study's tables and differences, from outcomes made by hand."""

import csv
import io

from agent.intervals import measured
from agent.study.compare import Difference
from agent.study.config import ScheduleSettings, StudyConfig
from agent.study.records import AnsweredRow, QuestionKind, UpdateCost, UpdateLine
from agent.study.scores import Outcome
from agent.study.summary import figures_of, summarise
from agent.study.tables import item_lines, latex_table, matrix_csv, summary_csv


def row(asked: int, cohort: int, *, right: bool, kind: QuestionKind = "paraphrase") -> AnsweredRow:
    return AnsweredRow(
        asked=asked, kind=kind, told=asked, cohort=cohort, num_changes=0, question="?", answer="a", said="b",
        right=right, exact=0.0, f1=0.0, says_unknown=False, taught=False,
    )  # fmt: skip


def outcome(*updates: list[AnsweredRow], seconds: float = 1.0) -> Outcome:
    cost = UpdateCost(seconds=seconds)
    lines = [
        UpdateLine(update=number, cost=cost, is_point=True, rows=tuple(rows))
        for number, rows in enumerate(updates, start=1)
    ]
    return Outcome(lines, fresh=False)


KNOWS = outcome(
    [row(0, 1, right=True), row(1, 2, right=False)], [row(0, 1, right=True), row(1, 2, right=True)]
)
NEVER = outcome([row(0, 1, right=False), row(1, 2, right=False)], [row(0, 1, right=False), row(1, 2, right=False)])
CONFIG = StudyConfig(
    methods=("ours", "none"), seeds=(0, 1), schedule=ScheduleSettings(updates=2, experiences_per_update=1)
)


def test_the_matrix_holds_what_was_asked_before_learning_and_no_times() -> None:
    slow = outcome(*[list(line.rows) for line in KNOWS.lines], seconds=99.0)
    text = matrix_csv({"ours": {0: KNOWS}})
    assert text == matrix_csv({"ours": {0: slow}})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(one["update"], one["cohort"], one["lag"], one["mean"]) for one in rows] == [
        ("1", "1", "0", "1.0"), ("1", "2", "-1", "0.0"), ("2", "1", "1", "1.0"), ("2", "2", "0", "1.0"),
    ]  # fmt: skip
    assert len(list(item_lines({"ours": {0: KNOWS}, "none": {0: NEVER}}))) == 8


def test_the_latex_table_shows_the_cut_interval_and_counts_its_seeds() -> None:
    shares = measured([0.95, 1.0, 1.0, 1.0, 0.9], unit="share", bounds=(0.0, 1.0))
    text = latex_table({"kl_no_replay": {"final_average": shares}}, name="a & b")
    assert rf"$0.970$ \footnotesize$[{shares.low:.3f}, 1.000]$" in text and "mean over 5 seeds, with" in text
    assert r"kl\_no\_replay" in text and r"a \& b" in text
    alone = latex_table({"ours": {"final_average": measured([0.5], unit="share")}}, name="x")
    assert "mean over 1 seed." in alone and "$0.500$" in alone


def test_figures_of_an_unfinished_study_are_of_the_point_that_all_seeds_share() -> None:
    behind = Outcome(KNOWS.lines[:1], fresh=False)
    summary = summarise(CONFIG, {"ours": {0: KNOWS, 1: behind}, "none": {0: NEVER, 1: NEVER}})
    assert summary.figures["ours"]["final_average"].values == (1.0, 1.0)
    assert "backward_transfer" not in summary.figures["ours"], "after one update there is nothing to forget"
    assert any(warning.startswith("not finished: ours, seed 1.") for warning in summary.warnings)
    assert any("2 seeds say little" in warning for warning in summary.warnings)
    assert "final_average" in summary_csv(summary.figures)


def test_the_half_life_needs_a_floor() -> None:
    both = summarise(CONFIG, {"ours": {0: KNOWS, 1: KNOWS}, "none": {0: NEVER, 1: NEVER}})
    assert str(both.half_lives["ours"]) == "> 1" and "none" not in both.half_lives
    assert not summarise(CONFIG, {"ours": {0: KNOWS, 1: KNOWS}}).half_lives


def test_of_what_learns_all_at_once_nothing_is_said_about_time_since_learning() -> None:
    assert "final_average" in figures_of("fresh_lora") and "efficacy" not in figures_of("fresh_lora")
    assert not any("lag" in name or "forg" in name for name in figures_of("fresh_lora"))


def test_a_difference_is_clear_with_three_seeds_that_do_not_all_say_the_same() -> None:
    def difference(*changes: float) -> Difference:
        same = measured([0.5] * len(changes), unit="share")
        return Difference("efficacy", "share", same, same, measured(changes, unit="share"))

    assert difference(0.2, 0.21, 0.22).is_clear and difference(-0.2, -0.21, -0.22).is_clear
    assert not difference(0.2, 0.2, 0.2).is_clear, "no spread is no certainty"
    assert not difference(0.2, 0.21).is_clear and not difference(0.2, -0.2, 0.1).is_clear
