"""A writer behind HTTP: a real server on loopback, with all that it may answer. Time is passed in, so nobody waits."""

import json
import socket
from itertools import count

import pytest

from agent.chat_endpoint import ChatEndpoint, EndpointSettings, Reply, lines_of
from agent.endpoint_writer import EndpointWriter
from memory_log.errors import EndpointRefused, EndpointUnavailable
from tests.endpoint_server import Answered, Received, completion, in_turn, refusal, serving
from tests.model_fixtures import experience, tiny_base
from updater.candidates import Wanted

MUG = experience(1, "I put the red mug in the kitchen drawer.", ("red mug", "owner", "Mira"))


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


def settings_of(url: str, **changes: object) -> EndpointSettings:
    return EndpointSettings(url=url, model="writer", **{"requests_per_minute": 1e6, **changes})  # type: ignore[arg-type]


def ask(url: str, time: Time, key: str | None = None, **changes: object) -> Reply:
    endpoint = ChatEndpoint(settings_of(url, **changes), key, sleep=time.sleep, monotonic=time.monotonic)
    return endpoint.complete("Be short.", "What is red?")


def test_a_request_is_a_chat_completion_with_the_key_and_the_options() -> None:
    with serving(in_turn([completion("the mug")])) as server:
        assert ask(server.url, Time(), key="hush", options={"temperature": 0.5}) == Reply("the mug", False)
        assert ask(server.url, Time()) == Reply("the mug", False)
    with_key, without = server.received
    assert with_key.path == "/v1/chat/completions"
    assert with_key.headers["Authorization"] == "Bearer hush" and "Authorization" not in without.headers
    assert json.loads(with_key.body) == {
        "temperature": 0.5,
        "model": "writer",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is red?"}],
    }


def test_what_may_succeed_later_is_repeated_with_longer_and_longer_pauses() -> None:
    time = Time()
    with serving(in_turn([refusal(500), refusal(503), refusal(429), completion("here")])) as server:
        assert ask(server.url, time).text == "here"
    assert len(server.received) == 4 and time.slept == pytest.approx([1.0, 2.0, 4.0], abs=1e-3)


def test_an_endpoint_says_how_long_to_wait() -> None:
    time = Time()
    with serving(in_turn([refusal(429, Retry_After="7"), completion("here")])) as server:
        assert ask(server.url, time).text == "here"
    assert time.slept == pytest.approx([7.0], abs=1e-3)


def test_after_the_last_repetition_and_past_the_time_limit_it_is_unavailable_with_the_reason() -> None:
    for changes, num_requests in ({"max_retries": 2}, 3), ({"max_seconds": 2.5}, 2):
        unavailable = pytest.raises(EndpointUnavailable, match=r"HTTP 503: overloaded.*everything waits")
        with serving(in_turn([refusal(503, "overloaded")])) as server, unavailable:
            ask(server.url, Time(), **changes)
        assert len(server.received) == num_requests


def test_nobody_there_and_somebody_silent_are_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(EndpointUnavailable, match="timed out"):
            ask(url, Time(), max_retries=0, timeout_seconds=0.1)
    with pytest.raises(EndpointUnavailable, match="refused"):
        ask(url, Time(), max_retries=1)


@pytest.mark.parametrize(
    ("answered", "complaint"),
    [
        (refusal(401, "bad key"), r"HTTP 401: bad key.*key_variable"),
        (refusal(404, "no such model"), r"HTTP 404: no such model.*ends with /v1"),
        (refusal(400), "does not understand"),
        (refusal(418), "own documentation"),
        (Answered(404, b"<html>"), r"\(HTTP 404\)"),
        (Answered(200, b"<html>"), "something else than a chat completion"),
        (Answered(200, b"[]"), "something else than a chat completion"),
        (Answered(200, b'{"choices": []}'), "something else than a chat completion"),
        (completion(None), "answers without text"),
        (completion("  "), "answers without text"),
    ],
)
def test_what_will_not_succeed_later_is_refused_at_once_with_a_way_out(answered: Answered, complaint: str) -> None:
    with serving(in_turn([answered])) as server, pytest.raises(EndpointRefused, match=complaint):
        ask(server.url, Time(), key="hush")
    assert len(server.received) == 1


def test_no_redirect_takes_the_key_elsewhere() -> None:
    with serving(in_turn([completion("here")])) as other:
        for status in (301, 302, 307, 308):
            sends_elsewhere = in_turn([refusal(status, Location=f"{other.url}/chat/completions")])
            refused = pytest.raises(EndpointRefused, match="name the address where it is")
            with serving(sends_elsewhere) as server, refused:
                ask(server.url, Time(), key="hush")
    assert other.received == []


def test_a_proxy_of_the_environment_is_not_told_what_stays_on_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(in_turn([completion("proxy")])) as proxy, serving(in_turn([completion("here")])) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(server.url, Time()).text == "here"
    assert proxy.received == []


def test_an_endpoint_that_was_given_up_sends_nothing_more() -> None:
    with serving(in_turn([completion("here")])) as server:
        endpoint = ChatEndpoint(settings_of(server.url), None)
        endpoint.stop()
        with pytest.raises(EndpointUnavailable, match="given up"):
            endpoint.complete("Be short.", "What is red?")
    assert server.received == []


def test_requests_keep_to_their_rate() -> None:
    time = Time()
    with serving(in_turn([completion("here")])) as server:
        settings = settings_of(server.url, requests_per_minute=30.0)
        endpoint = ChatEndpoint(settings, None, sleep=time.sleep, monotonic=time.monotonic)
        for _ in range(3):
            endpoint.complete("Be short.", "What is red?")
    assert time.slept == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize(
    ("text", "is_cut", "lines"),
    [
        ("Where is it?\n\nWho owns it?\n", False, ["Where is it?", "Who owns it?"]),
        ("Here are two questions:\n1. Where is it?\n(2) Who owns it?", False, ["Where is it?", "Who owns it?"]),
        ('- "Where is it?"\n* **Who owns it?**', False, ["Where is it?", "Who owns it?"]),
        ("<think>Where?\n</think>\nWho owns it?", False, ["Who owns it?"]),
        ("Where is it?\nWho ow", True, ["Where is it?"]),
        ("2 mugs are in the drawer.", False, ["2 mugs are in the drawer."]),
    ],
)
def test_lines_are_read_without_what_models_put_around_them(text: str, is_cut: bool, lines: list[str]) -> None:
    assert lines_of(Reply(text, is_cut)) == lines


def test_the_writer_sends_the_text_and_its_instructions_and_nothing_else() -> None:
    numbers = count()

    def answer(received: Received) -> Answered:
        return completion("\n".join(f"Line {next(numbers)}?" for _ in range(2)))

    told = MUG.model_copy(update={"agent": "mira", "session": "kitchen", "action": "put", "observation": "a drawer"})
    with serving(answer) as server:
        writer = EndpointWriter(settings_of(server.url, max_parallel=2))
        found = writer(tiny_base(), [told], Wanted(questions=2, implications=2, restatements=2, near_misses=9), 0)
    assert len(server.received) == 3
    for received in server.received:
        instruction, text = received.messages
        assert instruction["content"].split()[0] in ("Write", "Say") and "2" in instruction["content"]
        assert text == {"role": "user", "content": MUG.text}
        assert b"mira" not in received.body.lower() and b"kitchen drawer" in received.body
    assert sorted(one.kind for one in found) == ["question"] * 4 + ["restatement"] * 2


def test_an_endpoint_that_fails_writes_nothing_at_all() -> None:
    with serving(in_turn([completion("Where is it?"), refusal(401)])) as server:
        writer = EndpointWriter(settings_of(server.url, max_parallel=1))
        with pytest.raises(EndpointRefused):
            writer(tiny_base(), [MUG, experience(2, "Mira is away.")], Wanted(questions=2), 0)
