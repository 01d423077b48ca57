"""A client of endpoints that speak OpenAI's chat completions, as vLLM, llama.cpp, Ollama and most services do.

Knows HTTP: time limits, retries, rates, what a refusal means and what to do about it. Refuses to know what is asked,
where the key comes from, torch.

Written on the standard library, for a handful of requests an update (docs/adr/0016-who-writes.md). No redirect is
followed, because it would take key and texts to a host that nobody chose.
"""

import ipaddress
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from memory_log.errors import EndpointRefused, EndpointUnavailable
from memory_log.fields import Name, Record

MAX_ANSWER_BYTES: Final = 1 << 20
FIRST_PAUSE_SECONDS: Final = 1.0
_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_WAYS_OUT: Final = {
    400: "the endpoint does not understand the request: see its options and its model",
    401: "the key is missing or wrong: put it into the variable that key_variable names",
    403: "the key may not use this model: choose another model or key",
    404: "there is no such address or model: the url often ends with /v1, and the model is named as the endpoint does",
}


class EndpointSettings(Record):
    """An endpoint that writes, and how patiently it is asked.

    Example: EndpointSettings(url="http://127.0.0.1:8000/v1", model="qwen3")
    """

    url: str = Field(description="Where `/chat/completions` is found, such as https://api.example.org/v1.")
    model: Name = Field(description="The endpoint's name of the model that writes.")
    key_variable: Name | None = Field(
        default=None, description="Environment variable that holds the API key; without it no key is sent."
    )
    timeout_seconds: float = Field(default=60.0, gt=0, description="How long an answer may keep silent.")
    max_retries: int = Field(default=4, ge=0, description="How often a request is repeated that may succeed later.")
    max_seconds: float = Field(
        default=45.0, gt=0, description="Longest time for one writing; twice that is less than the updater's lease."
    )
    requests_per_minute: float = Field(default=60.0, gt=0, description="Most requests sent in a minute.")
    max_parallel: int = Field(default=4, ge=1, le=64, description="Most requests under way at once.")
    options: dict[str, JsonValue] = Field(
        default={}, description="Further fields of every request, such as temperature or max_tokens."
    )
    allow_plain_http: bool = Field(
        default=False, description="Whether texts and key may go unencrypted to another computer."
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("needs an address such as https://api.example.org/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must hold no name or password; put a key into the variable that key_variable names")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _is_private(self) -> "EndpointSettings":
        if urlsplit(self.url).scheme == "http" and not (is_loopback(self.url) or self.allow_plain_http):
            raise ValueError(
                f"{self.url} is not encrypted: use https, or say allow_plain_http = true if nobody listens in between"
            )
        return self


def is_loopback(url: str) -> bool:
    """Whether an address is on this computer."""
    return is_loopback_host(urlsplit(url).hostname or "")


def is_loopback_host(host: str) -> bool:
    """Whether a host, by name or address, is this computer."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Reply(NamedTuple):
    """What an endpoint wrote, and whether it was cut off at a limit."""

    text: str
    is_cut: bool


class ChatEndpoint:
    """Asks one endpoint. Safe from several threads.

    Args:
        settings: where it is, and how patiently it is asked.
        key: sent as a bearer token; None sends none.
        sleep, monotonic: time; None sleeps until `stop` at the latest.

    Example:
        ChatEndpoint(settings, key=None).complete("Answer in one word.", "What is red?")
    """

    def __init__(
        self,
        settings: EndpointSettings,
        key: str | None,
        *,
        sleep: Callable[[float], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._key, self._monotonic = settings, key, monotonic
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._deadline = monotonic() + settings.max_seconds
        self._next_start = monotonic()
        self._pacing = threading.Lock()
        # A proxy of the environment would get what is meant to stay on this computer.
        proxies = [urllib.request.ProxyHandler({})] if is_loopback(settings.url) else []
        self._opener = urllib.request.build_opener(_NoRedirects(), *proxies)

    def complete(self, instruction: str, text: str) -> Reply:
        """What the model answers to a text under an instruction.

        Raises:
            EndpointUnavailable: no answer in time, or not even after repeating the request.
            EndpointRefused: the endpoint answers that it will not do it, or with what is no chat completion.
        """
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
        body = {**self._settings.options, "model": self._settings.model, "messages": messages}
        content, failure = json.dumps(body).encode(), ""
        for attempt in range(self._settings.max_retries + 1):
            self._wait_for_a_turn()
            try:
                return self._read(self._send(content))
            except urllib.error.HTTPError as exc:
                with exc:
                    failure = f"HTTP {exc.code}{_said(exc)}"
                    if exc.code not in _RETRYABLE:
                        raise self._refused(exc.code, failure) from exc
                    pause = _retry_after(exc.headers.get("Retry-After", ""))
            except (urllib.error.URLError, HTTPException, OSError) as exc:
                failure, pause = str(getattr(exc, "reason", exc)) or type(exc).__name__, None
            if attempt < self._settings.max_retries:
                self._pause(FIRST_PAUSE_SECONDS * 2**attempt if pause is None else pause, failure)
        raise self._unavailable(failure)

    def stop(self) -> None:
        """Let no request begin any more; those that wait for their turn end as unavailable. Safe from any thread."""
        self._stopped.set()

    def _send(self, content: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "selfparam"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(f"{self._settings.url}/chat/completions", content, headers)
        seconds = max(0.01, min(self._settings.timeout_seconds, self._deadline - self._monotonic()))
        with self._opener.open(request, timeout=seconds) as response:
            answer: bytes = response.read(MAX_ANSWER_BYTES + 1)
        return answer

    def _read(self, answer: bytes) -> Reply:
        try:
            choice = json.loads(answer)["choices"][0]
            text = choice["message"]["content"] or ""
            if not isinstance(text, str) or len(answer) > MAX_ANSWER_BYTES:
                raise TypeError("content is no text")
        except (ValueError, LookupError, TypeError) as exc:
            raise EndpointRefused(
                f"{self._settings.url} answers with something else than a chat completion; see whether the url ends "
                "where /chat/completions begins, often with /v1"
            ) from exc
        if not text.strip():
            raise EndpointRefused(
                f"the model {self._settings.model!r} of {self._settings.url} answers without text; give it more room "
                "in the endpoint's options (max_tokens), or choose another model"
            )
        return Reply(text, choice.get("finish_reason") == "length")

    def _wait_for_a_turn(self) -> None:
        with self._pacing:
            now = self._monotonic()
            start = max(now, self._next_start)
            self._next_start = start + 60.0 / self._settings.requests_per_minute
        self._pause(start - now, f"more than {self._settings.requests_per_minute:g} requests a minute are needed")

    def _pause(self, seconds: float, why: str) -> None:
        if self._monotonic() + seconds >= self._deadline:
            raise self._unavailable(why)
        if seconds > 0:
            self._sleep(seconds)
        if self._stopped.is_set():
            raise self._unavailable("it was given up")

    def _unavailable(self, failure: str) -> EndpointUnavailable:
        return EndpointUnavailable(
            f"{self._settings.url} did not write in time ({failure}); nothing was learned, and everything waits: see "
            "whether it runs, allow it more (max_seconds, max_retries, requests_per_minute), learn less at once "
            "(--limit), or choose another writer"
        )

    def _refused(self, status: int, failure: str) -> EndpointRefused:
        way_out = _WAYS_OUT.get(status, "see the endpoint's own documentation")
        if 300 <= status < 400:
            way_out = "it sends elsewhere, which is not followed: name the address where it is"
        return EndpointRefused(
            f"{self._settings.url} refuses to write with {self._settings.model!r} ({failure}); nothing was learned, "
            f"and everything waits: {way_out}"
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the base's signature
        return None


def _said(error: urllib.error.HTTPError) -> str:
    """What the endpoint says about its refusal, in a line; empty where it says nothing readable."""
    try:
        found: object = json.loads(error.read(MAX_ANSWER_BYTES))
    except (ValueError, OSError, HTTPException):
        return ""
    inner = found.get("error", found) if isinstance(found, Mapping) else found
    message = inner.get("message") if isinstance(inner, Mapping) else inner
    return f": {' '.join(message.split())[:200]}" if isinstance(message, str) else ""


def _retry_after(said: str) -> float | None:
    """The seconds that an endpoint asks to wait; None where it does not say, or gives a date."""
    return float(said) if said.isascii() and said.isdigit() else None


def lines_of(reply: Reply) -> Sequence[str]:
    """The lines of a reply without thoughts, numbers, bullets and quotation marks; without the last where it is cut."""
    text = reply.text.rpartition("</think>")[2]
    lines = text.splitlines()[: -1 if reply.is_cut else None]
    bare = [_without_bullet(line.strip()).strip("\"'“”* ") for line in lines]
    return [line for line in bare if line and not line.endswith(":")]


def _without_bullet(line: str) -> str:
    number, mark, rest = line.partition(" ")
    is_bullet = number in ("-", "*", "•") or (number[:-1].lstrip("(").isdigit() and number[-1:] in (".", ")"))
    return rest if mark and is_bullet else line
