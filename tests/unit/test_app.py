"""The container's contract over HTTP, with a flow made for the test."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.testclient import TestClient

from deploy.server import app
from deploy.server.scorer import BadInput, Field, FlowError, Stream
from deploy.server.settings import Settings
from deploy.server.worker_status import WorkerStatus

ABOUT = {
    "flow": "hello",
    "tag": "abc123",
    "commit": "0" * 40,
    "connections": {"secret": "stays inside"},
}


class FakeScorer:
    """A flow whose answer a test decides."""

    def __init__(self, answer: Callable[[dict[str, Any], bool], Any]) -> None:
        self.inputs: Mapping[str, Field] = {
            "question": Field("string", description="What to ask"),
            "limit": Field("integer", required=False, default=3),
        }
        self.outputs: Mapping[str, Field] = {"answer": Field("string")}
        self._answer = answer

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        return self._answer(inputs, stream)


async def chunks(*texts: str, fail: bool = False) -> AsyncIterator[str]:
    for text in texts:
        await asyncio.sleep(0)
        yield text
    if fail:
        raise RuntimeError("the key is sk-123")


def client(answer: Callable[[dict[str, Any], bool], Any], limit: int = 1000) -> TestClient:
    application = app.Application(FakeScorer(answer), ABOUT, Settings(body_limit=limit))
    return TestClient(application, raise_server_exceptions=False)


def echo(inputs: dict[str, Any], stream: bool) -> Any:
    if stream:
        return Stream({"sources": ["a"]}, "answer", chunks("you ", "asked"))
    return {"answer": inputs["question"]}


def test_score() -> None:
    response = client(echo).post("/score", json={"question": "why?"})
    assert response.status_code == 200
    assert response.json() == {"answer": "why?"}


def test_a_value_that_is_no_object_is_answered_as_it_is() -> None:
    assert client(lambda i, s: "plain").post("/score", json={"question": "a"}).json() == "plain"


def test_streaming_sends_the_fields_and_then_each_chunk() -> None:
    response = client(echo).post(
        "/score", json={"question": "a"}, headers={"Accept": "text/event-stream"}
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text == (
        'data: {"sources": ["a"]}\n\ndata: {"answer": "you "}\n\ndata: {"answer": "asked"}\n\n'
    )


def test_a_stream_that_breaks_ends_with_an_error_event_and_no_detail() -> None:
    broken = client(lambda i, s: Stream({}, "answer", chunks("a", fail=True)))
    response = broken.post(
        "/score", json={"question": "a"}, headers={"Accept": "text/event-stream"}
    )
    assert response.text.endswith(
        'event: error\ndata: {"error": {"code": "FlowFailed", "message": "the flow failed while it '
        'streamed"}}\n\n'
    )
    assert "sk-123" not in response.text


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        ("application/json; q=0.9, text/html", 200),
        ("TEXT/EVENT-STREAM", 200),
        ("text/event-stream, application/json", 200),
        ("text/html", 406),
        ("image/png, text/plain", 406),
    ],
)
def test_accept(accept: str, status: int) -> None:
    response = client(echo).post("/score", json={"question": "a"}, headers={"Accept": accept})
    assert response.status_code == status


def test_events_of_a_flow_that_does_not_stream() -> None:
    plain = client(lambda i, s: {"answer": "a"})
    headers = {"Accept": "text/event-stream"}
    response = plain.post("/score", json={"question": "a"}, headers=headers)
    assert response.status_code == 406
    assert response.json()["error"]["code"] == "NotAcceptable"
    headers = {"Accept": "text/event-stream, application/json"}
    assert plain.post("/score", json={"question": "a"}, headers=headers).json() == {"answer": "a"}


def test_bad_input_is_400_and_names_the_input() -> None:
    response = client(echo).post("/score", json={"q": 1})
    assert response.status_code == 400
    assert response.json() == {
        "error": {
            "code": "MissingInput",
            "message": "missing input: question",
            "inputs": ["question"],
        }
    }


def test_bad_input_that_the_flow_finds() -> None:
    def refuse(inputs: dict[str, Any], stream: bool) -> Any:
        raise BadInput("input image: not an image", ["image"], "InvalidImageInput")

    response = client(refuse).post("/score", json={"question": "a"})
    assert response.status_code == 400
    assert response.json()["error"]["inputs"] == ["image"]


def test_failure_of_the_flow_is_500_without_its_detail() -> None:
    def fail(inputs: dict[str, Any], stream: bool) -> Any:
        raise FlowError("the flow failed in node answer (KeyError)", "Traceback ... sk-123")

    response = client(fail).post(
        "/score", json={"question": "a"}, headers={"x-request-id": "abc-1"}
    )
    assert response.status_code == 500
    assert response.json() == {
        "error": {
            "code": "FlowFailed",
            "message": "the flow failed in node answer (KeyError)",
            "request_id": "abc-1",
        }
    }


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_code_of_a_flow_does_not_end_the_server(error: type[BaseException]) -> None:
    def fail(inputs: dict[str, Any], stream: bool) -> Any:
        raise error("sk-123")

    response = client(fail).post("/score", json={"question": "a"})
    assert response.status_code == 500
    assert response.json()["error"]["message"] == f"the flow failed ({error.__name__})"
    assert "sk-123" not in response.text


def test_a_busy_model_is_told_with_the_time_to_come_again() -> None:
    def fail(inputs: dict[str, Any], stream: bool) -> Any:
        raise FlowError("the model is busy", "", 503, "ModelBusy", "7")

    response = client(fail).post("/score", json={"question": "a"})
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "ModelBusy"
    assert response.headers["retry-after"] == "7"


class SlowScorer(FakeScorer):
    """A flow that answers once it may."""

    def __init__(self) -> None:
        super().__init__(echo)
        self.begun = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        self.begun.set()
        await self.may_answer.wait()
        return self._answer(inputs, stream)


def asked(application: app.Application) -> Coroutine[Any, Any, httpx.Response]:
    transport = httpx.ASGITransport(app=application)
    return httpx.AsyncClient(transport=transport, base_url="http://flow").post(
        "/score", json={"question": "a"}
    )


def test_a_request_past_the_queue_is_503_at_once_and_those_in_work_are_answered() -> None:
    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        scorer = SlowScorer()
        application = app.Application(scorer, ABOUT, Settings(threads=1, queue=0))
        first = asyncio.ensure_future(asked(application))
        await scorer.begun.wait()
        refused = await asked(application)
        scorer.may_answer.set()
        return await first, refused

    first, refused = asyncio.run(scenario())
    assert first.status_code == 200
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "Overloaded"
    assert refused.headers["retry-after"] == "1"


def test_a_request_that_takes_too_long_is_504() -> None:
    async def scenario() -> httpx.Response:
        return await asked(app.Application(SlowScorer(), ABOUT, Settings(timeout=0)))

    response = asyncio.run(scenario())
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "Timeout"


@pytest.mark.parametrize("path", ["/score", "/health"])
def test_at_the_end_each_answer_is_the_last_of_its_connection(path: str) -> None:
    application = app.Application(FakeScorer(echo), ABOUT, Settings())
    requests = TestClient(application)
    method, body = ("POST", {"question": "a"}) if path == "/score" else ("GET", None)
    assert "connection" not in requests.request(method, path, json=body).headers
    application.close()
    assert requests.request(method, path, json=body).headers["connection"] == "close"


def test_version_tells_the_deployment_where_it_has_a_name() -> None:
    named = app.Application(FakeScorer(echo), ABOUT, Settings(deployment="green"))
    assert TestClient(named).get("/version").json()["deployment"] == "green"
    assert "deployment" not in client(echo).get("/version").json()


def test_a_dataclass_in_an_answer_is_an_object() -> None:
    @dataclasses.dataclass
    class Found:
        title: str

    response = client(lambda i, s: {"answer": [Found("a")]}).post("/score", json={"question": "a"})
    assert response.json() == {"answer": [{"title": "a"}]}


def test_a_fault_of_the_server_is_500_without_a_trace() -> None:
    def fail(inputs: dict[str, Any], stream: bool) -> Any:
        raise RuntimeError("sk-123")

    response = client(fail).post("/score", json={"question": "a"})
    assert response.status_code == 500
    assert response.json()["error"]["message"] == "the server failed"


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": {1, 2}}])
def test_an_answer_that_json_cannot_carry_is_the_flows_failure(value: Any) -> None:
    response = client(lambda i, s: {"answer": value}).post("/score", json={"question": "a"})
    assert response.status_code == 500
    assert response.json()["error"]["message"] == "the flow's answer cannot be written as JSON"


def test_a_body_over_the_limit_is_413() -> None:
    response = client(echo, limit=10).post("/score", json={"question": "a" * 10})
    assert response.status_code == 413
    assert response.json()["error"] == {
        "code": "BodyTooLarge",
        "message": "the body is larger than 10 bytes",
    }


def test_a_body_over_the_limit_that_hides_its_length_is_413() -> None:
    def parts() -> Any:
        for _ in range(100):
            yield b"x" * 10

    assert client(echo, limit=100).post("/score", content=parts()).status_code == 413


def test_request_id_is_kept_or_made() -> None:
    own = client(echo).post("/score", json={"question": "a"}, headers={"x-request-id": "my-id_1"})
    assert own.headers["x-request-id"] == "my-id_1"
    made = client(echo).post("/score", json={"question": "a"}, headers={"x-request-id": "a b"})
    assert made.headers["x-request-id"] != "a b"


def test_inputs_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    client(echo).post("/score", json={"question": "a private matter"})
    assert "private" not in caplog.text
    assert "score 200" in caplog.text


def test_health_and_version() -> None:
    assert client(echo).get("/health").json() == {"status": "healthy"}
    assert client(echo).get("/version").json() == {
        "flow": "hello",
        "tag": "abc123",
        "commit": "0" * 40,
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/score", 405, "MethodNotAllowed"),
        ("POST", "/health", 405, "MethodNotAllowed"),
        ("GET", "/", 404, "NotFound"),
        ("POST", "/scores", 404, "NotFound"),
        ("POST", "/score/", 404, "NotFound"),
    ],
)
def test_unknown_paths_and_methods(method: str, path: str, status: int, code: str) -> None:
    response = client(echo).request(method, path, follow_redirects=False)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code


def test_swagger_describes_the_inputs() -> None:
    document = client(echo).get("/swagger.json").json()
    post = document["paths"]["/score"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["required"] == ["question"]
    jsonschema.validate({"question": "a"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"limit": 1}, schema)
    assert schema["properties"]["limit"] == {"type": "integer", "default": 3}


def test_health_is_bad_while_no_thread_can_score() -> None:
    application = app.Application(FakeScorer(echo), ABOUT, Settings())
    asked = TestClient(application)
    assert asked.get("/health").status_code == 200
    application.threads_lost = lambda: True
    response = asked.get("/health")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "ThreadsLost")
    # What needs no thread is answered as before.
    assert asked.get("/version").status_code == 200


def test_a_request_is_shown_until_its_stream_ends() -> None:
    board = WorkerStatus(4)
    seen: list[str] = []

    def answer(inputs: dict[str, Any], stream: bool) -> Any:
        seen.extend(each.request_id for each in board.list_running())
        return Stream({}, "answer", watched()) if stream else {"answer": "a"}

    async def watched() -> AsyncIterator[str]:
        seen.extend(each.request_id for each in board.list_running())
        yield "a"

    asked = TestClient(app.Application(FakeScorer(answer), ABOUT, Settings(), board))
    for accept in ("application/json", "text/event-stream"):
        headers = {"Accept": accept, "X-Request-ID": accept.replace("/", "-")}
        assert asked.post("/score", json={"question": "a"}, headers=headers).status_code == 200
        assert board.list_running() == []
    assert seen == ["application-json", "text-event-stream", "text-event-stream"]
