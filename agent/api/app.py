"""The whole HTTP interface as one application. Knows which part hears a request first."""

import asyncio
import importlib.metadata
from typing import Final

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.middleware.trustedhost import TrustedHostMiddleware

from agent.api.door import LOCAL_NAMES, MOST_BODY_BYTES, BodyLimit
from agent.api.errors import ErrorBody, say_errors_as_openai_does
from agent.api.memory_routes import memory_router
from agent.api.metrics import HttpFigures, ServiceFigures
from agent.api.openai_routes import openai_router
from agent.api.service import Service

DESCRIPTION: Final = """\
A model that learns what it is told into its weights. Ask it as you would ask OpenAI's API; every answer names the one
version that all of it came from, in `model`, in `system_fingerprint` and in the header `x-selfparam-version`.
"""


def make_app(
    service: Service, *, is_local: bool, host: str = "localhost", most_body_bytes: int = MOST_BODY_BYTES
) -> FastAPI:
    """The application of one service.

    Args:
        service: answers and remembers.
        is_local: whether only this computer reaches it; then requests that a foreign web page sends here under another
            host name (DNS rebinding) are refused.
        host: where it listens, which is one of its own names.
        most_body_bytes: of a request.
    """
    app = FastAPI(
        title="selfparam", description=DESCRIPTION, version=importlib.metadata.version("selfparam"), docs_url=None,
        redoc_url=None,
        responses={status: {"model": ErrorBody} for status in (400, 401, 403, 404, 409, 413, 429, 500, 503, 504, 507)},
    )  # fmt: skip
    app.include_router(openai_router(service))
    app.include_router(memory_router(service))
    registry = CollectorRegistry()
    registry.register(ServiceFigures(service))

    @app.get("/healthz", tags=["health"], summary="Is the process alive")
    async def healthz() -> dict[str, str]:
        """Always says ok."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Can it answer and take experiences", responses={503: {}})
    async def readyz(response: Response) -> dict[str, str]:
        """503 with a reason while the log cannot be read, or nothing is answered."""
        if service.following.server.is_closed:
            response.status_code = 503
            return {"status": "the server has stopped"}
        try:
            await asyncio.to_thread(service.log.head, service.lineage)
        except Exception:  # noqa: BLE001 - whatever it is, the answer is no
            response.status_code = 503
            return {"status": "the log cannot be read"}
        return {"status": "ok"}

    @app.get("/metrics", tags=["health"], summary="Figures for Prometheus", response_class=Response)
    async def metrics(request: Request) -> Response:
        """In Prometheus' text format."""
        service.door.check(request, "ask")
        return Response(await asyncio.to_thread(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)

    say_errors_as_openai_does(app)
    if is_local:
        names = list({*LOCAL_NAMES, "[::1]", host})
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)
    app.add_middleware(BodyLimit, most_bytes=most_body_bytes)
    app.add_middleware(HttpFigures, registry=registry)
    return app
