"""Telemetry of real containers whose model, client or collector fails."""

from __future__ import annotations

import json
import threading
import time

import docker
import pytest
import requests

from deploy.sandbox.model_server import ModelServer
from deploy.testing.waiting import until
from tests.integration.conftest import Start, built
from tests.integration.exported_telemetry import Traced, below, ended, only
from tests.integration.test_contract import sample
from tests.otlp_collector import Collector

pytestmark = pytest.mark.alone


def test_a_stream_ends_when_its_client_disconnects(
    traced: Traced, collector: Collector, model: ModelServer
) -> None:
    model.gate = threading.Event()
    running = traced("chat")
    headers = {"Accept": "text/event-stream"}
    with requests.post(
        f"{running.url}/score", json=sample("chat"), headers=headers, stream=True, timeout=30
    ) as response:
        next(response.iter_content(1))
    model.gate.set()
    ended(running)
    assert only(collector, "POST /score").attributes["error.type"] == "incomplete"
    assert below(collector, only(collector, "flow")) == ["chat"]
    assert below(collector, only(collector, "chat")) == ["openai_chat"]
    (active,) = collector.latest("http.server.active_requests")
    assert active.sum == 0


def test_a_model_that_fails(traced: Traced, collector: Collector, model: ModelServer) -> None:
    model.fail = 400
    running = traced("triage", SERVE_LOG_FORMAT="json")
    assert running.post({"ticket": "private matter"}, x_request_id="my-id").status_code == 500
    ended(running)
    server = only(collector, "POST /score")
    assert server.error
    assert server.attributes["error.type"] == "500"
    call = only(collector, "openai_chat")
    assert call.error
    assert {attributes["exception.type"] for _, attributes in call.events} == {
        "openai.BadRequestError"
    }
    (duration,) = collector.latest("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "openai.BadRequestError"
    for private in (b"private matter", b"fails as configured", b"Traceback"):
        assert not [body for body in collector.bodies if private in body]
    # All of the log is of one format, and finds the trace.
    lines = [json.loads(line) for line in running.logs().splitlines()]
    request = next(line for line in lines if line.get("status") == 500)
    assert (request["request_id"], request["trace_id"]) == ("my-id", server.trace)
    assert request["duration_ms"] > 0
    failure = next(line for line in lines if line["level"] == "error")
    assert (failure["request_id"], failure["trace_id"]) == ("my-id", server.trace)


def test_a_missing_exporter_is_logged_and_the_flow_serves(start: Start) -> None:
    running = start(
        built("faq")[1],
        APPLICATIONINSIGHTS_CONNECTION_STRING="InstrumentationKey=00000000-1111-2222-3333-444444444444",
    )
    assert running.post(sample("faq")).status_code == 200
    assert (
        "nothing is sent for APPLICATIONINSIGHTS_CONNECTION_STRING: the image has no "
        "azure-monitor-opentelemetry-exporter: add it to the flow's requirements.txt and run "
        "`inv lock`"
    ) in running.logs()


@pytest.mark.alone
def test_a_collector_that_hangs_holds_neither_requests_nor_the_end(
    traced: Traced, collector: Collector
) -> None:
    collector.gate = threading.Event()
    running = traced("faq", OTEL_BSP_SCHEDULE_DELAY="1", OTEL_METRIC_EXPORT_INTERVAL="100")
    for _ in range(5):
        assert running.post(sample("faq")).status_code == 200
    until(lambda: len(collector.bodies) >= 2)
    begin = time.monotonic()
    ended(running)
    # 2 s for what is pending; the exporters themselves would wait for 10 s, and 30 s.
    assert 1.5 < time.monotonic() - begin < 7


def test_a_collector_that_is_not_there_costs_a_line(traced: Traced) -> None:
    address = "http://host.docker.internal:9"
    # Each worker has exporters, and lines, of its own.
    one = {"OTEL_BSP_SCHEDULE_DELAY": "1", "SERVE_WORKERS": "1"}
    running = traced("faq", OTEL_EXPORTER_OTLP_ENDPOINT=address, **one)
    for _ in range(20):
        assert running.post(sample("faq")).status_code == 200
    until(lambda: "telemetry is not delivered, and is dropped" in running.logs())
    ended(running)
    lines = [line for line in running.logs().splitlines() if "telemetry is not delivered" in line]
    # One for the traces at once, one for the metrics at the end.
    assert len(lines) <= 2
    assert "Traceback" not in running.logs()


LOAD = """
import asyncio, gc, json, os, sys
sys.path[:0] = ["/app"]
from flow_server import app, connections, serve, settings
from flow_server.telemetry import setup as telemetry
about = json.load(open("/app/about.json"))
found = connections.resolve(about["connections"], os.environ)
config = settings.read(os.environ)
scorer = serve.ServedFlow(about, found.connections, (), config).load()
sending = telemetry.start(os.environ, about)
if sending:
    from flow_server.promptflow import tracing
    tracing.enable(config.trace_content)
"""


def _inside(client: docker.DockerClient, name: str, code: str, **variables: str) -> str:
    """Run `code` in a container of the flow's image, with the flow loaded; return what it printed."""
    output = client.containers.run(
        built(name)[1].id,
        ["python3", "-c", LOAD + code],
        environment=variables,
        read_only=True,
        remove=True,
        extra_hosts={"host.docker.internal": "host-gateway"},
    )
    return str(output.decode())


def test_without_variables_no_exporter_is_imported_and_no_span_is_made(
    client: docker.DockerClient, variables: dict[str, str]
) -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
assert sending is None
assert os.environ["PF_DISABLE_TRACING"] == "true"
from promptflow.tracing import start_trace
# As the flow's code may. It would set a provider that keeps its own name for the service.
start_trace()
assert not isinstance(trace.get_tracer_provider(), TracerProvider)
heavy = ("opentelemetry.exporter", "opentelemetry.proto", "opentelemetry.sdk.metrics",
         "opentelemetry.sdk.trace.export", "azure.monitor", "google.protobuf", "flow_server.telemetry.export",
         "flow_server.telemetry.metrics", "flow_server.telemetry.request")
print([name for name in sys.modules if name.startswith(heavy)])
"""
    assert _inside(client, "triage", code, PF_DISABLE_TRACING="false", **variables) == "[]\n"


def test_nothing_stays_behind_after_a_request(
    client: docker.DockerClient, variables: dict[str, str], collector: Collector
) -> None:
    """promptflow's own token counts would leave three entries for each."""
    code = """
import httpx
from promptflow.tracing import _trace
served = sending.wrap(app.Application(scorer, about, config))
async def run():
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        async def ask(times):
            for _ in range(times):
                answer = await client.post("/score", json={"question": "x"}, timeout=60)
                assert answer.status_code == 200, answer.text
            sending.traces.force_flush()
            gc.collect()
            return sys.getallocatedblocks()
        before = await ask(100)
        after = await ask(300)
        print(json.dumps({"grown": after - before, "kept": len(_trace.token_collector._span_id_to_tokens)}), flush=True)
asyncio.run(run())
os._exit(0)
"""
    given = {**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    found = json.loads(_inside(client, "chat", code, **given))
    assert found["kept"] == 0
    assert found["grown"] < 1000
    assert len(collector.named("POST /score")) == 400
