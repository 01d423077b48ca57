"""A real HTTP server on loopback that answers as OpenAI's chat completions do, and remembers what it was sent."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Answered(NamedTuple):
    """One answer of the server."""

    status: int
    body: bytes
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class Received(NamedTuple):
    """One request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def messages(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.body)["messages"]
        return found


def completion(text: str | None, finish_reason: str = "stop") -> Answered:
    """A chat completion with this text."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}
    return Answered(200, json.dumps({"object": "chat.completion", "choices": [choice]}).encode())


def refusal(status: int, message: str = "no", **headers: str) -> Answered:
    """An error in OpenAI's form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answered(status, json.dumps({"error": {"message": message, "type": "test"}}).encode(), named)


Answering = Callable[[Received], Answered]


def in_turn(answers: Sequence[Answered]) -> Answering:
    """These answers one after the other, the last one again and again."""
    lock, left = threading.Lock(), list(answers)

    def answer(received: Received) -> Answered:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return answer


class EndpointServer(NamedTuple):
    """Where a server listens, and what it has received."""

    url: str
    received: list[Received]


@contextmanager
def serving(answering: Answering) -> Iterator[EndpointServer]:
    """Serve below `/v1` until the end of the `with`."""
    received: list[Received] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked = Received(self.path, dict(self.headers.items()), body)
            received.append(asked)
            answered = answering(asked)
            self.send_response(answered.status)
            self.send_header("Content-Length", str(len(answered.body)))
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answered.body)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the base's signature
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield EndpointServer(f"http://127.0.0.1:{server.server_address[1]}/v1", received)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
