"""The arithmetic of the freshness benchmark, on streams worked out by hand."""

import itertools

import pytest

from agent.intervals import quantile
from benchmarks.freshness import QUICK, Plan
from benchmarks.freshness_stream import Lived, arrivals, growth, max_backlog, sustained_per_minute, waits
from memory_log.errors import BadInput


def test_arrivals_are_ordered_equal_for_equal_seeds_and_come_at_the_rate() -> None:
    moments = arrivals(4000, per_minute=30, seed=1)
    assert moments == sorted(moments) == arrivals(4000, per_minute=30, seed=1) != arrivals(4000, per_minute=30, seed=2)
    assert moments[-1] == pytest.approx(4000 / 30 * 60, rel=0.1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert sum(gap > 2 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.03), "a gap longer than the mean: 1/e"


@pytest.mark.parametrize("rate", [0, -3])
def test_a_rate_that_brings_nothing_is_refused(rate: float) -> None:
    with pytest.raises(BadInput, match="more than 0"):
        arrivals(1, per_minute=rate, seed=0)


def test_waits_run_from_event_to_known_and_leave_out_what_never_was() -> None:
    stream = [Lived(0.0, 10.0), Lived(4.0, 10.0), Lived(5.0, is_refused=True), Lived(6.0, 30.0)]
    assert waits(stream) == [10.0, 6.0, 24.0]
    assert quantile(waits(stream), 0.5) == 10.0 and quantile(waits(stream), 0.95) == 24.0


def test_the_backlog_is_what_came_and_is_not_known_yet_at_any_moment() -> None:
    assert max_backlog([]) == 0
    assert max_backlog([Lived(0.0, 1.0), Lived(1.0, 2.0)]) == 1, "known and come at one moment: the known goes first"
    assert max_backlog([Lived(0.0, 9.0), Lived(1.0, 3.0), Lived(2.0, 3.0), Lived(4.0, 9.0)]) == 3
    assert max_backlog([Lived(0.0), Lived(1.0, 3.0), Lived(5.0)]) == 2, "what never was known stays"
    assert max_backlog([Lived(0.0, is_refused=True), Lived(1.0, 3.0)]) == 1


def test_the_sustained_rate_leaves_out_the_time_to_the_first_version() -> None:
    stream = [Lived(0.0, 90.0), Lived(0.0, 90.0), Lived(0.0, 120.0), Lived(1.0, 120.0), Lived(2.0, 150.0)]
    assert sustained_per_minute(stream) == pytest.approx(3.0)
    with pytest.raises(BadInput, match="two are needed"):
        sustained_per_minute(stream[:2])


def test_growth_compares_the_last_tenth_with_the_first() -> None:
    assert growth([100.0] * 10 + [500.0] * 80 + [110.0] * 10) == pytest.approx(1.1)
    assert growth([7.0]) == 1.0
    for nothing in ([], [0.0, 5.0]):
        with pytest.raises(BadInput, match="last longer"):
            growth(nothing)


def test_whole_batches_come_at_full_speed_and_some_experiences_are_left_to_stream() -> None:
    assert Plan(1000, 32, 5.0, None, 2).num_at_full_speed == 256
    assert Plan(200, 32, 5.0, None, 2).num_at_full_speed == 96
    assert QUICK.num_at_full_speed < QUICK.num_experiences


def test_three_batches_come_at_full_speed_where_the_time_of_the_stream_is_given() -> None:
    assert Plan(1000, 32, 5.0, None, 2, most_seconds=900).num_at_full_speed == 96
