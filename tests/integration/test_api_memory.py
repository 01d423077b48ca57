"""The memory over HTTP: experiences, versions, keys, limits, figures."""

import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import openai
import pytest

from agent.api.keys import KEYS_FILE
from agent.decoding import Verdict
from memory_log.errors import LogUnavailable
from memory_log.records import NewExperience
from tests.api_server import ApiServer, api_server

MUG = "I put the red mug in the kitchen drawer."


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: Any
    headers: dict[str, str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(tmp_path) as server:
        yield server


def _call(
    server: ApiServer, path: str, body: object = None, *, method: str | None = None, key: str | None = None,
    host: str | None = None,
) -> Reply:  # fmt: skip
    headers = {"content-type": "application/json"}
    headers |= {"authorization": f"Bearer {key}"} if key else {}
    headers |= {"host": host} if host else {}
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, content, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            text, status, found = reply.read(), reply.status, dict(reply.headers)
    except urllib.error.HTTPError as exc:
        text, status, found = exc.read(), exc.code, dict(exc.headers)
        exc.close()
    is_json = found.get("content-type", "").startswith("application/json")
    return Reply(status, json.loads(text) if is_json else text.decode(), found)


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.01)


def test_what_is_told_is_in_the_log_with_its_story(server: ApiServer) -> None:
    told = _call(server, "/v1/experiences", {"text": MUG, "session": "monday", "key": "a"})
    assert told.status == 201 and told.body["state"] == "pending"
    assert _call(server, "/v1/experiences", {"text": MUG, "session": "monday", "key": "a"}).body == told.body
    assert _call(server, "/v1/experiences", {"text": "else", "key": "a"}).status == 409
    number = told.body["id"]
    assert _call(server, f"/v1/experiences/{number}").body == told.body
    assert [one["kind"] for one in _call(server, f"/v1/experiences/{number}/history").body] == ["appended"]
    assert server.service.log.get(number).text == MUG


def test_several_are_told_all_or_none_and_read_page_by_page(server: ApiServer) -> None:
    news = [{"text": f"Thing {number} is here.", "session": f"s{number % 2}"} for number in range(5)]
    assert _call(server, "/v1/experiences/batch", {"experiences": [*news, {"text": " "}]}).status == 400
    assert _call(server, "/v1/experiences").body["data"] == []
    told = _call(server, "/v1/experiences/batch", {"experiences": news}).body["data"]
    page = _call(server, "/v1/experiences?limit=2").body
    assert page["data"] == told[:2] and page["has_more"]
    rest = _call(server, f"/v1/experiences?after={told[1]['id']}&state=pending").body
    assert rest["data"] == told[2:] and not rest["has_more"]
    assert len(_call(server, "/v1/experiences?session=s1").body["data"]) == 2
    found = _call(server, "/v1/experiences/search?q=thing%203").body["data"]
    assert [one["text"] for one in found] == ["Thing 3 is here."]


def test_forgetting_leaves_a_tombstone(server: ApiServer) -> None:
    number = _call(server, "/v1/experiences", {"text": MUG}).body["id"]
    gone = _call(server, f"/v1/experiences/{number}", method="DELETE")
    assert (gone.status, gone.body["state"], gone.body["text"]) == (200, "forgotten", "")


def test_other_lineages_of_the_log_are_as_unknown_as_nothing(server: ApiServer) -> None:
    other = server.service.log.append(NewExperience(text=MUG, lineage="somebody"))
    for path in (f"/v1/experiences/{other.id}", f"/v1/experiences/{other.id}/history", "/v1/experiences/99"):
        assert _call(server, path).status == 404
    assert _call(server, f"/v1/experiences/{other.id}", method="DELETE").status == 404
    assert server.service.log.get(other.id).text == MUG
    assert _call(server, "/v1/experiences", {"text": MUG, "lineage": "somebody"}).status == 400
    assert _call(server, "/v1/experiences/search?q=mug").body["data"] == []


def test_a_conversation_is_recorded_by_one_field_of_the_request(server: ApiServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        for _ in range(2):  # a repeated request stores nothing twice
            raw = client.chat.completions.with_raw_response.create(
                model="default", messages=[{"role": "user", "content": MUG}], max_tokens=2, store=True,
                metadata={"session": "monday", "mood": "good"}, extra_headers={"Idempotency-Key": "one"},
            )  # fmt: skip
    kept = server.service.log.get(int(raw.headers["x-selfparam-experience"]))
    assert (kept.text, kept.session, kept.metadata, kept.key) == (MUG, "monday", {"mood": "good"}, "one")
    assert len(server.service.log.experiences("default")) == 1


def test_versions_are_listed_and_activated_back_and_forth(server: ApiServer) -> None:
    for seed in (1, 2):
        server.grow(seed)
    assert [one["number"] for one in _call(server, "/v1/versions").body] == [0, 1, 2]
    for number in (1, 2, 0):
        assert _call(server, f"/v1/versions/{number}/activate", method="POST").body["number"] == number
        stands = _call(server, "/v1/memory").body
        assert stands["head"] == stands["serving"] == number
    assert _call(server, "/v1/versions/7/activate", method="POST").status == 404


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(server: ApiServer) -> None:
    server.service.following._stop.set()  # only this test's own looks take up what comes
    server.service.following._bell.ring()
    server.service.following._thread.join()
    grown = server.grow(1)
    assert grown.delta is not None
    path = server.blobs.root / grown.delta.path
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused = _call(server, "/v1/versions/1/activate", method="POST")
    assert refused.status == 500 and str(server.blobs.root) not in json.dumps(refused.body)
    assert _call(server, "/v1/memory").body["serving"] == 0
    asked = {"model": "default", "messages": [{"role": "user", "content": "Where?"}], "max_tokens": 2}
    assert _call(server, "/v1/chat/completions", asked).body["model"] == "default@0"


def test_pausing_and_resuming(server: ApiServer) -> None:
    assert _call(server, "/v1/memory/pause?reason=lunch", method="POST").body["reason"] == "lunch"
    assert _call(server, "/v1/memory").body["pause"]["reason"] == "lunch"
    assert _call(server, "/v1/memory/resume", method="POST").body == {"was_paused": True}
    assert _call(server, "/v1/memory/resume", method="POST").body == {"was_paused": False}


def test_with_keys_everybody_needs_one_that_may(server: ApiServer) -> None:
    assert _call(server, "/v1/models").status == 200
    asking, admin = server.keys.add("asking", ["ask"]), server.keys.add("boss", ["admin"])
    assert _call(server, "/v1/models").status == 401
    assert _call(server, "/v1/models", key="sp-wrong").body["error"]["code"] == "invalid_api_key"
    assert _call(server, "/v1/models", key=asking).status == 200
    for path, body in (("/v1/experiences", {"text": MUG}), ("/v1/versions/0/activate", {})):
        assert _call(server, path, body, key=asking).status == 403
    assert _call(server, "/v1/experiences", {"text": MUG}, key=admin).status == 201
    assert _call(server, "/v1/versions/0/activate", method="POST", key=admin).status == 200
    stored = {"model": "default", "messages": [{"role": "user", "content": MUG}], "store": True}
    assert _call(server, "/v1/chat/completions", stored, key=asking).status == 403
    assert _call(server, "/metrics").status == 401 and _call(server, "/healthz").status == 200
    server.keys.remove("asking")
    assert _call(server, "/v1/models", key=asking).status == 401
    text = (server.blobs.root.parent / KEYS_FILE).read_text()
    assert asking not in text and admin not in text


def test_a_server_that_others_reach_is_closed_without_keys(tmp_path: Path) -> None:
    with api_server(tmp_path, is_local=False) as server:
        assert _call(server, "/v1/models").status == 401


def test_more_requests_than_allowed_are_put_off(tmp_path: Path) -> None:
    with api_server(tmp_path, requests_per_minute=3) as server:
        replies = [_call(server, "/v1/memory") for _ in range(5)]
        assert [reply.status for reply in replies[:3]] == [200, 200, 200]
        assert replies[-1].status == 429 and int(replies[-1].headers["retry-after"]) >= 1


def test_bodies_that_are_too_long_or_no_json_are_refused(server: ApiServer) -> None:
    assert _call(server, "/v1/experiences", b"x" * 2**21).status == 413
    assert _call(server, "/v1/experiences", b"{not json").status == 400
    assert _call(server, "/v1/experiences", b"[" * 100_000).status in (400, 422)
    assert _call(server, "/v1/experiences", {"text": "x" * 20_000}).status == 400
    assert _call(server, "/nowhere").body["error"]["code"] == "not_found"
    assert _call(server, "/v1/models", method="DELETE").status == 405


def test_a_foreign_page_that_found_its_way_here_is_refused(server: ApiServer) -> None:
    assert _call(server, "/v1/models", host="evil.example").status == 400
    assert _call(server, "/v1/models", host="localhost:8000").status == 200


def test_errors_of_the_server_do_not_tell_where_things_are(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise LogUnavailable("cannot open the log at postgresql://secret-host/db")

    monkeypatch.setattr(server.service.log, "versions", away)
    reply = _call(server, "/v1/versions")
    assert reply.status == 503 and "secret" not in json.dumps(reply.body)
    monkeypatch.setattr(server.service.log, "versions", lambda *_: 1 / 0)
    reply = _call(server, "/v1/versions")
    assert reply.status == 500 and "Zero" not in json.dumps(reply.body) and "Traceback" not in json.dumps(reply.body)


def test_figures_can_be_scraped(server: ApiServer) -> None:
    _call(server, "/v1/experiences", {"text": MUG})
    text = _call(server, "/metrics").body
    assert 'selfparam_experiences{state="pending"} 1.0' in text
    assert 'selfparam_http_requests_total{method="POST",route="/v1/experiences",status="201"} 1.0' in text
    assert "selfparam_head_is_serving 1.0" in text
    assert _call(server, "/readyz").body == {"status": "ok"}


def test_no_request_that_the_document_allows_breaks_the_server(server: ApiServer, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--checks", "not_a_server_error",
        "--max-examples", "8", "--seed", "1", "--phases", "fuzzing", "--no-color", "--generation-database", "none",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]


def test_what_is_refused_is_not_stored(tmp_path: Path) -> None:
    held, begun = threading.Event(), threading.Event()

    def holding(_token_id: int, _logprobs: object) -> Verdict:
        begun.set()
        held.wait(60)
        return "stop"

    with api_server(tmp_path, max_waiting=1) as server:
        slow = server.service.following.server.submit([20], watch=holding)
        assert begun.wait(60)  # the decoding thread is held up: whoever comes now waits
        waiting = server.service.following.server.submit([21], max_new_tokens=1)
        asked = {"model": "default", "messages": [{"role": "user", "content": MUG}], "store": True, "max_tokens": 2}
        refused = _call(server, "/v1/chat/completions", asked)
        assert refused.status == 429 and refused.headers["retry-after"]
        assert _call(server, "/v1/chat/completions", {**asked, "n": 2}).status == 429
        held.set()
        for future in (slow, waiting):
            future.result(60)
        assert server.service.log.experiences("default") == []
        assert _call(server, "/v1/chat/completions", asked).status == 200
        assert len(server.service.log.experiences("default")) == 1


def test_a_body_of_unknown_length_is_bounded_too(server: ApiServer) -> None:
    place = urlsplit(server.url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    chunks = (b'{"text": "' + b"x" * 65536 if number == 0 else b"x" * 65536 for number in range(40))
    try:
        connection.request("POST", "/v1/experiences", chunks, {"content-type": "application/json"}, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it was sent
    finally:
        connection.close()
    assert server.service.log.experiences("default") == []


def test_figures_that_are_no_numbers_are_refused_and_harm_nobody(server: ApiServer) -> None:
    asked = b'{"model": "default", "messages": [{"role": "user", "content": "Where?"}], "temperature": NaN}'
    assert _call(server, "/v1/chat/completions", asked).status == 400


def test_pages_of_other_hosts_may_not_use_a_server_without_keys(server: ApiServer) -> None:
    def activated(**headers: str) -> int:
        request = urllib.request.Request(f"{server.url}/v1/versions/0/activate", b"", headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code

    assert activated(origin="https://evil.example") == activated(origin="null") == 403
    assert activated(**{"sec-fetch-site": "cross-site"}) == 403
    assert activated(origin=server.url) == activated() == 200


def test_a_home_whose_last_key_was_removed_stays_closed(server: ApiServer) -> None:
    server.keys.add("robot", ["ask"])
    server.keys.remove("robot")
    assert _call(server, "/v1/models").status == 401


def test_as_many_versions_are_in_memory_as_may_be(server: ApiServer) -> None:
    for seed in range(1, 6):
        server.grow(seed)
    held, answering = threading.Event(), server.service.following.server

    def holding(_token_id: int, _logprobs: object) -> Verdict:
        held.wait(60)
        return "stop"

    _wait_until(lambda: answering.serving_version == 5)
    for number in (1, 2, 3):
        server.service.following.load(number)
    futures = [answering.submit([20], version=number, watch=holding) for number in (1, 2, 3)]
    asked = {"model": "default@4", "messages": [{"role": "user", "content": "Where?"}], "max_tokens": 2}
    assert _call(server, "/v1/chat/completions", asked).status == 429
    held.set()
    for future in futures:
        future.result(60)
    assert _call(server, "/v1/chat/completions", asked).body["model"] == "default@4"


def test_storing_counts_once_at_the_rate_limit(tmp_path: Path) -> None:
    with api_server(tmp_path, requests_per_minute=1) as server:
        asked = {"model": "default", "messages": [{"role": "user", "content": MUG}], "store": True, "max_tokens": 2}
        assert [_call(server, "/v1/chat/completions", asked).status for _ in range(2)] == [200, 429]
        assert len(server.service.log.experiences("default")) == 1


def test_a_server_that_has_failed_says_so(server: ApiServer) -> None:
    server.service.following.server.close()
    assert _call(server, "/readyz").status == 503
    asked = {"model": "default", "messages": [{"role": "user", "content": "Where?"}]}
    assert _call(server, "/v1/chat/completions", asked).status == 503
