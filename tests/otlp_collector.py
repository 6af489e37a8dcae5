"""A collector for tests: OTLP over HTTP in protobuf, and the ingestion endpoint of Application Insights.

It keeps what arrives, decoded, so that a test can ask for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Span:
    """A span as it arrived. Ids are hexadecimal; `parent` is empty for a root."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    error: bool
    message: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    resource: dict[str, Any]


@dataclass(frozen=True)
class Point:
    """A value of a metric: of a histogram its count and sum, else the value as sum."""

    metric: str
    attributes: dict[str, Any]
    count: int
    sum: float
    resource: dict[str, Any]
    unit: str


@dataclass
class Collector:
    """What arrived.

    Once `gate` is there, answers wait until it is set. `fail` is a status to answer with.
    `bodies` are the bodies as they were sent, unzipped.
    """

    fail: int = 0
    gate: threading.Event | None = None
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    envelopes: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        """The address as a container on this machine's engine sees it."""
        return f"http://host.docker.internal:{self.port}"

    @property
    def local(self) -> str:
        """The address as this machine sees it."""
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Span]:
        """Return the spans of this name."""
        return [span for span in self.spans if span.name == name]

    def latest(self, metric: str) -> list[Point]:
        """Return the last point of each series: they are cumulative."""
        series = {
            (json.dumps(point.attributes, sort_keys=True), json.dumps(point.resource)): point
            for point in self.points
            if point.metric == metric
        }
        return list(series.values())

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/v1/traces", self._traces, methods=["POST"]),
                Route("/v1/metrics", self._metrics, methods=["POST"]),
                # Application Insights: the API "Track" of any version, a JSON list of envelopes.
                Route("/{version:path}/track", self._track, methods=["POST"]),
            ]
        )

    async def _traces(self, request: Request) -> Response:
        body = await self._body(request)
        if self.fail:
            return Response(status_code=self.fail)
        message = ExportTraceServiceRequest.FromString(body)
        for group in message.resource_spans:
            resource = _attributes(group.resource.attributes)
            for scope in group.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Span(
                            span.name,
                            span.kind,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.status.code == span.status.STATUS_CODE_ERROR,
                            span.status.message,
                            _attributes(span.attributes),
                            [(e.name, _attributes(e.attributes)) for e in span.events],
                            resource,
                        )
                    )
        answer = ExportTraceServiceResponse().SerializeToString()
        return Response(answer, media_type=PROTOBUF)

    async def _metrics(self, request: Request) -> Response:
        body = await self._body(request)
        if self.fail:
            return Response(status_code=self.fail)
        message = ExportMetricsServiceRequest.FromString(body)
        for group in message.resource_metrics:
            resource = _attributes(group.resource.attributes)
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.histogram.data_points:
                        attributes = _attributes(point.attributes)
                        self.points.append(
                            Point(
                                metric.name,
                                attributes,
                                point.count,
                                point.sum,
                                resource,
                                metric.unit,
                            )
                        )
                    for number in metric.sum.data_points:
                        attributes = _attributes(number.attributes)
                        value = float(number.as_int or number.as_double)
                        self.points.append(
                            Point(metric.name, attributes, 1, value, resource, metric.unit)
                        )
        answer = ExportMetricsServiceResponse().SerializeToString()
        return Response(answer, media_type=PROTOBUF)

    async def _track(self, request: Request) -> Response:
        items = json.loads(await self._body(request))
        self.envelopes += items
        counts = {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}
        return JSONResponse(counts)

    async def _body(self, request: Request) -> bytes:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.headers.append(dict(request.headers))
        self.bodies.append(body)
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, 60)
        return body


@contextlib.contextmanager
def serve() -> Iterator[Collector]:
    """Run a collector in a thread, on a free port of every interface."""
    collector = Collector()
    listener = socket.socket()
    # Containers reach this machine through the bridge, not through the loopback.
    listener.bind(("0.0.0.0", 0))
    collector.port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            collector.app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield collector
    finally:
        if collector.gate:
            collector.gate.set()
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
