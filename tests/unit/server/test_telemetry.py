"""Telemetry without an image: settings, spans and metrics.

OpenTelemetry's providers belong to a process, so what sets them runs in one of its own.
"""

from __future__ import annotations

import pytest

from deploy.server.telemetry import destinations
from deploy.server.telemetry.destinations import Destinations
from tests.otlp_collector import Collector
from tests.unit.server.telemetry_server import HTTP, SERVE, run

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


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
                    "http/protobuf only: unset it, and use the collector's port for HTTP",
                ),
            ),
        ),
    ],
)
def test_destinations(environ: dict[str, str], expected: Destinations) -> None:
    assert destinations.read(environ) == expected
    assert bool(expected) == bool(expected.otlp or expected.azure)


def test_without_variables_nothing_is_imported_and_promptflow_tracing_is_off() -> None:
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
answer = post(traceparent="00-{TRACE}-{PARENT}-01", x_request_id="my-id")
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
    assert (server.trace, server.parent, server.kind) == (TRACE, PARENT, 2)
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


def test_an_unsampled_request_is_counted_and_not_traced(collector: Collector) -> None:
    run(
        SERVE + f"post(traceparent='00-{TRACE}-{PARENT}-00'); sending.stop()",
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
