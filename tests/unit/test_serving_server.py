"""Versions, swaps, refusals and endings of the model server."""

import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from agent.decoding import DeadlinePassed, GenerationCancelled, GenerationFailed, Verdict
from agent.sampling import Sampling, TokenLogprobs
from agent.serving import ModelServer, ServerBusy, ServerClosed
from memory_log.errors import BadInput, DeltaCorrupt, DeltaMismatch, UnknownVersion
from tests.serving_fixtures import (
    EOS,
    NEAR_TIE,
    NUM_TOKEN_IDS,
    PAD,
    answer_alone,
    prompts,
    tiny_model,
    version_model,
    version_weights,
)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(tiny_model(), eos_token_ids=EOS, pad_token_id=PAD) as server:
        yield server


def _wait_until(holds: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.002)


class Held:
    """Watches an answer and holds decoding up at its tokens, until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, _token_id: int, _logprobs: TokenLogprobs | None) -> Verdict:
        self.begun.set()
        self.go_on.wait(60)
        return "go on"


def _num_models_alive() -> int:
    gc.collect()
    return sum(issubclass(type(thing), LlamaForCausalLM) for thing in gc.get_objects())


def test_a_swap_under_load_fails_none_and_mixes_none() -> None:
    num_clients, num_versions = 6, 8
    asked = list(prompts(40, longest=30))
    answers = []
    stop = threading.Event()

    def ask_all_the_time(client: int) -> None:
        turn = client
        while not stop.is_set():
            prompt = asked[turn % len(asked)]
            answers.append((prompt, server.submit(prompt, max_new_tokens=24).result(60)))
            turn += num_clients

    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=4) as server:
        clients = [threading.Thread(target=ask_all_the_time, args=(number,)) for number in range(num_clients)]
        for client in clients:
            client.start()
        for version in range(1, num_versions):
            before = len(answers)
            server.prepare(version, version_weights(version))
            server.activate(version)
            _wait_until(lambda: len(answers) >= before + 12)  # noqa: B023 - called at once
        stop.set()
        for client in clients:
            client.join()
        stats = server.stats()

    assert stats.num_failed == 0 and stats.num_answered == stats.num_requests == len(answers)
    assert {answer.version for _, answer in answers} == set(range(num_versions))
    assert all(swap.num_in_flight > 0 for swap in stats.swaps) and len(stats.swaps) == num_versions - 1
    assert len(stats.loaded_versions) == 3
    for prompt, answer in answers:
        if answer.min_top2_gap >= NEAR_TIE:
            assert answer.token_ids == answer_alone(version_model(answer.version), prompt, 24, eos_token_ids=())


def test_a_request_keeps_the_version_it_was_bound_to_although_a_swap_comes_first(server: ModelServer) -> None:
    prompt = next(prompts(1, seed=3))
    blocker = [server.submit(p) for p in prompts(16, seed=4)]  # fills the batch, so that the next request waits
    bound_before = server.submit(prompt)
    server.prepare(1, version_weights(1))
    server.activate(1)
    bound_after = server.submit(prompt)
    assert bound_before.result(60).version == 0 and bound_after.result(60).version == 1
    assert bound_before.result().token_ids == answer_alone(version_model(0), prompt, 48)
    assert bound_after.result().token_ids == answer_alone(version_model(1), prompt, 48)
    assert all(future.result(60).version == 0 for future in blocker)


def test_a_pinned_version_answers_beside_the_one_that_serves(server: ModelServer) -> None:
    server.prepare(1, version_weights(1))
    server.activate(1)
    prompt = next(prompts(1, seed=5))
    pinned, newest = server.submit(prompt, version=0), server.submit(prompt)
    assert (pinned.result(60).version, newest.result(60).version) == (0, 1)
    with pytest.raises(UnknownVersion, match=r"version 99 is not loaded, loaded are: 0, 1"):
        server.submit(prompt, version=99)
    with pytest.raises(UnknownVersion, match="99"):
        server.activate(99)
    assert server.stats().serving_version == 1


def test_the_least_recently_used_version_is_released_and_its_memory_with_it(server: ModelServer) -> None:
    alive = _num_models_alive()
    for version in (1, 2):
        server.prepare(version, version_weights(version))
    server.submit([20], version=0).result(60)  # version 1 is now the one not used for longest
    server.activate(2)
    assert server.stats().loaded_versions == (0, 1, 2)
    server.prepare(3, version_weights(3))
    assert server.stats().loaded_versions == (0, 2, 3)
    server.activate(3)
    server.prepare(4, version_weights(4))
    assert server.stats().loaded_versions == (2, 3, 4)
    # The caller of this fixture no longer holds version 0, so three copies are all there is besides the skeletons.
    _wait_until(lambda: _num_models_alive() <= alive + 2)


def test_an_old_version_above_the_limit_stays_until_its_last_request_ends() -> None:
    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_versions=2, max_batch=1) as server:
        old = [server.submit([20], max_new_tokens=200) for _ in range(2)]
        server.prepare(1, version_weights(1))
        server.activate(1)
        server.prepare(2, version_weights(2))
        assert server.stats().loaded_versions == (0, 1, 2) and not old[1].done()
        server.activate(2)
        assert server.stats().loaded_versions == (0, 2)
        assert [future.result(60).version for future in old] == [0, 0]
        server.prepare(3, version_weights(3))
        assert server.stats().loaded_versions == (2, 3)


def _without_one(state: dict[str, Tensor]) -> None:
    del state["model.norm.weight"]


def _with_a_stranger(state: dict[str, Tensor]) -> None:
    state["model.layers.7.mlp.up_proj.weight"] = torch.zeros(2)


def _wrong_shape(state: dict[str, Tensor]) -> None:
    state["model.norm.weight"] = torch.zeros(3)


def _wrong_dtype(state: dict[str, Tensor]) -> None:
    state["model.norm.weight"] = state["model.norm.weight"].half()


def _untied(state: dict[str, Tensor]) -> None:
    state["lm_head.weight"] = state["lm_head.weight"] + 1


def _not_finite(state: dict[str, Tensor]) -> None:
    state["model.norm.weight"] = torch.full_like(state["model.norm.weight"], torch.nan)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (_without_one, DeltaMismatch, "1 missing .*norm"),
        (_with_a_stranger, DeltaMismatch, r"1 unknown .*layers\.7"),
        (_wrong_shape, DeltaMismatch, r"\(3,\), needed is .*\(64,\)"),
        (_wrong_dtype, DeltaMismatch, "float16"),
        (_untied, DeltaMismatch, "ties"),
        (_not_finite, DeltaCorrupt, "64 values that are NaN"),
    ],
)
def test_a_spoiled_version_is_refused_and_serving_goes_on(
    server: ModelServer, spoil: Callable[[dict[str, Tensor]], None], error: type[Exception], message: str
) -> None:
    state = dict(version_weights(1))
    spoil(state)
    prompt = next(prompts(1, seed=6))
    in_flight = server.submit(prompt)
    with pytest.raises(error, match=message):
        server.prepare(1, state)
    assert server.stats().loaded_versions == (0,)
    for future in (in_flight, server.submit(prompt)):
        assert future.result(60).token_ids == answer_alone(version_model(0), prompt, 48)


def test_one_of_two_tied_tensors_is_enough(server: ModelServer) -> None:
    state = dict(version_weights(1))
    del state["lm_head.weight"]
    server.prepare(1, state)
    prompt = next(prompts(1, seed=7))
    assert server.submit(prompt, version=1).result(60).token_ids == answer_alone(version_model(1), prompt, 48)


def test_a_prepared_version_does_not_share_memory_with_what_was_given(server: ModelServer) -> None:
    state = {name: tensor.clone() for name, tensor in version_weights(1).items()}
    server.prepare(1, state)
    for tensor in state.values():
        tensor.zero_()
    prompt = next(prompts(1, seed=8))
    assert server.submit(prompt, version=1).result(60).token_ids == answer_alone(version_model(1), prompt, 48)


def test_a_version_number_never_means_other_weights(server: ModelServer) -> None:
    server.prepare(1, version_weights(1))
    server.prepare(1, version_weights(1))
    with pytest.raises(DeltaMismatch, match="never reused"):
        server.prepare(1, version_weights(2))
    with pytest.raises(DeltaMismatch, match="never reused"):
        server.prepare(0, version_weights(2))


def test_activating_what_serves_is_no_swap(server: ModelServer) -> None:
    server.activate(0)
    assert server.stats().swaps == ()


@pytest.mark.parametrize(
    ("prompt", "limit", "message"),
    [
        ([], 4, "prompt of 0 tokens"),
        ([20], 0, "max_new_tokens 0"),
        ([20] * 256, 4, "256 tokens, this model reads at most 256"),
        ([NUM_TOKEN_IDS], 4, "token id 300, this model has 0 to 299"),
        ([-1], 4, "token id -1"),
    ],
)
def test_a_bad_request_is_refused_alone(server: ModelServer, prompt: list[int], limit: int, message: str) -> None:
    others = [server.submit(p) for p in prompts(3, seed=9)]
    with pytest.raises(BadInput, match=message):
        server.submit(prompt, max_new_tokens=limit)
    assert all(future.result(60) for future in others)
    stats = server.stats()
    assert (stats.num_refused, stats.num_failed, stats.num_answered) == (1, 0, 3)


def test_ids_are_whole_numbers(server: ModelServer) -> None:
    with pytest.raises(TypeError):
        server.submit([20.5])
    assert (
        server.submit(list(torch.tensor([20, 30]))).result(60).token_ids == server.submit([20, 30]).result(60).token_ids
    )


def test_logits_that_overflow_fail_their_own_version_only(server: ModelServer) -> None:
    norm = version_weights(1)["model.norm.weight"]
    server.prepare(1, {**version_weights(1), "model.norm.weight": norm * 3e38})
    prompt = next(prompts(1, seed=10))
    broken, fine = server.submit(prompt, version=1), server.submit(prompt, version=0)
    with pytest.raises(GenerationFailed, match="version 1 gave the logit"):
        broken.result(60)
    assert fine.result(60).token_ids == answer_alone(version_model(0), prompt, 48)
    assert server.stats().num_failed == 1


def test_an_error_inside_the_model_fails_that_batch_and_the_server_goes_on(
    server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    broken = tiny_model(seed=5)
    broken.model.layers[1].register_forward_pre_hook(fail)
    with ModelServer(broken, eos_token_ids=EOS, pad_token_id=PAD) as failing:
        with pytest.raises(GenerationFailed, match="out of memory"):
            failing.submit([20]).result(60)
        broken.model.layers[1]._forward_pre_hooks.clear()
        assert failing.submit([20]).result(60).version == 0
    assert "a batch of version 0 failed, 1 requests with it" in caplog.text


def test_a_request_can_be_cancelled_while_it_waits() -> None:
    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=1) as server:
        first, second, third = (server.submit([20], max_new_tokens=60) for _ in range(3))
        assert second.cancel()
        assert len(first.result(60).token_ids) == len(third.result(60).token_ids) == 60
        stats = server.stats()
    assert (stats.num_cancelled, stats.num_answered, stats.num_in_flight) == (1, 2, 0)


def test_closing_finishes_what_is_decoded_and_fails_what_waits() -> None:
    server = ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=1)
    running, waiting = server.submit([20], max_new_tokens=100), server.submit([20])
    _wait_until(running.running)
    server.close()
    server.close()
    assert len(running.result(0).token_ids) == 100
    with pytest.raises(ServerClosed, match="closed while this request waited"):
        waiting.result(0)
    with pytest.raises(ServerClosed):
        server.submit([20])
    with pytest.raises(ServerClosed):
        server.prepare(1, version_weights(1))
    stats = server.stats()
    assert (stats.num_answered, stats.num_failed, stats.num_in_flight) == (1, 1, 0)


def test_a_seeded_answer_does_not_depend_on_who_shares_its_batch(server: ModelServer) -> None:
    asked = list(prompts(6, seed=3))
    sampling = Sampling(temperature=1.0, top_p=0.9, seed=11)
    alone = [server.submit(prompt, sampling=sampling).result(60).token_ids for prompt in asked]
    together = [server.submit(prompt, sampling=sampling) for prompt in asked]
    greedy = [server.submit(prompt) for prompt in asked]
    assert [future.result(60).token_ids for future in together] == alone
    assert [future.result(60).token_ids for future in greedy] != alone


def test_every_token_is_shown_as_it_comes_with_its_logprob(server: ModelServer) -> None:
    seen: list[tuple[int, TokenLogprobs | None]] = []

    def watch(token_id: int, logprobs: TokenLogprobs | None) -> Verdict:
        seen.append((token_id, logprobs))
        return "go on"

    prompt = next(prompts(1, seed=4))
    answer = server.submit(prompt, watch=watch, sampling=Sampling(num_logprobs=2)).result(60)
    assert [token_id for token_id, _ in seen] == list(answer.token_ids)
    assert [kept for _, kept in seen] == list(answer.logprobs)
    logits = tiny_model()(input_ids=torch.tensor([prompt])).logits[0, -1].detach()
    assert answer.logprobs[0].logprob == pytest.approx(float(logits.log_softmax(-1).max()), abs=1e-4)
    assert answer.token_ids == answer_alone(tiny_model(), prompt, 48)


def test_who_watches_may_end_an_answer_or_give_it_up() -> None:
    verdicts: dict[str, Verdict] = {"stopped": "stop", "given up": "give up"}
    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD) as server:
        futures = {
            name: server.submit([20], watch=lambda _id, _logprobs, verdict=verdict: verdict)  # type: ignore[misc]
            for name, verdict in verdicts.items()
        }
        bystander = server.submit([20], max_new_tokens=30)
        ended = futures["stopped"].result(60)
        assert (len(ended.token_ids), ended.finish_reason) == (1, "stop")
        with pytest.raises(GenerationCancelled):
            futures["given up"].result(60)
        assert len(bystander.result(60).token_ids) == 30
        stats = server.stats()
        assert (stats.num_answered, stats.num_cancelled, stats.num_failed, stats.num_in_flight) == (2, 1, 0, 0)


def test_a_watcher_that_fails_ends_its_own_answer_only() -> None:
    def failing(_token_id: int, _logprobs: TokenLogprobs | None) -> Verdict:
        raise ZeroDivisionError

    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD) as server:
        failed, bystander = server.submit([20], watch=failing), server.submit([21], max_new_tokens=5)
        with pytest.raises(GenerationFailed, match="ZeroDivisionError"):
            failed.result(60)
        assert len(bystander.result(60).token_ids) == 5


def test_a_deadline_ends_what_waits_and_what_is_being_decoded() -> None:
    now = [0.0]

    def passing(_token_id: int, _logprobs: TokenLogprobs | None) -> Verdict:
        now[0] += 1.0
        return "go on"

    with ModelServer(
        tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=1, clock=lambda: now[0]
    ) as server:
        decoded = server.submit([20], watch=passing, timeout_seconds=4.5, max_new_tokens=100)
        waiting = server.submit([21], timeout_seconds=2.5)
        patient = server.submit([22], max_new_tokens=3)
        for late in (waiting, decoded):
            with pytest.raises(DeadlinePassed, match="its time was over"):
                late.result(60)
        assert len(patient.result(60).token_ids) == 3
        assert server.stats().num_failed == 2


def test_a_full_queue_refuses_and_takes_requests_again_later() -> None:
    held = Held()

    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=1, max_waiting=2) as server:
        first = server.submit([20], watch=held, max_new_tokens=2)
        assert held.begun.wait(60)
        waiting = [server.submit([21], max_new_tokens=2) for _ in range(2)]
        with pytest.raises(ServerBusy, match="ask again"):
            server.submit([22])
        assert server.stats().num_waiting == 2
        held.go_on.set()
        for future in (first, *waiting):
            assert len(future.result(60).token_ids) == 2
        assert len(server.submit([22], max_new_tokens=2).result(60).token_ids) == 2
        assert server.stats().num_refused == 1


def test_when_decoding_itself_breaks_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()

    server = ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=1)
    decoded = server.submit([20], watch=held)
    assert held.begun.wait(60)
    waiting = server.submit([21])

    def broken(_now: float = 0.0) -> list[object]:
        raise MemoryError("none left")

    monkeypatch.setattr(server._schedule, "turn", broken)
    held.go_on.set()
    with pytest.raises(GenerationFailed, match="none left"):
        decoded.result(60)
    with pytest.raises(ServerClosed):
        waiting.result(60)
    with pytest.raises(ServerClosed):
        server.submit([22])
    assert server.is_closed
    server.close()


def test_a_waiting_request_that_was_given_up_makes_room() -> None:
    held = Held()

    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=1, max_waiting=1) as server:
        long = server.submit([20], watch=held, max_new_tokens=100)
        assert held.begun.wait(60)
        assert server.submit([21]).cancel()
        held.go_on.set()
        _wait_until(lambda: server.stats().num_waiting == 0)
        assert len(server.submit([22], max_new_tokens=2).result(60).token_ids) == 2
        assert len(long.result(60).token_ids) == 100
        assert server.stats().num_cancelled == 1
