"""Who may come in: keys, scopes, rates, and how much a request may hold.

Knows API keys and requests' headers. Refuses to know what is asked.
"""

import logging
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api.errors import ApiError, error_response
from agent.api.keys import ApiKey, ApiKeys
from agent.api.keys import Scope as KeyScope
from memory_log.errors import BadInput

MOST_BODY_BYTES: Final = 1 << 20
MOST_CALLERS: Final = 10_000
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")

_LOGGER = logging.getLogger(__name__)


class Door:
    """Lets in who has a key for what is asked, not more often than allowed.

    A home that ever had a key needs one from then on, also when the last was removed.

    Args:
        keys: of the home.
        is_local: whether the server can be reached from this computer only; it is then open until there is a key, but
            not to web pages of other hosts, which a browser here lets send requests.
        requests_per_minute: most requests of one key, or of one address where no key is needed; None bounds nothing.
        monotonic: seconds.
    """

    def __init__(
        self,
        keys: ApiKeys,
        *,
        is_local: bool,
        requests_per_minute: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys, self._is_local, self._monotonic = keys, is_local, monotonic
        self._per_minute = requests_per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def check(self, request: Request, *scopes: KeyScope) -> None:
        """Let a request in that needs all of these scopes.

        Raises:
            ApiError: 401 without a key that is known, 403 for one that may not or for a foreign web page, 429 for one
                too many.
        """
        key = self._key_of(request)
        if key is None:
            _refuse_foreign_pages(request)
        missing = [scope for scope in scopes if key is not None and not key.allows(scope)]
        if key is not None and missing:
            raise ApiError(
                403, f"the key {key.name!r} may {', '.join(key.scopes)}; this needs {missing[0]}", code="missing_scope"
            )
        if self._per_minute is not None:
            caller = f"key {key.name}" if key else f"address {request.client.host if request.client else ''}"
            self._take_one(caller, self._per_minute)

    def _key_of(self, request: Request) -> ApiKey | None:
        if self._is_local and not self._keys.are_used:
            return None
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not secret:
            raise ApiError(
                401, "an API key is needed: send the header `Authorization: Bearer KEY`", code="missing_api_key",
                headers={"www-authenticate": "Bearer"},
            )  # fmt: skip
        try:
            key = self._keys.find(secret.strip())
        except (BadInput, OSError) as exc:
            _LOGGER.error("the keys cannot be read: %s", exc)
            raise ApiError(503, "the keys cannot be read here", code="keys_unreadable") from exc
        if key is None:
            raise ApiError(
                401, "this API key is not known here", code="invalid_api_key", headers={"www-authenticate": "Bearer"}
            )
        return key

    def _take_one(self, caller: str, per_minute: float) -> None:
        """A bucket that holds a minute's requests and fills up evenly."""
        now = self._monotonic()
        left, since = self._buckets.pop(caller, (per_minute, now))
        left = min(per_minute, left + (now - since) * per_minute / 60.0)
        if len(self._buckets) >= MOST_CALLERS:
            self._buckets.pop(next(iter(self._buckets)))  # whoever asked longest ago
        self._buckets[caller] = (left - 1.0 if left >= 1.0 else left, now)
        if left < 1.0:
            seconds = (1.0 - left) * 60.0 / per_minute
            raise ApiError(
                429, f"more than {per_minute:g} requests a minute; ask again in {seconds:.0f} s", code="rate_limited",
                headers={"retry-after": str(max(1, round(seconds)))},
            )  # fmt: skip


def _refuse_foreign_pages(request: Request) -> None:
    """Browsers say which page a request comes from; nobody else does."""
    origin = request.headers.get("origin")
    is_foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if is_foreign or (origin is not None and urlsplit(origin).hostname not in LOCAL_NAMES):
        raise ApiError(403, "web pages of other hosts may not use a server without keys", code="foreign_origin")


class BodyLimit:
    """Refuses bodies above a size, told or not, before they are in memory."""

    def __init__(self, app: ASGIApp, *, most_bytes: int = MOST_BODY_BYTES) -> None:
        self._app, self._most_bytes = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what fits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self._most_bytes:
            await error_response(self._too_long())(scope, receive, send)
            return
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._most_bytes:
                raise HTTPException(413, str(self._too_long()))  # the one kind that FastAPI lets through here
            return message

        await self._app(scope, counted, send)

    def _too_long(self) -> ApiError:
        return ApiError(413, f"the body has more than {self._most_bytes} bytes; send less", code="body_too_long")
