"""The traces and metrics that a collector receives from real containers."""

from __future__ import annotations

import json
import time

import pytest

from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from tests.integration.conftest import Start, built
from tests.integration.exported_telemetry import Traced, below, ended, only
from tests.integration.test_contract import sample
from tests.otlp_collector import Collector

pytestmark = pytest.mark.alone
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
CONTENT = ("promptflow.function.inputs", "promptflow.function.output")


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
