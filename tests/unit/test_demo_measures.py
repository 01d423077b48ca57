"""The demo's figures, worked out by hand for three updates, and the check of answers against their version."""

from pathlib import Path

import pytest

from agent.decoding import Generation
from agent.demo import closing_lines, results_folder
from agent.demo_check import check_version
from agent.demo_client import Ledger, Reply
from agent.demo_measures import ProbeRow, learning_figures, ratio, retention_matrix
from agent.figures import draw_retention
from memory_log.clock import utc_now
from memory_log.errors import BadInput
from tests.serving_fixtures import EOS, answer_alone, prompts, version_model


def row(cohort: int, after: int, correct: bool, **fields: object) -> ProbeRow:
    return ProbeRow(
        **{
            "probe_id": 10 * cohort + int(correct), "kind": "question", "cohort": cohort, "experience_id": cohort,
            "condition": "version", "after_update": after, "version": after, "question": "?", "right": "a", "said": "b",
            "correct": correct, "is_final": after == 3, **fields,
        }
    )  # fmt: skip


ROWS = [
    row(1, 1, True, condition="ceiling"), row(1, 1, True, condition="ceiling"),
    row(1, 1, True, condition="floor"), row(1, 1, False, condition="floor"),
    row(1, 1, True), row(1, 1, True), row(2, 2, True), row(2, 2, False), row(1, 2, True), row(1, 2, True),
    row(3, 3, True), row(3, 3, True), row(2, 3, True), row(2, 3, False), row(1, 3, False), row(1, 3, False),
    row(1, 3, True, kind="near_miss"), row(1, 3, True, kind="near_miss"), row(1, 3, True, kind="near_miss"),
    row(1, 3, False, kind="near_miss"), row(1, 1, False, kind="near_miss"),
]  # fmt: skip


def test_the_figures_are_shares_of_the_rows() -> None:
    figures = learning_figures(ROWS, 3)
    assert figures["ceiling"] == 1.0 and figures["floor"] == 0.5
    assert figures["efficacy"] == pytest.approx(5 / 6) and figures["efficacy_ratio"] == pytest.approx(5 / 6)
    assert figures["retention"] == 0.5 and figures["retention_by_lag"] == {"0": 1.0, "1": 0.5, "2": 0.0}
    assert figures["retention_lag_ge_4"] is None and figures["retention_ratio_lag_ge_4"] is None
    assert figures["false_recall"] == 0.25 and figures["num_near_misses"] == 4


def test_the_matrix_has_a_row_for_each_update_and_nothing_above_the_diagonal() -> None:
    assert retention_matrix(ROWS, 3) == [[1.0, None, None], [1.0, 0.5, None], [0.0, 0.5, 1.0]]


def test_a_ratio_needs_both_numbers() -> None:
    assert ratio(0.5, 0.5) == 1.0 and ratio(None, 1.0) is None and ratio(0.5, 0.0) is None


def test_the_picture_is_written(tmp_path: Path) -> None:
    draw_retention(retention_matrix(ROWS, 3), tmp_path / "retention.png", title="a demo")
    assert (tmp_path / "retention.png").read_bytes().startswith(b"\x89PNG")


def test_the_closing_lines_say_what_is_missing_too() -> None:
    summary = {
        **learning_figures([], 1), "num_requests": 3, "num_requests_during_updates": 2, "num_retried_requests": 1,
        "num_failed_requests": 0, "num_mixed_version_answers": 0, "num_checked_answers": 3, "num_near_ties": 0,
    }  # fmt: skip
    text = " ".join(closing_lines(summary))
    assert "false recall none" in text and "3 requests" in text and "0 failed" in text


def reply(version: int, prompt: tuple[int, ...], tokens: tuple[int, ...], *, gap: float = 1.0) -> Reply:
    finish = "stop" if len(tokens) < 20 else "length"
    generation = Generation(
        token_ids=tokens, version=version, finish_reason=finish, started_at=0.0, finished_at=1.0, min_top2_gap=gap
    )
    return Reply("?", "!", prompt, generation)


def test_only_answers_that_the_version_would_not_give_alone_count_as_mixed() -> None:
    own = [reply(1, prompt, answer_alone(version_model(1), prompt, 20)) for prompt in prompts(20)]
    verdict = check_version(version_model(1), own, eos_token_ids=EOS)
    assert (verdict.num_checked, verdict.num_mixed, verdict.num_near_ties) == (20, 0, 0)
    changed = own[0].generation.token_ids[:-1]
    wrong = [
        reply(1, own[0].prompt_ids, (*changed, 299)),  # another token
        reply(1, own[1].prompt_ids, own[1].generation.token_ids[:1]),  # ends where the version would go on
        reply(1, own[2].prompt_ids, (299,), gap=1e-5),
        *(reply(1, prompt, answer_alone(version_model(2), prompt, 20)) for prompt in prompts(3, seed=5)),
    ]
    verdict = check_version(version_model(1), [*own, *wrong], eos_token_ids=EOS)
    assert verdict.num_near_ties == 1 and verdict.num_mixed == 5


def test_the_ledger_counts_every_request_and_keeps_each_different_answer_once() -> None:
    ledger = Ledger()
    now = utc_now()
    ledger.answered([reply(1, (5,), (7,)), reply(1, (5,), (7,)), reply(2, (5,), (7,)), reply(1, (5,), (8,))], now)
    ledger.failed(2, TimeoutError("too late"))
    assert ledger.num_requests == 6 and ledger.num_failed == 2 and ledger.failures == {"TimeoutError: too late": 2}
    assert {version: len(replies) for version, replies in ledger.replies_by_version().items()} == {1: 2, 2: 1}
    assert ledger.num_answered_between([(now, now)]) == 4 and ledger.num_answered_between([]) == 0


def test_results_never_go_where_something_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = results_folder(None), results_folder(None)
    assert first != second and first.is_dir() and second.is_dir()
    (first / "summary.json").write_text("{}")
    with pytest.raises(BadInput, match="not an empty folder"):
        results_folder(first)
    assert results_folder(tmp_path / "a" / "b").is_dir()
