"""A version beside another one's weights: laid over, merged, discarded, under load."""

import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from agent.decoding import Verdict
from agent.overlay import Overlay, fits_over
from agent.serving import ModelServer, OverlayPending
from memory_log.errors import DeltaMismatch, UnknownVersion
from tests.serving_fixtures import NEAR_TIE, PAD, answer_alone, prompts, tiny_model
from updater.delta import Dense, LowRank

NAMES = ("model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight")


def factors(seed: int, size: float = 0.3) -> dict[str, LowRank]:
    """Rank 2, large enough that answers change."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: tiny_model().get_parameter(name).shape for name in NAMES}
    return {
        name: LowRank(
            torch.randn(2, shape[1], generator=generator), size * torch.randn(shape[0], 2, generator=generator)
        )
        for name, shape in shapes.items()
    }


def folded(model: LlamaForCausalLM, *changes: Mapping[str, LowRank]) -> LlamaForCausalLM:
    """The model with changes added, as a fold would."""
    made = copy.deepcopy(model)
    with torch.no_grad():
        for name in NAMES:
            weight = made.get_parameter(name)
            total = weight.double()
            for change in changes:
                total = total + change[name].summand(torch.device("cpu"))
            weight.copy_(total)
    return made


def weight_of(model: LlamaForCausalLM) -> Callable[[str], Tensor]:
    return lambda name: model.get_parameter(name).detach().clone()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(tiny_model(), eos_token_ids=(), pad_token_id=PAD, max_batch=4) as server:
        yield server


def test_factors_beside_weights_are_the_fold_and_switched_off_they_are_nothing() -> None:
    model, change = tiny_model(), factors(1)
    read = torch.tensor([[20, 21, 22, 23]])
    with torch.no_grad():
        plain, expected = model(read).logits, folded(model, change)(read).logits
        overlay = Overlay(model, change)
        assert torch.equal(model(read).logits, plain)
        with overlay.on():
            assert torch.allclose(model(read).logits, expected, atol=1e-4)
        for name in NAMES:
            overlay.overwrite(name, folded(tiny_model(), change).get_parameter(name))
            with overlay.on():
                assert torch.allclose(model(read).logits, expected, atol=1e-4)
        assert overlay.names == () and torch.equal(model(read).logits, expected)


def test_only_factors_of_untied_linear_layers_fit() -> None:
    model = tiny_model()
    assert fits_over(model, factors(1))
    assert not fits_over(model, {NAMES[0]: Dense(torch.zeros(model.get_parameter(NAMES[0]).shape))})
    for name in ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "model.nothing.weight"):
        assert not fits_over(model, {name: LowRank(torch.zeros(1, 1), torch.zeros(1, 1))})


def test_versions_follow_one_another_in_the_same_weights(server: ModelServer) -> None:
    asked, changes = list(prompts(6, seed=1)), [factors(seed) for seed in (1, 2, 3)]
    for number in (1, 2, 3):
        server.lay_over(number, changes[number - 1], below=number - 1)
        assert server.stats().serving_version == number - 1
        server.activate(number)
        now = folded(tiny_model(), *changes[:number])
        beside = [server.submit(prompt, max_new_tokens=8).result(60) for prompt in asked]
        assert server.merge(number, weight_of(now), timeout_seconds=10)
        assert server.stats().loaded_versions == (number,)
        merged = [server.submit(prompt, max_new_tokens=8).result(60) for prompt in asked]
        for prompt, first, second in zip(asked, beside, merged, strict=True):
            right = answer_alone(now, prompt, 8, eos_token_ids=())
            assert second.token_ids == right
            assert first.token_ids == right or first.min_top2_gap < NEAR_TIE
    with pytest.raises(UnknownVersion):
        server.submit(asked[0], version=0)


def test_requests_of_the_version_below_are_waited_for(server: ModelServer) -> None:
    go_on, change = threading.Event(), factors(1)
    prompt = next(prompts(1, seed=2))

    def slow(_token_id: int, _logprobs: object) -> Verdict:
        if len(seen) == 3:
            go_on.wait(60)
        seen.append(_token_id)
        return "go on"

    seen: list[int] = []
    old = server.submit(prompt, max_new_tokens=12, watch=slow)
    while len(seen) < 3:
        time.sleep(0.001)
    laying = threading.Thread(target=partial(server.lay_over, 1, change, below=0))
    laying.start()  # waits for the step that is held up
    go_on.set()
    laying.join(60)
    held = threading.Event()

    def holding(_token_id: int, _logprobs: object) -> Verdict:
        held.wait(60)
        return "go on"

    longer = server.submit(prompt, max_new_tokens=4, watch=holding, version=0)
    server.activate(1)
    now = folded(tiny_model(), change)
    assert not server.merge(1, weight_of(now), timeout_seconds=0.05)
    held.set()
    assert server.merge(1, weight_of(now), timeout_seconds=60)
    right = answer_alone(tiny_model(), prompt, 12, eos_token_ids=())
    assert old.result(60).token_ids == right and longer.result(60).token_ids == right[:4]
    assert server.submit(prompt, max_new_tokens=12).result(60).token_ids == answer_alone(now, prompt, 12, ())


def test_one_delta_at_a_time_lies_over_the_weights(server: ModelServer) -> None:
    server.lay_over(1, factors(1), below=0)
    with pytest.raises(OverlayPending):
        server.lay_over(2, factors(2), below=0)
    server.activate(1)
    with pytest.raises(OverlayPending):
        server.lay_over(2, factors(2), below=1)
    assert server.merge(1, weight_of(folded(tiny_model(), factors(1))), timeout_seconds=10)
    with pytest.raises(DeltaMismatch, match="as a copy"):
        server.lay_over(3, {"model.norm.weight": Dense(torch.zeros(64))}, below=1)


def test_after_a_step_back_the_factors_are_taken_off_again(server: ModelServer) -> None:
    prompt = next(prompts(1, seed=5))
    server.lay_over(1, factors(1), below=0)
    server.activate(1)
    server.submit(prompt).result(60)
    server.activate(0)
    assert not server.merge(1, weight_of(tiny_model()), timeout_seconds=0.01)
    assert server.discard(1, timeout_seconds=10) and server.discard(1, timeout_seconds=0)
    assert server.stats().loaded_versions == (0,)
    assert server.submit(prompt, max_new_tokens=9).result(60).token_ids == answer_alone(tiny_model(), prompt, 9, ())
    server.lay_over(2, factors(2), below=0)
    server.activate(2)
    assert not server.discard(2, timeout_seconds=0.01)


def test_a_merge_that_fails_half_way_answers_as_before_and_can_be_repeated(server: ModelServer) -> None:
    change, prompt = factors(1), next(prompts(1, seed=6))
    now = folded(tiny_model(), change)
    server.lay_over(1, change, below=0)
    server.activate(1)

    def failing(name: str) -> Tensor:
        if name == NAMES[1]:
            raise OSError("the disk is gone")
        return weight_of(now)(name)

    with pytest.raises(OSError, match="gone"):
        server.merge(1, failing, timeout_seconds=10)
    half = server.submit(prompt, max_new_tokens=9).result(60)
    assert half.token_ids == answer_alone(now, prompt, 9, ()) or half.min_top2_gap < NEAR_TIE
    assert server.merge(1, weight_of(now), timeout_seconds=10)
    assert server.submit(prompt, max_new_tokens=9).result(60).token_ids == answer_alone(now, prompt, 9, ())


def test_swaps_in_place_under_load_fail_none_and_mix_none(server: ModelServer) -> None:
    changes = [factors(seed, size=0.1) for seed in range(1, 7)]
    states = [folded(tiny_model(), *changes[:number]) for number in range(len(changes) + 1)]
    asked, stop, answers = list(prompts(20, longest=20)), threading.Event(), []

    def ask_all_the_time(client: int) -> None:
        turn = client
        while not stop.is_set():
            prompt = asked[turn % len(asked)]
            answers.append((prompt, server.submit(prompt, max_new_tokens=12).result(60)))
            turn += 3

    clients = [threading.Thread(target=ask_all_the_time, args=(client,)) for client in range(3)]
    for client in clients:
        client.start()
    for number, change in enumerate(changes, start=1):
        server.lay_over(number, change, below=number - 1)
        server.activate(number)
        assert server.merge(number, weight_of(states[number]), timeout_seconds=60)
    stop.set()
    for client in clients:
        client.join(60)
    stats = server.stats()
    assert stats.num_failed == 0 and stats.num_answered == len(answers)
    num_near_ties = 0
    for prompt, answer in answers:
        if answer.token_ids != answer_alone(states[answer.version], prompt, 12, ()):
            assert answer.min_top2_gap < 1e-3
            num_near_ties += 1
    assert num_near_ties <= len(answers) // 10
    assert len({answer.version for _, answer in answers}) > 3
