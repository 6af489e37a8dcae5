"""What a collector gets of the real containers, and what it does not get."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import docker
import pytest
import requests

from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from tests import otlp_collector
from tests.integration.conftest import Start, built
from tests.integration.running import Running, until
from tests.integration.test_contract import sample
from tests.otlp_collector import Collector, Span

pytestmark = pytest.mark.alone

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
CONTENT = ("promptflow.function.inputs", "promptflow.function.output")
Traced = Callable[..., Running]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector.serve() as server:
        yield server


@pytest.fixture
def traced(start: Start, variables: dict[str, str], collector: Collector) -> Traced:
    """Start the container of a flow; nothing is sent before its end, so that the end must send."""

    def run(name: str, **more: str) -> Running:
        given = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
            **more,
        }
        return start(built(name)[1], **variables, **given)

    return run


def ended(running: Running) -> None:
    """End the container by SIGTERM; it must not be killed."""
    running.container.kill("SIGTERM")
    assert running.exit_status() == 0, running.logs()


def below(collector: Collector, span: Span) -> list[str]:
    """Return the names of the spans right below `span`, sorted."""
    return sorted(other.name for other in collector.spans if other.parent == span.id)


def only(collector: Collector, name: str) -> Span:
    (span,) = collector.named(name)
    return span


def test_triage_by_node_and_by_call(traced: Traced, collector: Collector) -> None:
    running = traced("triage")
    question = {"ticket": "How do I print the merger plan?"}
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "x_request_id": "my-id"}
    assert running.post(question, **headers).status_code == 200
    assert collector.spans == []
    ended(running)

    server = only(collector, "POST /score")
    assert (server.trace, server.parent) == (TRACE, CALLER)
    assert server.attributes["http.route"] == "/score"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["request.id"] == "my-id"
    assert server.resource["service.name"] == "triage"
    assert server.resource["service.version"] == built("triage")[1].tag
    assert below(collector, server) == ["flow"]
    nodes = ["category", "classify", "normalise", "reply", "result"]
    assert below(collector, only(collector, "flow")) == nodes
    for node in ("classify", "reply"):
        assert below(collector, only(collector, node)) == ["openai_chat"]
    for call in collector.named("openai_chat"):
        assert call.attributes["llm.usage.prompt_tokens"] == 10
        assert call.attributes["gen_ai.usage.output_tokens"] == 5
        assert call.attributes["gen_ai.response.model"] == "gpt-4o-mini"
    assert {span.trace for span in collector.spans} == {TRACE}

    (duration,) = collector.latest("http.server.request.duration")
    assert (duration.count, duration.attributes["http.response.status_code"]) == (1, 200)
    durations = collector.latest("promptflow.node.duration")
    assert sorted(point.attributes["promptflow.node"] for point in durations) == nodes
    tokens = {
        (
            point.attributes["gen_ai.token.type"],
            point.attributes["gen_ai.response.model"],
        ): point.sum
        for point in collector.latest("gen_ai.client.token.usage")
    }
    assert tokens == {("input", "gpt-4o-mini"): 20, ("output", "gpt-4o-mini"): 10}
    (calls,) = collector.latest("gen_ai.client.operation.duration")
    assert calls.count == 2
    (active,) = collector.latest("http.server.active_requests")
    assert active.sum == 0
    for private in (b"merger", b"service desk", model_server.KEY.encode()):
        assert not [body for body in collector.bodies if private in body]


def test_extract_which_is_async(traced: Traced, collector: Collector) -> None:
    running = traced("extract")
    for _ in range(2):
        assert running.post(sample("extract")).status_code == 200
    ended(running)
    first, second = collector.named("POST /score")
    assert first.trace != second.trace
    for server in (first, second):
        assert below(collector, server) == ["Extractor"]
    for flow in collector.named("Extractor"):
        assert below(collector, flow) == ["openai_chat_async"]
    assert sum(p.sum for p in collector.latest("gen_ai.client.token.usage")) == 30
    # What is below the class is no node.
    assert collector.latest("promptflow.node.duration") == []
    assert not [body for body in collector.bodies if b"Fabrikam" in body]


def test_faq_which_has_no_model(traced: Traced, collector: Collector) -> None:
    running = traced("faq")
    assert running.post({"question": "May I take holidays?"}).status_code == 200
    ended(running)
    assert below(collector, only(collector, "POST /score")) == ["flow"]
    assert below(collector, only(collector, "flow")) == ["answer", "normalise", "search"]
    assert collector.latest("gen_ai.client.token.usage") == []
    assert not [body for body in collector.bodies if b"olidays" in body]


def test_rewrite_which_is_a_prompty(traced: Traced, collector: Collector) -> None:
    running = traced("rewrite")
    assert running.post({"text": "private matter"}).status_code == 200
    ended(running)
    (call,) = collector.named("openai_chat")
    assert call.attributes["llm.usage.total_tokens"] == 15
    assert call.trace == only(collector, "POST /score").trace
    for private in (b"private matter", b"short sentences"):
        assert not [body for body in collector.bodies if private in body]


@pytest.mark.parametrize("usage", [False, True])
def test_chat_which_streams(
    usage: bool, traced: Traced, collector: Collector, model: ModelServer
) -> None:
    model.usage = usage
    running = traced("chat")
    begin = time.monotonic()
    answer = running.post({"question": "private matter"}, Accept="text/event-stream")
    # Nothing is fetched to count the tokens with: that would wait for a network that is not there.
    assert time.monotonic() - begin < 10
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "event: error" not in answer.text
    ended(running)
    assert below(collector, only(collector, "POST /score")) == ["flow"]
    assert below(collector, only(collector, "flow")) == ["chat"]
    assert below(collector, only(collector, "chat")) == ["openai_chat"]
    call = only(collector, "openai_chat").attributes
    assert call.get("llm.usage.completion_tokens") == (5 if usage else None)
    assert sum(p.sum for p in collector.latest("gen_ai.client.token.usage")) == (15 if usage else 0)
    assert not [body for body in collector.bodies if b"private matter" in body]
    assert "promptflow" not in running.logs(), "a warning at each request"


def test_a_stream_that_its_reader_leaves_ends(
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
    for private in (b"private matter", b"told to fail", b"Traceback"):
        assert not [body for body in collector.bodies if private in body]
    # All of the log is of one format, and finds the trace.
    lines = [json.loads(line) for line in running.logs().splitlines()]
    request = next(line for line in lines if line.get("status") == 500)
    assert (request["request_id"], request["trace_id"]) == ("my-id", server.trace)
    assert request["duration_ms"] > 0
    failure = next(line for line in lines if line["level"] == "error")
    assert (failure["request_id"], failure["trace_id"]) == ("my-id", server.trace)


def test_content_only_on_request_and_a_secret_never(
    traced: Traced, collector: Collector, variables: dict[str, str]
) -> None:
    running = traced("triage", SERVE_TRACE_CONTENT="true")
    ticket = f"a matter {variables['AZURE_OPENAI_API_KEY']}"
    assert running.post({"ticket": ticket}).status_code == 200
    ended(running)
    flow = only(collector, "flow")
    assert json.loads(flow.attributes["inputs"]) == {"ticket": "a matter ***"}
    assert {name for name, _ in flow.events} == set(CONTENT)
    assert "service desk" in only(collector, "classify").attributes["prompt.template"]
    secret = variables["AZURE_OPENAI_API_KEY"].encode()
    assert not [body for body in collector.bodies if secret in body]


def test_application_insights(
    start: Start, variables: dict[str, str], collector: Collector
) -> None:
    key = "00000000-1111-2222-3333-444444444444"
    running = start(
        built("triage")[1],
        **variables,
        APPLICATIONINSIGHTS_CONNECTION_STRING=(
            f"InstrumentationKey={key};IngestionEndpoint={collector.endpoint}/"
        ),
    )
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    assert running.post({"ticket": "How do I print the merger plan?"}, **headers).status_code == 200
    ended(running)
    assert {item["iKey"] for item in collector.envelopes} == {key}
    (request,) = [i for i in collector.envelopes if i["data"]["baseType"] == "RequestData"]
    assert request["tags"]["ai.operation.id"] == TRACE
    assert request["tags"]["ai.cloud.role"] == "triage"
    assert request["data"]["baseData"]["responseCode"] == "200"
    parts = {
        item["data"]["baseData"]["name"]
        for item in collector.envelopes
        if item["data"]["baseType"] == "RemoteDependencyData"
    }
    assert {"flow", "classify", "openai_chat"} <= parts
    metrics = {
        metric["name"]
        for item in collector.envelopes
        if item["data"]["baseType"] == "MetricData"
        for metric in item["data"]["baseData"]["metrics"]
    }
    assert {"http.server.request.duration", "gen_ai.client.token.usage"} <= metrics
    assert not [body for body in collector.bodies if b"merger" in body]
    assert key not in running.logs()


def test_an_exporter_that_is_not_there_is_said_and_the_flow_served(start: Start) -> None:
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
