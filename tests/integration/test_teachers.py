"""Whose expectations are taught: theta_0's, the current version's, or an average's over the lineage's versions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memory_log.blobs import BlobStore
from memory_log.log import MemoryLog
from tests.model_fixtures import grow, random_factors, tiny_base, tiny_llama
from updater.fold import VersionWeights
from updater.language_model import weights_of
from updater.settings import TeacherSettings
from updater.teacher import moved_average, teacher_of


@pytest.fixture
def lineage(tmp_path: Path) -> Iterator[tuple[MemoryLog, VersionWeights, BlobStore]]:
    blobs = BlobStore(tmp_path / "blobs")
    with MemoryLog(f"sqlite:///{tmp_path / 'log.sqlite3'}") as log:
        log.ensure_lineage("default", base_fingerprint=tiny_base().fingerprint)
        yield log, VersionWeights(tiny_base(), log, blobs), blobs


def teaching(log: MemoryLog, versions: VersionWeights, settings: TeacherSettings) -> PreTrainedModel:
    return teacher_of(settings, tiny_base(), versions, log, tiny_llama(seed=3))("default")


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_theta_0_teaches_whatever_a_lineage_has_learned(
    lineage: tuple[MemoryLog, VersionWeights, BlobStore],
) -> None:
    log, versions, blobs = lineage
    grow(log, blobs, random_factors(1))
    assert teaching(log, versions, TeacherSettings()) is tiny_base().model


def test_the_current_version_teaches_with_the_weights_of_the_head(
    lineage: tuple[MemoryLog, VersionWeights, BlobStore],
) -> None:
    log, versions, blobs = lineage
    settings = TeacherSettings(weights="current")
    assert largest_difference(weights_of(teaching(log, versions, settings)), weights_of(tiny_base().model)) == 0
    grow(log, blobs, random_factors(1))
    head = versions.weights("default", 1)
    assert largest_difference(weights_of(teaching(log, versions, settings)), head) == 0
    assert largest_difference(head, weights_of(tiny_base().model)) > 0.01


def test_the_average_moves_by_its_share_towards_each_version_and_begins_anew_after_a_rollback(
    lineage: tuple[MemoryLog, VersionWeights, BlobStore],
) -> None:
    log, versions, blobs = lineage
    teacher = teacher_of(
        TeacherSettings(weights="average", average_decay=0.75), tiny_base(), versions, log, tiny_llama(seed=3)
    )
    expected = dict(weights_of(tiny_base().model))
    for number in (1, 2):
        grow(log, blobs, random_factors(number))
        head = versions.weights("default", number)
        expected = {name: 0.75 * expected[name] + 0.25 * head[name] for name in head}
        assert largest_difference(weights_of(teacher("default")), expected) < 1e-5
    log.rollback("default", 0)
    assert largest_difference(weights_of(teacher("default")), weights_of(tiny_base().model)) == 0


def test_an_average_keeps_what_it_is_told_to_keep() -> None:
    one, other = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([8.0, 4.0])}
    assert moved_average(one, other, 0.75)["w"].tolist() == [2.0, 4.0]
