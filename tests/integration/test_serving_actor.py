"""The model server as a Ray actor: answers, swaps and versions on demand across processes."""

from collections.abc import Iterator

import pytest
import ray
from ray.actor import ActorHandle

from agent.actors import start_serving_actor
from memory_log.errors import BadInput, DeltaCorrupt, UnknownVersion
from tests.serving_fixtures import (
    NEAR_TIE,
    FolderWeights,
    answer_alone,
    load_served_model,
    prompts,
    version_model,
    version_weights,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> FolderWeights:
    weights = FolderWeights(tmp_path_factory.mktemp("weights"))
    for version in range(5):
        weights.write(version)
    return weights


@pytest.fixture(scope="module")
def started(ray_session: None, weights: FolderWeights) -> Iterator[ActorHandle]:
    actor = start_serving_actor(load_served_model, weights)
    yield actor
    ray.kill(actor)


@pytest.fixture
def serving(started: ActorHandle, weights: FolderWeights) -> ActorHandle:
    """The one actor of this file, which takes seconds to start, serving version 0 again."""
    weights.serve(0)
    ray.get(started.refresh.remote())
    return started


def test_an_actor_swaps_while_it_answers(serving: ActorHandle, weights: FolderWeights) -> None:
    asked = list(prompts(12))
    num_answered = ray.get(serving.stats.remote()).num_answered
    answers = []
    for version in (1, 2, 3):
        pending = [serving.answer.remote(prompt) for prompt in asked]
        stats = ray.get(serving.swap.remote(version))
        assert stats.serving_version == version and stats.num_failed == 0
        answers += zip(asked * 2, ray.get(pending + [serving.answer.remote(prompt) for prompt in asked]), strict=True)
    assert {answer.version for _, answer in answers} == {0, 1, 2, 3}
    for prompt, answer in answers:
        if answer.min_top2_gap >= NEAR_TIE:
            assert answer.token_ids == answer_alone(version_model(answer.version), prompt, 48)
    stats = ray.get(serving.stats.remote())
    assert stats.num_answered == stats.num_requests == num_answered + len(answers)


def test_arrays_can_be_swapped_in_and_bad_ones_are_refused(serving: ActorHandle) -> None:
    arrays = {name: tensor.numpy() for name, tensor in version_weights(7).items()}
    assert ray.get(serving.swap.remote(7, arrays)).serving_version == 7
    spoiled = {**arrays, "model.norm.weight": arrays["model.norm.weight"] * float("nan")}
    with pytest.raises(DeltaCorrupt, match="NaN"):
        ray.get(serving.swap.remote(8, spoiled))
    answer = ray.get(serving.answer.remote([20, 30]))
    assert answer.version == 7 and answer.token_ids == answer_alone(version_model(7), (20, 30), 48)


def test_any_version_of_the_source_can_be_asked_and_is_loaded_when_it_is(serving: ActorHandle) -> None:
    pending = [serving.answer.remote([40, 50], version) for version in (4, 2, 3, 1, 0, 2, 4)]
    for answer, version in zip(ray.get(pending), (4, 2, 3, 1, 0, 2, 4), strict=True):
        assert answer.version == version
        assert answer.token_ids == answer_alone(version_model(version), (40, 50), 48)
    stats = ray.get(serving.stats.remote())
    assert stats.serving_version == 0 and len(stats.loaded_versions) == 3


def test_errors_keep_their_type_across_processes(serving: ActorHandle) -> None:
    with pytest.raises(UnknownVersion, match="no version 99"):
        ray.get(serving.answer.remote([20], 99))
    with pytest.raises(BadInput, match="0 tokens"):
        ray.get(serving.answer.remote([]))


def test_refresh_follows_the_log_forwards_and_back(serving: ActorHandle, weights: FolderWeights) -> None:
    served = []
    for version in (1, 3, 2, 2, 0):
        weights.serve(version)
        served.append(ray.get(serving.refresh.remote()))
        assert ray.get(serving.answer.remote([20])).version == version
    assert served == [1, 3, 2, 2, 0]
