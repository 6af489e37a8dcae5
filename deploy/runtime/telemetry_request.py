"""A span and metrics for each request, around the application."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import logs
from .telemetry_metrics import SCOPE, SECONDS

ROUTE = "/score"
# Others become one value, or a client could make as many series as it likes.
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

# What lives exactly as long as a request, wherever in the flow it is used: the request's own
# context and the copies of it in other threads hold the one dictionary.
scratch: ContextVar[dict[Any, Any] | None] = ContextVar("scratch", default=None)


class Requests:
    """ASGI middleware; attributes and metrics by the semantic conventions for HTTP servers.

    A request ends with the last byte of its answer, so a stream counts with its whole length.
    """

    def __init__(self, application: ASGIApp, traces: TracerProvider, meters: MeterProvider) -> None:
        self._application = application
        self._tracer = traces.get_tracer(SCOPE)
        self._propagator = TraceContextTextMapPropagator()
        meter = meters.get_meter(SCOPE)
        self._duration = meter.create_histogram(
            "http.server.request.duration",
            "s",
            "Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._active = meter.create_up_down_counter(
            "http.server.active_requests", "{request}", "Number of active HTTP server requests."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and tell how it went."""
        if scope["type"] != "http" or scope["path"] != ROUTE:
            await self._application(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        active = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        span = self._tracer.start_span(
            f"{'HTTP' if method == '_OTHER' else method} {ROUTE}",
            context=self._propagator.extract(_trace_headers(scope)),
            kind=SpanKind.SERVER,
            attributes={**active, "http.route": ROUTE, "url.path": ROUTE},
        )
        kept = scratch.set({})
        named = logs.trace_id.set(trace.format_trace_id(span.get_span_context().trace_id))
        answer = _Answer(send)
        start = time.perf_counter()
        self._active.add(1, active)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                await self._application(scope, receive, answer.send)
        finally:
            self._active.add(-1, active)
            told = answer.attributes()
            attributes = {**active, "http.route": ROUTE, **told}
            self._duration.record(time.perf_counter() - start, attributes)
            span.set_attributes(told)
            if answer.request_id:
                span.set_attribute("request.id", answer.request_id)
            if "error.type" in told:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
            scratch.reset(kept)
            logs.trace_id.reset(named)


class _Answer:
    """What passes on the way to the client."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._complete = False
        self.request_id = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            for name, value in message["headers"]:
                if name.lower() == b"x-request-id":
                    self.request_id = value.decode("latin-1")
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True

    def attributes(self) -> dict[str, str | int]:
        """Return the status and, of a failure, its type: the status, or `incomplete`."""
        told: dict[str, str | int] = {"http.response.status_code": self._status or 500}
        if self._status >= 500 or not self._status:
            told["error.type"] = str(self._status or 500)
        elif not self._complete:
            told["error.type"] = "incomplete"
        return told


# W3C "Trace Context", 3.3.1.5: what is longer need not be propagated. OpenTelemetry reads it by an
# expression that is quadratic in blanks: 64 kB of them are 15 s of the event loop.
_LONGEST = 512


def _trace_headers(scope: Scope) -> dict[str, str]:
    """Return the caller's traceparent and tracestate (W3C "Trace Context")."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate") and len(value) <= _LONGEST
    }
