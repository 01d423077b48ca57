"""The serving actor is killed in the middle of its work and comes back with the version that the log names."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import ray

from agent.actors import start_serving_actor
from agent.decoding import Generation
from tests.serving_fixtures import NEAR_TIE, FolderWeights, answer_alone, load_served_model, prompts, version_model

pytestmark = pytest.mark.usefixtures("ray_session")


def _wait_until_more_than(count: int, answers: Sequence[object], *, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while len(answers) <= count:
        assert time.monotonic() < deadline, f"only {len(answers)} answers after {seconds} s"
        time.sleep(0.01)


def test_a_killed_actor_comes_back_with_its_version_and_answers_every_request(tmp_path: Path) -> None:
    weights = FolderWeights(tmp_path)
    for version in (1, 2):
        weights.write(version)
    serving = start_serving_actor(load_served_model, weights)
    asked = list(prompts(10))
    answers: list[tuple[tuple[int, ...], Generation]] = []
    errors: list[Exception] = []
    stop = threading.Event()

    def ask_all_the_time(client: int) -> None:
        turn = client
        while not stop.is_set():
            prompt = asked[turn % len(asked)]
            try:
                answers.append((prompt, ray.get(serving.answer.remote(prompt), timeout=240)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
                errors.append(error)
                return
            turn += 1

    clients = [threading.Thread(target=ask_all_the_time, args=(number,)) for number in range(4)]
    try:
        for client in clients:
            client.start()
        pids = {ray.get(serving.pid.remote())}
        _wait_until_more_than(0, answers)
        for version in (1, 2):
            weights.serve(version)
            assert ray.get(serving.refresh.remote()) == version
            pending = [serving.answer.remote(prompt) for prompt in asked * 4]
            pid, stats = ray.get([serving.pid.remote(), serving.stats.remote()])
            assert stats.num_in_flight > 0
            os.kill(pid, signal.SIGKILL)
            assert {answer.version for answer in ray.get(pending, timeout=120)} == {version}
            pids.add(ray.get(serving.pid.remote(), timeout=120))
            assert ray.get(serving.stats.remote()).serving_version == version
            _wait_until_more_than(len(answers) + len(clients), answers)
    finally:
        stop.set()
        for client in clients:
            client.join(180)
        ray.kill(serving)

    assert errors == [] and len(pids) == 3
    assert {answer.version for _, answer in answers} == {0, 1, 2}
    for prompt, answer in answers:
        if answer.min_top2_gap >= NEAR_TIE:
            assert answer.token_ids == answer_alone(version_model(answer.version), prompt, 48)


def test_a_refresh_that_was_killed_on_its_way_is_done_by_the_next_process(tmp_path: Path) -> None:
    weights = FolderWeights(tmp_path)
    weights.write(1)
    serving = start_serving_actor(load_served_model, weights)
    try:
        pid = ray.get(serving.pid.remote())
        weights.serve(1)
        refreshed = serving.refresh.remote()
        os.kill(pid, signal.SIGKILL)
        assert ray.get(refreshed, timeout=300) == 1
        assert ray.get(serving.answer.remote([20]), timeout=120).version == 1
    finally:
        ray.kill(serving)
