"""Export of telemetry: collectors that are down or slow, and content that is never exported."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from deploy.server import redaction, settings
from deploy.server.scorer import StartupError
from deploy.server.telemetry import destinations, request
from deploy.server.telemetry.export import RedactingExporter
from tests.otlp_collector import Collector
from tests.unit.server.telemetry_server import HTTP, SERVE, run


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


def test_no_collector_listens() -> None:
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
            "image has http/protobuf only: unset it, and use the collector's port for HTTP\n"
            "serve.telemetry: no metrics are sent: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', and the "
            "image has http/protobuf only: unset it, and use the collector's port for HTTP",
        ),
        (
            "",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HTTP, "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
            "serve.telemetry: telemetry is off: ValueError: max_queue_size must be a positive "
            "integer.",
        ),
    ],
)
def test_unavailable_telemetry_is_logged_and_the_server_runs(
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


def test_inputs_and_outputs_are_not_exported() -> None:
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
