"""A server that follows the log's head, by copies and in place."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.following import FollowingServer
from memory_log.blobs import BlobStore
from memory_log.errors import UnknownVersion
from memory_log.log import MemoryLog
from tests.api_server import FACTOR_SIZE, own_base
from tests.model_fixtures import grow, random_differences, random_factors, tiny_base
from tests.serving_fixtures import answer_alone
from updater.fold import VersionWeights, load_weights
from updater.language_model import weights_hash, weights_of
from updater.streaming import WeightsOnDisk

PROMPT = (20, 21, 22, 23)


@contextmanager
def following(
    log: MemoryLog, folder: Path, *, in_place: bool, drain_seconds: float = 30.0
) -> Iterator[FollowingServer]:
    base = own_base()
    stored = WeightsOnDisk(weights_of(base.model), folder) if in_place else None
    weights = VersionWeights(base, log, BlobStore(folder / "blobs"), base_weights=stored)
    with FollowingServer(
        base, log, weights, "default", in_place=in_place, drain_seconds=drain_seconds
    ) as server:
        yield server


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{tmp_path}/log.db") as log:
        log.ensure_lineage("default", base_fingerprint=tiny_base().fingerprint)
        yield log


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.005)


def _right(log: MemoryLog, folder: Path, number: int) -> tuple[int, ...]:
    base = own_base()
    load_weights(base.model, VersionWeights(tiny_base(), log, BlobStore(folder / "blobs")).weights("default", number))
    return answer_alone(base.model, PROMPT, 8, base.dialogue.eos_token_ids)


def _answer(server: FollowingServer) -> tuple[int, tuple[int, ...]]:
    said = server.server.submit(PROMPT, max_new_tokens=8).result(60)
    return said.version, said.token_ids


@pytest.mark.parametrize("in_place", [False, True])
def test_new_versions_and_steps_back_are_taken_up_by_themselves(
    log: MemoryLog, tmp_path: Path, *, in_place: bool
) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with following(log, tmp_path, in_place=in_place) as server:
        for seed in (1, 2):
            grow(log, blobs, random_factors(seed, size=FACTOR_SIZE))
            _wait_until(lambda: server.server.serving_version == log.head("default").number and server.is_merged)
            assert _answer(server) == (seed, _right(log, tmp_path, seed))
        log.rollback("default", 1)
        _wait_until(lambda: server.server.serving_version == 1)
        assert _answer(server) == (1, _right(log, tmp_path, 1))
        grow(log, blobs, random_differences(3, size=FACTOR_SIZE))  # no factors: a copy
        _wait_until(lambda: server.server.serving_version == 3)
        assert _answer(server) == (3, _right(log, tmp_path, 3))
        server.load(2)
        pinned = server.server.submit(PROMPT, version=2, max_new_tokens=8).result(60)
        assert pinned.token_ids == _right(log, tmp_path, 2)
        with pytest.raises(UnknownVersion):
            server.load(9)


def test_in_place_there_is_one_model_with_the_recorded_hash(log: MemoryLog, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    grow(log, blobs, random_factors(1, size=FACTOR_SIZE))
    with following(log, tmp_path, in_place=True) as server:
        assert server.server.stats().loaded_versions == (1,)
        for seed in range(2, 7):
            grow(log, blobs, random_factors(seed, size=FACTOR_SIZE))
            _wait_until(lambda: server.server.serving_version == log.head("default").number and server.is_merged)
            assert server.server.stats().loaded_versions == (seed,)
            assert weights_hash(weights_of(server.base.model)) == log.head("default").weights_hash


def test_a_new_version_does_not_wait_for_ever_for_an_old_request(log: MemoryLog, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with following(log, tmp_path, in_place=True, drain_seconds=0.05) as server:
        is_over: list[bool] = []
        slow = server.server.submit(
            PROMPT, max_new_tokens=200, watch=lambda *_: time.sleep(0.01) or ("stop" if is_over else "go on")
        )  # fmt: skip
        grow(log, blobs, random_factors(1, size=FACTOR_SIZE))
        _wait_until(lambda: server.server.serving_version == 1)
        assert not server.is_merged or slow.done()
        grow(log, blobs, random_factors(2, size=FACTOR_SIZE))
        _wait_until(lambda: server.server.serving_version == 2)
        assert _answer(server) == (2, _right(log, tmp_path, 2))
        is_over.append(True)
        assert slow.result(60).version == 0
        _wait_until(lambda: server.is_merged)
