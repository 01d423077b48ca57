"""The contestants of `benchmarks.update_speed` do the same work, and their figures become metrics."""

import pytest

pytest.importorskip("trl", reason="the benchmark's extra is not installed")

from benchmarks.update_speed import Measured, metrics_of, one_round
from benchmarks.update_speed_contestants import ours, plain
from benchmarks.update_speed_setup import TINY, final_kl, model_of, work_of
from benchmarks.update_speed_step import peak_share, step_of
from updater.language_model import quiet_transformers, weights_hash, weights_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


def test_ours_the_paper_and_trl_learn_the_same_from_the_same_minibatches() -> None:
    quiet_transformers()
    model = model_of(TINY)
    before = weights_hash(weights_of(model))
    work = work_of(64, seed=0, vocabulary=TINY.vocabulary, num_steps=12)
    found = one_round(model, work)
    untrained = final_kl(model, model, work)
    assert list(found) == ["plain", "ours", "trl"]
    for one in found.values():
        assert one.final_kl_nats < 0.9 * untrained
        assert found["ours"].final_kl_nats == pytest.approx(one.final_kl_nats, rel=0.05)
    assert weights_hash(weights_of(model)) == before


def test_the_plain_way_says_which_sentences_each_of_its_steps_took() -> None:
    model = model_of(TINY)
    work = work_of(64, seed=0, vocabulary=TINY.vocabulary, num_steps=3)
    taken = plain(model, work, []).minibatches
    assert [len(set(places)) for places in taken] == [work.batch] * 3
    assert ours(model, work, taken).minibatches == taken


def test_a_step_has_products_and_a_share_of_the_fastest() -> None:
    step = step_of(model_of(TINY), work_of(64, seed=0, vocabulary=TINY.vocabulary, batch=8))
    assert step.flops > 1_000_000
    assert 0 < peak_share(step, "cpu") < 1


def test_a_ratio_above_one_means_that_ours_is_faster_or_ends_higher() -> None:
    once = {"plain": Measured(8.0, 2.0), "ours": Measured(2.0, 2.1), "trl": Measured(6.0, 2.0)}
    peaks = {"plain": 100, "ours": 25, "trl": 50}
    found = metrics_of({512: [once, once]}, {512: peaks})
    assert found["speedup_vs_plain_512"].mean == 4.0 and found["speedup_vs_plain_512"].met
    assert found["speedup_vs_trl_512"].mean == 3.0 and not found["speedup_vs_trl_512"].met
    assert found["memory_vs_plain_512"].mean == 0.25 and found["memory_vs_plain_512"].met
    assert found["final_kl_ratio_trl_512"].mean == pytest.approx(1.05)
