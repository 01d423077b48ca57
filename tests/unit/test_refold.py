"""Refolding on another machine: the bound on what rounding can do, and versions verified against the log."""

import itertools
import sqlite3
from pathlib import Path

import pytest
import torch
from torch import Tensor

from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from tests.model_fixtures import grow, random_differences, random_factors, tiny_base
from updater.delta import Change, Dense, LowRank
from updater.fold import VersionWeights, add_delta, rounded
from updater.language_model import weights_hash, weights_of
from updater.refold import MOST_TOGETHER, Sums, border_cases, bound_of, turned_to
from updater.verification import admitted, verify_versions

NAME = "model.norm.weight"
HALF_STEP = 2.0**-24  # of float32 at 1: 1 + HALF_STEP lies exactly between two numbers


def sums_of(base: dict[str, Tensor], chain: list[dict[str, Change]]) -> Sums:
    values = {name: weight.double() for name, weight in base.items()}
    sizes = {name: value.abs() for name, value in values.items()}
    num_terms = 1
    for changes in chain:
        values = add_delta(values, changes)
        for name, change in changes.items():
            sizes[name] = sizes[name] + change.size(torch.device("cpu"))
        num_terms += max(change.num_terms for change in changes.values())
    return Sums(values, sizes, num_terms)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_order_of_adding_leaves_the_bound(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    # Sizes such that the sum is small against its terms, as an unlucky chain would have it.
    base = {"w": torch.randn(40, 30, generator=generator).to(dtype)}
    chain: list[dict[str, Change]] = []
    for _ in range(5):
        A, B = torch.randn(7, 30, generator=generator), 50 * torch.randn(40, 7, generator=generator)
        chain += [{"w": LowRank(A, B)}, {"w": LowRank(A, -B)}]
    sums = sums_of(base, chain)
    cases = {case.place for case in border_cases(sums, base)}
    here = rounded(sums.values, base)["w"].reshape(-1)
    for order in itertools.islice(itertools.permutations(range(10)), 0, 3_000_000, 90_000):
        # One product after the other, in float64, in another order of factors and of ranks.
        other = base["w"].double()
        for place in order:
            factor = chain[place]["w"]
            assert isinstance(factor, LowRank)
            for rank in torch.randperm(7, generator=generator).tolist():
                other = other + torch.outer(factor.B[:, rank].double(), factor.A[rank].double())
        differing = torch.nonzero(other.to(dtype).reshape(-1) != here).reshape(-1).tolist()
        assert set(differing) <= cases


def test_a_sum_at_a_border_is_found_and_one_away_from_it_is_not() -> None:
    base = {"w": torch.tensor([1.0, 1.0, 1.0])}
    change = Dense(torch.tensor([HALF_STEP, 1.5 * HALF_STEP, 0.0]))
    sums = sums_of(base, [{"w": change}])
    (case,) = border_cases(sums, base)
    assert case.nearness == 0.0
    assert case.place == 0 and {case.other.item(), rounded(sums.values, base)["w"][0].item()} == {1.0, 1.0 + 2**-23}
    bound = bound_of([case], rounded(sums.values, base))
    assert bound == (1, 3, 2.0**-23)


def test_weights_are_turned_until_they_have_the_hash_and_no_further() -> None:
    base = {"w": torch.ones(5), "v": torch.ones(2)}
    half = {"w": Dense(torch.full((5,), HALF_STEP)), "v": Dense(torch.tensor([HALF_STEP, 0.0]))}
    sums = sums_of(base, [half])
    cases, here = border_cases(sums, base), rounded(sums.values, base)
    assert len(cases) == 6
    wanted = {"w": here["w"].clone(), "v": here["v"].clone()}
    wanted["w"][3], wanted["v"][0] = 1.0 + 2**-23, 1.0 + 2**-23
    recorded = weights_hash(wanted)
    found = turned_to(here, cases, lambda weights: weights_hash(weights) == recorded)
    assert found is not None and found[1] == 2 and weights_hash(found[0]) == recorded
    assert turned_to(here, cases, lambda weights: False) is None
    tried: list[dict[str, Tensor]] = []
    assert turned_to(here, [*cases, *cases], lambda weights: bool(tried.append(dict(weights)))) is None
    assert len(tried) == 2 * 6 + 2**MOST_TOGETHER - 1 - MOST_TOGETHER, "each alone, and the nearest in all combinations"


@pytest.fixture
def log(tmp_path: Path):  # noqa: ANN201
    with MemoryLog(f"sqlite:///{tmp_path / 'log.sqlite3'}") as opened:
        yield opened


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def record_hash(tmp_path: Path, number: int, recorded: str) -> None:
    with sqlite3.connect(tmp_path / "log.sqlite3") as connection:
        connection.execute("UPDATE versions SET weights_hash = ? WHERE number = ?", (recorded, number))
    connection.close()


def at_the_border(count: int) -> dict[str, Dense]:
    """A change that brings so many weights exactly between two numbers; the tiny model's last norm is all ones."""
    change = torch.zeros(32)
    change[:count] = HALF_STEP
    return {NAME: Dense(change)}


@pytest.mark.parametrize("num_turned", [1, 3])
def test_a_version_made_where_border_cases_round_otherwise_is_served_as_it_was_there(
    log: MemoryLog, blobs: BlobStore, tmp_path: Path, num_turned: int
) -> None:
    grow(log, blobs, at_the_border(4))
    elsewhere = dict(VersionWeights(tiny_base(), log, blobs).weights("default", 1))
    elsewhere[NAME] = elsewhere[NAME].clone()
    elsewhere[NAME][1 : 1 + num_turned] = 1.0 + 2**-23
    record_hash(tmp_path, 1, weights_hash(elsewhere))
    served = VersionWeights(tiny_base(), log, blobs).weights("default", 1)
    assert weights_hash(served) == weights_hash(elsewhere)
    (found,) = verify_versions(tiny_base(), log, blobs, "default", [1])
    assert (found.outcome, found.num_turned, found.num_undecided) == ("rounded otherwise", num_turned, 4)
    assert found.is_sound and found.largest_difference == 2.0**-23


def test_where_too_many_lie_at_a_border_the_bound_is_said_and_the_version_serves(
    log: MemoryLog, blobs: BlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grow(log, blobs, at_the_border(MOST_TOGETHER + 1))
    here = VersionWeights(tiny_base(), log, blobs).weights("default", 1)
    record_hash(tmp_path, 1, "0" * 64)
    served = VersionWeights(tiny_base(), log, blobs).weights("default", 1)
    assert weights_hash(served) == weights_hash(here)
    assert f"up to {MOST_TOGETHER + 1} of" in caplog.text and "1.2e-07 at most" in caplog.text
    (found,) = verify_versions(tiny_base(), log, blobs, "default", [1])
    assert (found.outcome, found.num_undecided, found.is_sound) == ("within the bound", MOST_TOGETHER + 1, True)


def test_versions_are_verified_from_deltas_and_from_snapshots(log: MemoryLog, blobs: BlobStore, tmp_path: Path) -> None:
    for seed in range(1, 5):
        grow(log, blobs, random_differences(seed) if seed % 2 else random_factors(seed))
    stored = VersionWeights(tiny_base(), log, blobs).store_snapshot("default", 3)
    assert admitted(log, "default") == [0, 1, 2, 3, 4]
    told: list[tuple[int, int]] = []
    found = list(
        verify_versions(tiny_base(), log, blobs, "default", [0, 1, 2, 3, 4], progress=lambda *one: told.append(one))
    )
    assert [one.outcome for one in found] == ["same"] * 5 and told[-1] == (5, 5)
    assert [one.snapshot for one in found] == ["none", "none", "none", "same", "none"]
    (blobs.root / stored.path).unlink()
    third = next(verify_versions(tiny_base(), log, blobs, "default", [3]))
    assert (third.outcome, third.snapshot) == ("same", "damaged") and not third.is_sound
    assert third.reason is not None and "snapshot" in third.reason
    delta = log.version("default", 2).delta
    assert delta is not None
    (blobs.root / delta.path).unlink()
    found = list(verify_versions(tiny_base(), log, blobs, "default", [1, 2, 4]))
    assert [one.outcome for one in found] == ["same", "other", "other"]
    assert found[1].reason is not None and "is not in" in found[1].reason


def test_a_hash_that_rounding_does_not_explain_is_said(log: MemoryLog, blobs: BlobStore, tmp_path: Path) -> None:
    grow(log, blobs, at_the_border(2))
    record_hash(tmp_path, 1, "0" * 64)
    (found,) = verify_versions(tiny_base(), log, blobs, "default", [1])
    assert found.outcome == "other" and found.reason is not None and "2 weights lie at a border" in found.reason
    assert weights_of(tiny_base().model)[NAME].unique().tolist() == [1.0], "the tests above rely on it"
