"""Telemetry without an image: what is wanted, what leaves, and what a collector gets.

OpenTelemetry's providers belong to a process, so what sets them runs in one of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from deploy.server import redaction, settings
from deploy.server.scorer import StartupError
from deploy.server.telemetry import destinations, request
from deploy.server.telemetry.destinations import Destinations
from deploy.server.telemetry.export import RedactingExporter
from tests import otlp_collector
from tests.otlp_collector import Collector

ROOT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
HTTP = "http://collector:4318"

HEAD = """
import logging, os, sys, time
logging.basicConfig(level="INFO", format="%(name)s: %(message)s")
from deploy.server.telemetry import setup as telemetry
about = {"flow": "hello", "tag": "abc123", "commit": "0" * 40}
"""
SERVE = """
from opentelemetry import trace
from starlette.testclient import TestClient
from deploy.server import app
from deploy.server.scorer import Field, FlowError
from deploy.server.settings import Settings
class Scorer:
    inputs = {"question": Field("string")}
    outputs = {"answer": Field("string")}
    async def score(self, inputs, *, stream):
        with trace.get_tracer("flow").start_as_current_span("inner"):
            if inputs["question"] == "fail":
                raise FlowError("the flow failed")
            return {"answer": "private answer"}
sending = telemetry.start(os.environ, about)
client = TestClient(sending.wrap(app.Application(Scorer(), about, Settings())))
def post(question="private question", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/score", json={"question": question}, headers=headers)
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector.serve() as server:
        yield server


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with these variables; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Destinations()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, Destinations()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP}, Destinations(("TRACES", "METRICS"))),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HTTP}, Destinations(("TRACES",))),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": HTTP}, Destinations(("METRICS",))),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP, "OTEL_TRACES_EXPORTER": "none"},
            Destinations(("METRICS",)),
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP, "OTEL_SDK_DISABLED": "TRUE"}, Destinations()),
        ({destinations.AZURE: "InstrumentationKey=a"}, Destinations(azure="InstrumentationKey=a")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            Destinations(("TRACES", "METRICS")),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": HTTP,
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            },
            Destinations(
                ("METRICS",),
                problems=(
                    "no traces are sent: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', and the image has "
                    "http/protobuf alone: unset it, and name the collector's port for HTTP",
                ),
            ),
        ),
    ],
)
def test_destinations(environ: dict[str, str], expected: Destinations) -> None:
    assert destinations.read(environ) == expected
    assert bool(expected) == bool(expected.otlp or expected.azure)


def test_keys_of_collectors_are_secrets() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=one,Authorization=Bearer%20two",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x=three",
        destinations.AZURE: "InstrumentationKey=four;IngestionEndpoint=https://a/",
    }
    assert set(destinations.list_secrets(environ)) == {
        *("one", "Bearer%20two", "Bearer", "two", "three", "four"),
        "InstrumentationKey=four;IngestionEndpoint=https://a/",
    }
    assert destinations.list_secrets({}) == ()


def test_content_is_a_setting_and_off() -> None:
    assert settings.read({}).trace_content is False
    assert settings.read({"SERVE_TRACE_CONTENT": "true"}).trace_content is True
    with pytest.raises(StartupError) as caught:
        settings.read({"SERVE_TRACE_CONTENT": "yes"})
    assert str(caught.value) == "SERVE_TRACE_CONTENT is 'yes': set one of true, false"


def test_without_variables_nothing_is_imported_and_promptflow_is_told_not_to_trace() -> None:
    done = run(
        "import deploy.server.app\n"
        "assert telemetry.start(os.environ, about) is None\n"
        "assert os.environ['PF_DISABLE_TRACING'] == 'true'\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'azure', 'google'))])",
        PF_DISABLE_TRACING="false",
    )
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_a_request_is_a_span_with_what_runs_in_it_below(collector: Collector) -> None:
    run(
        SERVE
        + f"""
answer = post(traceparent="00-{TRACE}-{CALLER}-01", x_request_id="my-id")
assert answer.status_code == 200
assert client.get("/health").status_code == 200
sending.stop()
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.local,
        OTEL_EXPORTER_OTLP_HEADERS="api-key=one",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )
    (server,) = collector.named("POST /score")
    (inner,) = collector.named("inner")
    assert len(collector.spans) == 2
    assert (server.trace, server.parent, server.kind) == (TRACE, CALLER, 2)
    assert (inner.trace, inner.parent) == (TRACE, server.id)
    assert server.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/score",
        "url.path": "/score",
        "http.response.status_code": 200,
        "request.id": "my-id",
    }
    assert not server.error
    assert server.resource["service.name"] == "hello"
    assert server.resource["service.version"] == "abc123"
    assert server.resource["deployment.environment.name"] == "test"
    (duration,) = collector.latest("http.server.request.duration")
    assert (duration.count, duration.unit) == (1, "s")
    assert duration.attributes["http.response.status_code"] == 200
    (active,) = collector.latest("http.server.active_requests")
    assert active.sum == 0
    assert {headers["api-key"] for headers in collector.headers} == {"one"}
    assert not [body for body in collector.bodies if b"private" in body]


def test_the_name_of_the_service_can_be_given(collector: Collector) -> None:
    run(
        SERVE + "post(); sending.stop()",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.local,
        OTEL_SERVICE_NAME="ours",
        OTEL_RESOURCE_ATTRIBUTES="service.version=v2",
    )
    resource = collector.named("POST /score")[0].resource
    assert (resource["service.name"], resource["service.version"]) == ("ours", "v2")


def test_failures_are_errors_and_counted_by_status(collector: Collector) -> None:
    run(
        SERVE + "post('fail'); post('fail'); client.post('/score', content=b''); sending.stop()",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.local,
    )
    statuses = {
        (span.attributes["http.response.status_code"], span.error)
        for span in collector.named("POST /score")
    }
    # A client's mistake is no error of the server ("Semantic conventions for HTTP spans").
    assert statuses == {(500, True), (400, False)}
    counted = {
        point.attributes["http.response.status_code"]: point.count
        for point in collector.latest("http.server.request.duration")
    }
    assert counted == {500: 2, 400: 1}
    # The flow's own span keeps the kind of its error alone.
    (_, attributes), *_ = collector.named("inner")[0].events
    assert attributes["exception.type"].endswith("FlowError")
    assert "exception.message" not in attributes


def test_a_caller_that_does_not_sample_is_counted_and_not_traced(collector: Collector) -> None:
    run(
        SERVE + f"post(traceparent='00-{TRACE}-{CALLER}-00'); sending.stop()",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.local,
    )
    assert collector.spans == []
    assert collector.latest("http.server.request.duration")[0].count == 1


def test_methods_of_the_clients_own_make_one_series(collector: Collector) -> None:
    run(
        SERVE + "[client.request(f'X{i}', '/score') for i in range(5)]; sending.stop()",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.local,
    )
    (point,) = collector.latest("http.server.request.duration")
    assert (point.attributes["http.request.method"], point.count) == ("_OTHER", 5)


def test_one_signal_alone(collector: Collector) -> None:
    run(
        SERVE + "post(); sending.stop()",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{collector.local}/v1/metrics",
    )
    assert collector.spans == []
    assert collector.points


def test_a_collector_that_is_down_costs_a_line(collector: Collector) -> None:
    collector.fail = 400
    done = run(
        SERVE
        + """
for _ in range(20):
    assert post().status_code == 200
    sending.traces.force_flush()
sending.stop()
""",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.local}/v1/traces",
        OTEL_METRIC_EXPORT_INTERVAL="100",
    )
    assert len(collector.bodies) == 20
    lines = [line for line in done.stderr.splitlines() if "not delivered" in line]
    assert lines == [
        "serve.telemetry: telemetry is not delivered, and is dropped: "
        "Failed to export span batch code: 400, reason:"
    ]
    assert "Traceback" not in done.stderr


def test_nobody_listens() -> None:
    done = run(
        SERVE + "post(); sending.stop()",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:9/v1/traces",
    )
    (line,) = [line for line in done.stderr.splitlines() if "not delivered" in line]
    assert "Connection refused" in line
    assert "Traceback" not in done.stderr


def test_a_collector_that_hangs_holds_neither_requests_nor_the_end(collector: Collector) -> None:
    collector.gate = threading.Event()
    done = run(
        SERVE
        + """
import threading
begin = time.monotonic()
post()
threading.Thread(target=sending.traces.force_flush, daemon=True).start()
for _ in range(20):
    post()
requests = time.monotonic()
sending.stop(seconds=1)
print(requests - begin, time.monotonic() - requests)
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.local,
    )
    requests, end = (float(number) for number in done.stdout.split())
    # The exporter itself waits for 10 s.
    assert requests < 5
    assert 0.9 < end < 5


@pytest.mark.parametrize(
    ("code", "environ", "line"),
    [
        (
            "sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP},
            "serve.telemetry: nothing is sent for OTEL_EXPORTER_OTLP_ENDPOINT: the image has no "
            "opentelemetry-exporter-otlp-proto-http: add it to the flow's requirements.txt and run "
            "`inv lock`",
        ),
        (
            "sys.modules['azure.monitor.opentelemetry.exporter'] = None",
            {destinations.AZURE: "InstrumentationKey=a"},
            "serve.telemetry: nothing is sent for APPLICATIONINSIGHTS_CONNECTION_STRING: the image "
            "has no azure-monitor-opentelemetry-exporter: add it to the flow's requirements.txt and "
            "run `inv lock`",
        ),
        (
            "",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP, "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
            "serve.telemetry: nothing is sent for OTEL_EXPORTER_OTLP_ENDPOINT: could not convert "
            "string to float: 'soon'",
        ),
        (
            "",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "serve.telemetry: no traces are sent: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', and the "
            "image has http/protobuf alone: unset it, and name the collector's port for HTTP\n"
            "serve.telemetry: no metrics are sent: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', and the "
            "image has http/protobuf alone: unset it, and name the collector's port for HTTP",
        ),
        (
            "",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP, "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
            "serve.telemetry: telemetry is off: ValueError: max_queue_size must be a positive "
            "integer.",
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_serving_goes_on(
    code: str, environ: dict[str, str], line: str
) -> None:
    done = run(f"{code}\nassert telemetry.start(os.environ, about) is None\nos._exit(0)", **environ)
    assert done.stderr == f"{line}\n"


def _cleaned(content: bool) -> InMemorySpanExporter:
    """Export a span as promptflow writes them, whose secret is `key-of-the-service`."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    masks = redaction.list_spellings(["key-of-the-service"])
    provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(kept, content, masks)))
    span = provider.get_tracer("promptflow").start_span("node")
    for name in (
        "inputs",
        "output",
        "prompt.template",
        "prompt.variables",
        "llm.generated_message",
    ):
        span.set_attribute(name, "private, key-of-the-service")
    span.set_attributes({"llm.usage.prompt_tokens": 3, "own": ["key-of-the-service", "b"]})
    span.add_event("promptflow.function.inputs", {"payload": "private"})
    span.record_exception(ValueError("private key-of-the-service"))
    span.set_status(Status(StatusCode.ERROR, "ValueError: private key-of-the-service"))
    span.end()
    return kept


def test_what_went_through_the_flow_is_not_sent() -> None:
    (span,) = _cleaned(content=False).get_finished_spans()
    assert span.attributes == {
        "llm.usage.prompt_tokens": 3,
        "gen_ai.usage.input_tokens": 3,
        "own": ["***", "b"],
    }
    (event,) = span.events
    assert event.attributes == {"exception.type": "ValueError", "exception.escaped": "False"}
    assert span.status.description == "ValueError"


def test_content_on_request_but_never_a_secret() -> None:
    (span,) = _cleaned(content=True).get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["inputs"] == "private, ***"
    assert [event.name for event in span.events] == ["promptflow.function.inputs", "exception"]
    assert span.status.description == "ValueError: private ***"
    assert "key-of-the-service" not in span.to_json()


def test_a_long_trace_state_is_left_out() -> None:
    """OpenTelemetry's expression is quadratic in its blanks."""
    headers = [(b"traceparent", b"00-1-2-01"), (b"tracestate", b" " * 60_000 + b"x")]
    assert request._trace_headers({"headers": headers}) == {"traceparent": "00-1-2-01"}
