"""Retention over time, on a matrix worked by hand."""

from collections.abc import Sequence

import pytest

from agent.study.records import AnsweredRow, QuestionKind, UpdateCost, UpdateLine
from agent.study.retention import (
    Cell,
    HalfLife,
    cells,
    forgetting_from_best,
    forgetting_from_first,
    forward_transfer,
    half_life,
    matrix,
    relative_retention,
    turnover,
)
from agent.study.scores import Outcome, final_average

HAND: dict[tuple[int, int], Sequence[bool]] = {
    # (update, cohort): which of its paraphrases were right. a(1,1) = 1/2, a(2,1) = 1, a(3,1) = 1/2; a(2,2) = 1,
    # a(3,2) = 0; a(3,3) = 1. Before they were learned: a(1,2) = 1/2, a(2,3) = 0.
    (1, 1): [True, False], (1, 2): [True, False],
    (2, 1): [True, True], (2, 2): [True, True], (2, 3): [False, False],
    (3, 1): [True, False], (3, 2): [False, False], (3, 3): [True, True],
}  # fmt: skip


def rows(update: int, answers: dict[tuple[int, int], Sequence[bool]]) -> list[AnsweredRow]:
    return [
        row(10 * cohort + place, cohort, right=right)
        for (asked_after, cohort), rights in answers.items()
        if asked_after == update
        for place, right in enumerate(rights)
    ]


def row(
    asked: int, cohort: int, *, right: bool, kind: QuestionKind = "paraphrase", num_changes: int = 0,
    taught: bool = False,
) -> AnsweredRow:
    return AnsweredRow(
        asked=asked, kind=kind, told=asked, cohort=cohort, num_changes=num_changes, question="?", answer="a", said="a",
        right=right, exact=0.0, f1=0.0, says_unknown=False, taught=taught,
    )  # fmt: skip


def outcome(answers: dict[tuple[int, int], Sequence[bool]] = HAND) -> Outcome:
    updates = sorted({update for update, _ in answers})
    cost = UpdateCost(seconds=1.0)
    lines = [UpdateLine(update=n, cost=cost, is_point=True, rows=tuple(rows(n, answers))) for n in updates]
    return Outcome(lines, fresh=False)


def test_the_matrix_has_cells_from_before_learning_too() -> None:
    assert matrix(outcome().lines) == {
        (1, 1): 0.5, (1, 2): 0.5, (2, 1): 1.0, (2, 2): 1.0, (2, 3): 0.0, (3, 1): 0.5, (3, 2): 0.0, (3, 3): 1.0,
    }  # fmt: skip
    assert cells(outcome().lines)[0] == Cell(1, 1, "paraphrase", 2, 0.5)


def test_what_was_taught_counts_for_verbatim_questions_only() -> None:
    asked = (row(0, 1, right=True, taught=True), row(1, 1, right=True, kind="verbatim", taught=True))
    [cell] = cells([UpdateLine(update=1, cost=UpdateCost(seconds=0.0), is_point=True, rows=asked)])
    assert cell.kind == "verbatim"


def test_forgetting_since_the_best_and_since_the_first() -> None:
    # cohort 1: best 1, first 1/2, end 1/2; cohort 2: best 1, first 1, end 0
    assert forgetting_from_best(outcome()) == pytest.approx((0.5 + 1.0) / 2)
    assert forgetting_from_first(outcome()) == pytest.approx((0.0 + 1.0) / 2)


def test_what_is_known_better_than_ever_at_the_end_is_negative_forgetting() -> None:
    assert forgetting_from_best(outcome({(1, 1): [False], (2, 1): [True], (2, 2): [True]})) == -1.0
    assert forgetting_from_first(outcome({(1, 1): [False], (2, 1): [True], (2, 2): [True]})) == -1.0


def test_what_became_untrue_is_not_forgotten() -> None:
    # Of two questions the right one was superseded before the end.
    answers: dict[tuple[int, int], Sequence[bool]] = {(1, 1): [False, True], (2, 1): [False], (2, 2): [True]}
    assert forgetting_from_best(outcome(answers)) == forgetting_from_first(outcome(answers)) == 0.0


def test_final_figures_leave_out_what_is_not_learned_yet() -> None:
    unfinished = outcome({(1, 1): [True, True], (1, 2): [False, False]})
    assert final_average(unfinished) == 1.0 and turnover(unfinished).num_acquired == 2


def test_forward_transfer_is_what_is_right_before_learning_beyond_the_base_model() -> None:
    floor = outcome({(1, 1): [False, False], (1, 2): [False, False], (2, 2): [False], (2, 3): [True, False]})
    # before learning 1/2 and 0, base 0 and 1/2
    assert forward_transfer(outcome(), floor) == pytest.approx((0.5 - 0.5) / 2)


def test_retention_is_relative_to_lag_0() -> None:
    # lag 0: 1/2, 1, 1 over two questions each = 5/6; lag 1: 1 and 0 = 1/2; lag 2: 1/2
    assert relative_retention(outcome(), 1) == pytest.approx(0.5 / (5 / 6))
    assert relative_retention(outcome(), 2) == pytest.approx(0.5 / (5 / 6))
    assert relative_retention(outcome(), 5) is None


def test_the_half_life_is_interpolated_above_the_floor_and_censored_at_the_horizon() -> None:
    # above a floor of 0.2, half of 1.0 is 0.6, crossed between lag 2 (0.8) and lag 4 (0.4)
    crossed = half_life({0: 1.0, 2: 0.8, 4: 0.4}, floor=0.2)
    assert crossed is not None and crossed.updates == pytest.approx(3.0) and str(crossed) == "3.0"
    assert half_life({0: 1.0, 2: 0.9, 9: 0.7}, floor=0.0) == HalfLife(9.0, is_censored=True)
    assert str(half_life({0: 1.0, 9: 0.7}, floor=0.0)) == "> 9"
    assert half_life({0: 0.1, 2: 0.1}, floor=0.1) is None and half_life({2: 0.9}, floor=0.0) is None


def test_turnover_counts_single_questions() -> None:
    first = [row(1, 1, right=True), row(2, 1, right=True), row(3, 1, right=False)]
    last = [
        row(1, 1, right=True), row(2, 1, right=False), row(3, 1, right=True), row(4, 2, right=True, num_changes=1),
        row(5, 2, right=False),
    ]  # fmt: skip
    lines = [
        UpdateLine(update=number, cost=UpdateCost(seconds=1.0), is_point=True, rows=tuple(asked))
        for number, asked in ((1, first), (2, last))
    ]
    found = turnover(Outcome(lines, fresh=False))
    assert found == (2, 1, 1) and found.ratio == pytest.approx(1 / 3)
