"""What can go wrong, in the form in which OpenAI's interface says it.

Knows status codes and error bodies. Refuses to know routes.
"""

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from agent.decoding import DeadlinePassed, GenerationCancelled, GenerationFailed
from agent.serving import ServerBusy, ServerClosed
from memory_log.errors import (
    BadInput,
    DiskFull,
    IdempotencyConflict,
    LineageBusy,
    LogBusy,
    LogUnavailable,
    QueueFull,
    SelfParamError,
    UnknownExperience,
    UnknownVersion,
)

_LOGGER = logging.getLogger(__name__)
_STATUS: Final[tuple[tuple[type[SelfParamError], int, str], ...]] = (
    (UnknownExperience, 404, "not_found"),
    (UnknownVersion, 404, "model_not_found"),
    (IdempotencyConflict, 409, "idempotency_conflict"),
    (LineageBusy, 409, "lineage_busy"),
    (QueueFull, 429, "queue_full"),
    (ServerBusy, 429, "server_busy"),
    (BadInput, 400, "invalid_value"),
    (DeadlinePassed, 504, "timeout"),
    (ServerClosed, 503, "shutting_down"),
    (LogBusy, 503, "log_busy"),
    (LogUnavailable, 503, "log_unavailable"),
    (DiskFull, 507, "disk_full"),
    (GenerationCancelled, 499, "cancelled"),
    (GenerationFailed, 500, "generation_failed"),
)
RETRY_AFTER: Final = {429: "1", 503: "2"}


class ErrorDetail(BaseModel):
    """What went wrong and what to do about it.

    Example: ErrorDetail(message="...", type="invalid_request_error", code="invalid_value", param="temperature")
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


class ApiError(Exception):
    """An answer that is an error, made by a route.

    Args:
        status: the HTTP status.
        message: what was got, what was needed, what to do.
        code: for programs to read.
        param: the field that is at fault.
        headers: beside the body.
    """

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.body = ErrorBody(error=ErrorDetail(message=message, type=type_of(status), code=code, param=param))


def type_of(status: int) -> str:
    """OpenAI's word for a kind of error."""
    by_status = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return by_status.get(status, "invalid_request_error" if status < 500 else "server_error")


def described(error: Exception) -> ApiError:
    """What an error of the project means to an HTTP client. Of any other error only that there was one is told."""
    if isinstance(error, ApiError):
        return error
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            headers = {"retry-after": RETRY_AFTER[status]} if status in RETRY_AFTER else None
            if status >= 500:
                _LOGGER.warning("a request failed: %s", error)
            # What is wrong on the server's side may name its files and hosts.
            # So may who holds a lease, which is a host.
            is_told = (status < 500 or isinstance(error, DeadlinePassed)) and not isinstance(error, LineageBusy)
            message = str(error) if is_told else str(type(error)())
            return ApiError(status, message, code=code, headers=headers)
    _LOGGER.error("a request failed", exc_info=error)
    return ApiError(500, "something went wrong here; the server's own output says what", code="internal_error")


def error_response(error: ApiError) -> JSONResponse:
    """The answer that says so."""
    return JSONResponse(error.body.model_dump(), status_code=error.status, headers=error.headers)


def say_errors_as_openai_does(app: FastAPI) -> None:
    """Let every error of an app, FastAPI's own among them, have one form."""

    async def on_error(_request: Request, error: Exception) -> JSONResponse:
        return error_response(described(error))

    async def on_invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first: dict[str, Any] = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
        what = "unknown_parameter" if first["type"] == "extra_forbidden" else "invalid_value"
        message = f"{place or 'the body'}: {first['msg'].removeprefix('Value error, ')}"
        return error_response(ApiError(400, message, code=what, param=place or None))

    async def on_http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        made = ApiError(error.status_code, str(error.detail), code=code, headers=dict(error.headers or {}))
        return error_response(made)

    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ApiError, on_error)
    app.add_exception_handler(SelfParamError, on_error)
    app.add_exception_handler(Exception, on_error)
