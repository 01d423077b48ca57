"""What a demo shows: a screen on a terminal, lines elsewhere, and a table at the end."""

import io

import pytest
from rich.console import Console

from agent.demo_measures import UpdateRow
from agent.display import UPDATE_HEADINGS, Display, updates_table
from agent.worker import UpdateOutcome
from memory_log.clock import utc_now
from updater.report import UpdateReport


def console_of(*, is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=120, highlight=False)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def update_row(**changes: object) -> UpdateRow:
    now = utc_now()
    report = UpdateReport(version=3, parent=2, admitted=True, num_experiences=5, num_sentences=87, kl_before_nats=2.5)
    outcome = UpdateOutcome(report=report, started_at=now, admitted_at=now, visible_at=now)
    values = {
        "update": 2, "version": 3, "num_learned": 4, "num_refused": 1, "efficacy": 0.9, "retention": 0.8,
        "false_recall": 0.0, "outcome": outcome, **changes,
    }  # fmt: skip
    return UpdateRow(**values)


@pytest.mark.parametrize(("plain", "is_terminal"), [(True, True), (True, False), (False, False)])
def test_events_are_lines_without_a_screen(plain: bool, is_terminal: bool) -> None:
    console = console_of(is_terminal=is_terminal)
    with Display(plain=plain, console=console) as display:
        display.event(1.25, "version 1 serves [5 experiences]")
        display.show(version=1, stage="training")
    assert written(console).strip() == "1.2 s  version 1 serves [5 experiences]"


def test_a_screen_shows_queue_version_progress_and_answers_that_change() -> None:
    console = console_of(is_terminal=True)
    with Display(plain=False, console=console) as display:
        assert display.is_live
        display.show(counts={"pending": 5, "leased": 2, "learned": 10}, version=2)
        display.show(stage="training", num_done=3, num_total=40)
        display.event(2.0, "an event")
        display.answered("Where is it?", "it is somewhere unknown", "it is in the hall (version 2)", is_right=True)
    shown = written(console)
    expected = ("pending 5", "leased 2", "learned 10", "version 2", "training 3/40", "an event", "Where is it?", "hall")
    assert [words for words in expected if words not in shown] == []


def test_the_table_has_a_row_for_each_update_also_for_one_that_taught_nothing() -> None:
    console = console_of(is_terminal=False)
    lost = update_row(update=3, version=None, num_learned=0, num_refused=5, efficacy=0.0, retention=None, outcome=None)
    console.print(updates_table([update_row(), lost]))
    shown = written(console)
    assert all(heading in shown for heading in UPDATE_HEADINGS)
    assert "4 (1 refused)" in shown and "87" in shown and "0 (5 refused)" in shown
