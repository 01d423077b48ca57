"""Answers of a batch are the answers of the model alone."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

from agent.decoding import Generation
from agent.serving import ModelServer
from tests.serving_fixtures import EOS, NEAR_TIE, NUM_TOKEN_IDS, PAD, answer_alone, prompts, tiny_model


def _conv_hybrid() -> PreTrainedModel:
    torch.manual_seed(0)
    layers = ["conv", "full_attention"]
    return Lfm2ForCausalLM(
        Lfm2Config(
            vocab_size=NUM_TOKEN_IDS,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            layer_types=layers,
            initializer_range=0.2,
        )
    ).train(False)


def _sliding_window() -> PreTrainedModel:
    torch.manual_seed(0)
    return MistralForCausalLM(
        MistralConfig(
            vocab_size=NUM_TOKEN_IDS,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=8,
            initializer_range=0.2,
        )
    ).train(False)


def _assert_equal_alone(model: PreTrainedModel, prompt: tuple[int, ...], answer: Generation, limit: int) -> None:
    if answer.min_top2_gap >= NEAR_TIE:
        assert answer.token_ids == answer_alone(model, prompt, limit)


@pytest.mark.parametrize("build", [tiny_model, _sliding_window, _conv_hybrid])
def test_batched_answers_equal_the_model_alone_token_by_token(build: Callable[[], PreTrainedModel]) -> None:
    model = build()
    asked = list(prompts(24))
    with ModelServer(model, eos_token_ids=EOS, pad_token_id=PAD, max_batch=8) as server:
        limits = [3 + number % 20 for number in range(len(asked))]
        futures = [server.submit(prompt, max_new_tokens=limit) for prompt, limit in zip(asked, limits, strict=True)]
        answers = [future.result(60) for future in futures]
    assert sum(answer.min_top2_gap < NEAR_TIE for answer in answers) <= 2
    assert {answer.finish_reason for answer in answers} == {"stop", "length"}
    for prompt, limit, answer in zip(asked, limits, answers, strict=True):
        _assert_equal_alone(model, prompt, answer, limit)


def test_requests_that_join_in_mid_answer_change_nobodys_tokens() -> None:
    model = tiny_model()
    asked = list(prompts(30, seed=1))
    futures: list[Future[Generation]] = []
    with ModelServer(model, eos_token_ids=EOS, pad_token_id=PAD) as server:
        for prompt in asked:
            futures.append(server.submit(prompt, max_new_tokens=24))
            if len(futures) >= 4:  # wait for an older one: later requests meet batches in any state
                futures[-4].result(60)
        answers = [future.result(60) for future in futures]
    for prompt, answer in zip(asked, answers, strict=True):
        _assert_equal_alone(model, prompt, answer, 24)


def test_the_padding_token_does_not_matter() -> None:
    model = tiny_model()
    asked = list(prompts(6, seed=2))

    def answers(pad_token_id: int) -> list[tuple[int, ...]]:
        with ModelServer(model, eos_token_ids=EOS, pad_token_id=pad_token_id) as server:
            return [future.result(60).token_ids for future in [server.submit(prompt) for prompt in asked]]

    assert answers(PAD) == answers(137)


def test_an_answer_ends_where_the_models_longest_sequence_ends() -> None:
    model = tiny_model(max_position_embeddings=12)
    with ModelServer(model, eos_token_ids=(), pad_token_id=PAD) as server:
        answer = server.submit([20] * 9, max_new_tokens=40).result(60)
    assert len(answer.token_ids) == 3 and answer.finish_reason == "length"
