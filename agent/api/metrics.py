"""Figures for Prometheus: requests as they come, and how server and log stand when they are read.

Knows names and units of figures. Refuses to know routes.
"""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api.memory_routes import standing
from agent.api.service import Service


class ServiceFigures(Collector):
    """How a service stands at the moment of reading."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Every figure, with its unit in its name."""
        stands, server = standing(self._service), self._service.following.server.stats()
        experiences = GaugeMetricFamily("selfparam_experiences", "Experiences by state.", labels=["state"])
        for state, num in stands.counts.items():
            experiences.add_metric([state.value], num)
        yield experiences
        for name, text, value in (
            ("selfparam_head_version", "The version that the log names.", stands.head or 0),
            ("selfparam_serving_version", "The version that new requests get.", stands.serving),
            ("selfparam_loaded_versions", "Versions in memory.", len(stands.loaded)),
            ("selfparam_head_is_serving", "1 while the log's version serves.", stands.head == stands.serving),
            ("selfparam_is_updating", "1 while an update runs.", stands.is_updating),
            ("selfparam_is_paused", "1 while updates are paused.", stands.pause is not None),
            ("selfparam_answers_in_flight", "Answers that have begun or wait.", server.num_in_flight),
            ("selfparam_answers_waiting", "Answers that wait for their first token.", server.num_waiting),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        answers = CounterMetricFamily("selfparam_answers", "Answers by how they ended.", labels=["outcome"])
        for outcome in ("answered", "failed", "cancelled", "refused"):
            answers.add_metric([outcome], getattr(server, f"num_{outcome}"))
        yield answers
        yield CounterMetricFamily("selfparam_tokens", "Tokens decoded.", value=server.num_tokens)


class HttpFigures:
    """Counts requests and measures them, by route and status. Middleware.

    Args:
        app: what answers.
        registry: where the figures are read.
        monotonic: seconds.
    """

    def __init__(
        self, app: ASGIApp, *, registry: CollectorRegistry, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._monotonic = app, monotonic
        names = ["method", "route"]
        self._requests = Counter(
            "selfparam_http_requests", "Requests that have ended.", [*names, "status"], registry=registry
        )
        self._seconds = Histogram(
            "selfparam_http_request_seconds", "Seconds from a request's head to its answer's end.", names,
            registry=registry,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = self._monotonic(), 499

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            status = 500  # said by what stands before this
            raise
        finally:
            # Never the path itself, of which anybody can make any number.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
            self._requests.labels(method, route, status).inc()
            self._seconds.labels(method, route).observe(self._monotonic() - started)
