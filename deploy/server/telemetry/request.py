"""ASGI middleware that records a span and metrics for each request."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import logs
from .metrics import DURATION_BUCKETS, SCOPE

ROUTE = "/score"
# All other methods count as one, because otherwise a client could create any number of series.
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

# Values that exist exactly as long as a request, in all threads of the flow: the context of the
# request and its copies in other threads share one dictionary.
request_storage: ContextVar[dict[Any, Any] | None] = ContextVar("scratch", default=None)


class RequestTelemetry:
    """ASGI middleware that records requests by the semantic conventions for HTTP servers.

    A request ends with the last byte of its response, so its duration includes a whole stream.
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
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._active = meter.create_up_down_counter(
            "http.server.active_requests", "{request}", "Number of active HTTP server requests."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and record its span and metrics."""
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
        storage_token = request_storage.set({})
        trace_token = logs.trace_id.set(trace.format_trace_id(span.get_span_context().trace_id))
        answer = _ResponseObserver(send)
        start = time.perf_counter()
        self._active.add(1, active)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                await self._application(scope, receive, answer.send)
        finally:
            self._active.add(-1, active)
            outcome = answer.attributes()
            attributes = {**active, "http.route": ROUTE, **outcome}
            self._duration.record(time.perf_counter() - start, attributes)
            span.set_attributes(outcome)
            if answer.request_id:
                span.set_attribute("request.id", answer.request_id)
            if "error.type" in outcome:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
            request_storage.reset(storage_token)
            logs.trace_id.reset(trace_token)


class _ResponseObserver:
    """An observer of the response on its way to the client."""

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
        """Return the status and, after a failure, its type: the status, or `incomplete`."""
        outcome: dict[str, str | int] = {"http.response.status_code": self._status or 500}
        if self._status >= 500 or not self._status:
            outcome["error.type"] = str(self._status or 500)
        elif not self._complete:
            outcome["error.type"] = "incomplete"
        return outcome


# Longer values need not be propagated (W3C "Trace Context", 3.3.1.5). OpenTelemetry parses them
# with an expression that is quadratic in blanks: 64 kB of blanks block the event loop for 15 s.
_MAX_HEADER_BYTES = 512


def _trace_headers(scope: Scope) -> dict[str, str]:
    """Return the client's headers traceparent and tracestate (W3C "Trace Context")."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate") and len(value) <= _MAX_HEADER_BYTES
    }
