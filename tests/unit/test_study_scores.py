"""The injection benchmark's measures, each on an example worked by hand."""

from collections.abc import Sequence

import pytest

from agent.study.courses import Course
from agent.study.records import AnsweredRow, QuestionKind, UpdateCost, UpdateLine
from agent.study.scores import (
    Outcome,
    backward_transfer,
    balanced,
    changed_facts,
    changed_three_times,
    efficacy,
    exact_match,
    false_recall,
    final_average,
    normalised,
    retention_by_lag,
    time_growth,
    token_f1,
)
from benchmarks.injection_report import metrics_of


def row(
    asked: int,
    cohort: int,
    *,
    right: bool,
    kind: QuestionKind = "paraphrase",
    taught: bool = False,
    num_changes: int = 0,
) -> AnsweredRow:
    return AnsweredRow(
        asked=asked, kind=kind, told=asked, cohort=cohort, num_changes=num_changes, question="?", answer="a",
        said="a" if right else "b", right=right, exact=float(right), f1=float(right), says_unknown=False, taught=taught,
    )  # fmt: skip


def line(update: int, rows: Sequence[AnsweredRow], *, is_point: bool = False, seconds: float = 1.0) -> UpdateLine:
    return UpdateLine(update=update, cost=UpdateCost(seconds=seconds), is_point=is_point, rows=tuple(rows))


def sequence() -> Outcome:
    """Two updates; of the first's three questions one is forgotten and one no longer valid at the end."""
    first = [row(0, 1, right=True), row(1, 1, right=True), row(2, 1, right=False)]
    last = [
        row(0, 1, right=True), row(1, 1, right=False), row(3, 2, right=True, num_changes=1),
        row(4, 2, right=False, num_changes=3), row(5, 2, right=True, taught=True),
        row(6, 1, right=True, kind="near_miss"), row(7, 2, right=False, kind="near_miss"),
        row(8, 2, right=False, kind="new_phrasing"),
    ]  # fmt: skip
    return Outcome([line(1, first), line(2, last, is_point=True)], fresh=False)


def test_answers_are_normalised_as_in_squad() -> None:
    assert normalised("The red mug, in a box!") == ["red", "mug", "in", "box"]
    assert normalised("An  anthem") == ["anthem"]
    assert exact_match("the Mug.", ["kettle", "a mug"]) == 1.0
    assert exact_match("the mug lies", ["a mug"]) == 0.0


def test_f1_counts_shared_words_as_often_as_both_have_them() -> None:
    # said 4 words, right 3, shared red and mug: 2 * 2 / (4 + 3)
    assert token_f1("the red red mug there", ["a red mug here"]) == pytest.approx(4 / 7)
    assert token_f1("mug", ["kettle", "the mug"]) == 1.0
    assert token_f1("the", ["a"]) == 1.0 and token_f1("", ["mug"]) == 0.0 and token_f1("mug", []) == 0.0


def test_efficacy_is_right_after_ones_own_update_and_the_final_average_of_what_is_valid_at_the_end() -> None:
    outcome = sequence()
    assert efficacy(outcome) == pytest.approx(3 / 5)  # 2 of 3, then 1 of 2; what was taught counts nowhere
    assert final_average(outcome) == pytest.approx(2 / 4)
    assert final_average(outcome, kind="new_phrasing") == 0.0


def test_where_each_update_begins_anew_the_final_average_is_over_all_of_them() -> None:
    outcome = Outcome(sequence().lines, fresh=True)
    assert final_average(outcome) == pytest.approx(4 / 7)
    assert backward_transfer(outcome) is None


def test_backward_transfer_pairs_each_question_with_itself() -> None:
    # Of the first update's questions, 0 stayed right and 1 was lost; 2 is not asked at the end.
    assert backward_transfer(sequence()) == pytest.approx(-1 / 2)


def test_retention_is_grouped_by_updates_since_and_read_at_points_only() -> None:
    assert retention_by_lag(sequence()) == {0: pytest.approx(1 / 2), 1: pytest.approx(1 / 2)}


def test_false_recall_is_the_share_of_near_misses_that_got_a_definite_answer() -> None:
    assert false_recall(sequence()) == 0.5
    assert balanced(sequence()) == pytest.approx((0.5 + 0.5) / 2)


def test_blurting_out_and_knowing_nothing_both_score_half() -> None:
    known, wrong = row(0, 1, right=True), row(1, 1, right=False, kind="near_miss")
    blurts = Outcome([line(1, [known, wrong], is_point=True)], fresh=False)
    unknown, right = row(0, 1, right=False), row(1, 1, right=True, kind="near_miss")
    silent = Outcome([line(1, [unknown, right], is_point=True)], fresh=False)
    assert balanced(blurts) == balanced(silent) == 0.5


def test_changed_facts_are_those_that_had_been_said_otherwise_before() -> None:
    assert changed_facts(sequence()) == 0.5
    assert changed_three_times(sequence()) == 0.0
    assert changed_facts(Outcome(sequence().lines[:1], fresh=False)) is None


def test_time_growth_compares_medians_of_ten_updates_at_either_end() -> None:
    seconds = [1.0] * 9 + [50.0] + [7.0] * 5 + [3.0] * 10
    lines = [line(number, [], seconds=one) for number, one in enumerate(seconds, start=1)]
    assert time_growth(Outcome(lines, fresh=False)) == 3.0
    assert time_growth(Outcome(lines[:19], fresh=False)) is None


def outcome_of(num_right: int, *, of: int = 4) -> Outcome:
    rows = [row(number, 1, right=number < num_right) for number in range(of)]
    return Outcome([line(1, rows, is_point=True)], fresh=False)


COURSE = Course(cohorts=((0, 1, 2, 3),), fresh=False, points=(1,))


def test_ratios_are_taken_seed_by_seed() -> None:
    outcomes = {
        "ours": {0: outcome_of(2), 1: outcome_of(4)},
        "in_context": {0: outcome_of(4), 1: outcome_of(4)},
    }
    metrics = metrics_of(outcomes, COURSE, "sequential")
    assert metrics["sequential1x4_ratio"].values == (0.5, 1.0)
    assert metrics["ours_final_average"].values == (0.5, 1.0)
    assert "changed_fact_ratio" not in metrics, "nothing changed"


def test_ratios_need_the_ceiling() -> None:
    assert "sequential1x4_ratio" not in metrics_of({"ours": {0: outcome_of(2)}}, COURSE, "sequential")


def test_a_baseline_is_beaten_when_ours_lies_above_its_interval() -> None:
    def margin(ours: tuple[int, int], theirs: tuple[int, int]) -> tuple[float, bool | None]:
        outcomes = {
            "ours": dict(enumerate(map(outcome_of, ours))),
            "ce_raw": dict(enumerate(map(outcome_of, theirs))),
        }
        metric = metrics_of(outcomes, COURSE, "sequential")["margin_over_ce_raw"]
        return metric.mean, metric.met

    assert margin((4, 4), (1, 1)) == (0.75, True)
    assert margin((4, 4), (4, 4)) == (0.0, False)
    assert margin((4, 4), (1, 2))[1] is False, "two seeds so far apart say next to nothing"


def test_a_figure_that_a_seed_lacks_is_left_out() -> None:
    without = Outcome([line(1, [row(0, 1, right=True, kind="near_miss")], is_point=True)], fresh=False)
    metrics = metrics_of({"ours": {0: outcome_of(2), 1: without}}, COURSE, "sequential")
    assert "ours_final_average" not in metrics and "ours_seconds_per_update" in metrics
