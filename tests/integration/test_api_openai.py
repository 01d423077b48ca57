"""The HTTP interface as OpenAI's own client and curl meet it."""

import copy
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from tests.api_server import ApiServer, api_server
from tests.model_fixtures import greedy_ids, household_dialogue, tiny_tokenizer
from updater.fold import load_weights

QUESTION = "Where is the red mug?"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: ApiServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.01)


def _ask(client: openai.OpenAI, model: str = "default", **more: object) -> openai.types.chat.ChatCompletion:
    asked = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 12, **more}
    return client.chat.completions.create(**asked)  # type: ignore[call-overload, no-any-return]


def _alone(server: ApiServer, version: int, count: int = 12) -> str:
    """What a version's weights answer, read anew for every token."""
    following = server.service.following
    own = copy.deepcopy(following.base.model)
    load_weights(own, following._weights.weights("default", version))
    prompt = tuple(household_dialogue().prompt_ids(QUESTION))
    ids = greedy_ids(own, prompt, count)
    eos = set(following.base.dialogue.eos_token_ids)
    cut = next((place for place, token_id in enumerate(ids) if token_id in eos), len(ids))
    return str(tiny_tokenizer().decode(list(ids[:cut]), skip_special_tokens=True)).lstrip()


def test_a_chat_is_answered_from_the_weights_and_names_its_version(server: ApiServer, client: openai.OpenAI) -> None:
    answer = _ask(client)
    assert answer.choices[0].message.content == _alone(server, 0)
    assert answer.model == "default@0" and answer.object == "chat.completion"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(household_dialogue().prompt_ids(QUESTION))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.system_fingerprint == f"sp-{server.service.following.base.fingerprint[:16]}"
    raw = client.chat.completions.with_raw_response.create(
        model="default", messages=[{"role": "user", "content": QUESTION}], max_tokens=2
    )
    assert raw.headers["x-selfparam-version"] == "0"


def test_a_stream_says_the_same_in_pieces_and_ends_with_its_usage(client: openai.OpenAI) -> None:
    whole = _ask(client)
    stream = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": QUESTION}], max_tokens=12, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == whole.choices[0].finish_reason and set(reasons[:-1]) == {None}
    assert chunks[-1].usage == whole.usage and chunks[-1].choices == []
    assert {chunk.model for chunk in chunks} == {"default@0"} and len({chunk.id for chunk in chunks}) == 1


def test_a_new_version_is_taken_up_and_old_ones_stay_to_be_asked(server: ApiServer, client: openai.OpenAI) -> None:
    before = _ask(client)
    server.grow(1)
    _wait_until(lambda: _ask(client).model == "default@1")
    server.grow(2)
    _wait_until(lambda: _ask(client).model == "default@2")
    answers = {number: _ask(client, f"default@{number}").choices[0].message.content for number in (0, 1, 2)}
    assert answers == {number: _alone(server, number) for number in (0, 1, 2)}
    assert answers[0] == before.choices[0].message.content and len(set(answers.values())) == 3
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {"default", "default@0", "default@1", "default@2"}
    assert models["default@2"].model_extra == {"root": "tiny", "parent": "default@1", "version": 2}
    assert client.models.retrieve("default").model_extra["version"] == 2  # type: ignore[index]
    assert client.models.retrieve("default@1").id == "default@1"


def test_an_open_stream_keeps_its_version_through_a_swap(server: ApiServer, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": QUESTION}], max_tokens=200, stream=True
    )
    first = next(iter(stream))
    server.grow(1)
    _wait_until(lambda: server.service.following.server.serving_version == 1)
    assert _ask(client).model == "default@1"
    rest = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in (first, *rest))
    assert {chunk.model for chunk in (first, *rest)} == {"default@0"}
    assert text == _alone(server, 0, 200)


def test_choices_seeds_and_temperatures(client: openai.OpenAI) -> None:
    def drawn(seed: int) -> list[str | None]:
        answer = _ask(client, n=3, temperature=1.5, seed=seed, top_p=0.95)
        return [choice.message.content for choice in answer.choices]

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 3
    streamed: dict[int, str] = {0: "", 1: "", 2: ""}
    for chunk in client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": QUESTION}], max_tokens=12, n=3, temperature=1.5, seed=1,
        top_p=0.95, stream=True,
    ):  # fmt: skip
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert list(streamed.values()) == drawn(1)


def test_logprobs_belong_to_their_tokens(client: openai.OpenAI) -> None:
    answer = _ask(client, logprobs=True, top_logprobs=3)
    kept = answer.choices[0].logprobs
    assert kept is not None and kept.content is not None and answer.usage is not None
    assert len(kept.content) == answer.usage.completion_tokens
    assert all(one.top_logprobs[0].logprob == one.logprob and len(one.top_logprobs) == 3 for one in kept.content)
    text = client.completions.create(model="default", prompt="the red mug", max_tokens=3, logprobs=2)
    told = text.choices[0].logprobs
    assert told is not None and told.tokens is not None and told.top_logprobs is not None
    assert len(told.tokens) == 3 and all(len(one) <= 2 for one in told.top_logprobs)


def test_an_answer_ends_before_a_stop_string(client: openai.OpenAI) -> None:
    whole = _ask(client).choices[0].message.content or ""
    stop = whole.split()[2]
    cut = _ask(client, stop=["never there", stop])
    assert cut.choices[0].message.content == whole.partition(stop)[0]
    assert cut.choices[0].finish_reason == "stop"


def test_completions_take_texts_and_token_ids(client: openai.OpenAI) -> None:
    ids = tiny_tokenizer()("the red mug")["input_ids"]
    by_text = client.completions.create(model="default", prompt=["the red mug", "who owns"], max_tokens=4)
    by_ids = client.completions.create(model="default", prompt=ids, max_tokens=4)
    assert [choice.index for choice in by_text.choices] == [0, 1]
    assert by_text.choices[0].text == by_ids.choices[0].text


def test_conversations_may_have_many_turns_and_parts(client: openai.OpenAI) -> None:
    turns = [
        {"role": "developer", "content": "I put the red mug in the kitchen drawer."},
        {"role": "user", "content": "hello."},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    assert _ask(client, messages=turns).choices[0].message.content is not None


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found"),
        ({"model": "default@9"}, 404, "model_not_found"),
        ({"messages": []}, 400, "invalid_value"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "invalid_value"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "invalid_value"),
        ({"temperature": 9}, 400, "invalid_value"),
        ({"max_tokens": 0}, 400, "invalid_value"),
        ({"presence_penalty": 1}, 400, "invalid_value"),
        ({"extra_body": {"tools": []}}, 400, "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "mug " * 400}]}, 400, "invalid_value"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_openais_words(
    client: openai.OpenAI, wrong: dict[str, object], status: int, code: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        _ask(client, **wrong)  # type: ignore[arg-type]
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["code"] == code and caught.value.body["type"] == "invalid_request_error"


def test_a_client_that_leaves_frees_its_place(server: ApiServer, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": QUESTION}], max_tokens=240, stream=True
    )
    next(iter(stream))
    stream.close()
    stats = server.service.following.server.stats
    _wait_until(lambda: stats().num_in_flight == 0)
    assert stats().num_cancelled + stats().num_answered == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_is_answered(server: ApiServer) -> None:
    body = json.dumps({"model": "default", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 5})
    command = ["curl", "--silent", "--show-error", "--include", f"{server.url}/v1/chat/completions"]
    told = subprocess.run([*command, "--json", body], capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.startswith("HTTP/1.1 200") and "x-selfparam-version: 0" in told
    command += ["--json", "{not json"]
    wrong = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert wrong.startswith("HTTP/1.1 400") and '"error"' in wrong


def test_a_deadline_is_a_timeout_of_the_gateway(tmp_path: Path) -> None:
    with (
        api_server(tmp_path, answer_seconds=0.0) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        _ask(client)
    assert caught.value.status_code == 504
