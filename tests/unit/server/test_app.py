"""The container's contract over HTTP, with a flow made for the test."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from deploy.server import app
from deploy.server.scorer import Stream
from deploy.server.settings import Settings
from deploy.server.worker_status import WorkerStatus
from tests.unit.server.fake_scorers import ABOUT, FakeScorer, client, echo


def test_score() -> None:
    response = client(echo).post("/score", json={"question": "why?"})
    assert response.status_code == 200
    assert response.json() == {"answer": "why?"}


def test_a_value_that_is_no_object_is_returned_unchanged() -> None:
    assert client(lambda i, s: "plain").post("/score", json={"question": "a"}).json() == "plain"


def test_streaming_sends_the_fields_and_then_each_chunk() -> None:
    response = client(echo).post(
        "/score", json={"question": "a"}, headers={"Accept": "text/event-stream"}
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text == (
        'data: {"sources": ["a"]}\n\ndata: {"answer": "you "}\n\ndata: {"answer": "asked"}\n\n'
    )


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


@pytest.mark.parametrize("path", ["/score", "/health"])
def test_at_the_end_each_answer_is_the_last_of_its_connection(path: str) -> None:
    application = app.Application(FakeScorer(echo), ABOUT, Settings())
    requests = TestClient(application)
    method, body = ("POST", {"question": "a"}) if path == "/score" else ("GET", None)
    assert "connection" not in requests.request(method, path, json=body).headers
    application.close()
    assert requests.request(method, path, json=body).headers["connection"] == "close"


def test_version_reports_the_deployment_name() -> None:
    named = app.Application(FakeScorer(echo), ABOUT, Settings(deployment="green"))
    assert TestClient(named).get("/version").json()["deployment"] == "green"
    assert "deployment" not in client(echo).get("/version").json()


def test_a_dataclass_in_an_answer_is_an_object() -> None:
    @dataclasses.dataclass
    class Found:
        title: str

    response = client(lambda i, s: {"answer": [Found("a")]}).post("/score", json={"question": "a"})
    assert response.json() == {"answer": [{"title": "a"}]}


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
