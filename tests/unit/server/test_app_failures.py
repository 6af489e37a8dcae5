"""The container's error responses."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from deploy.server import app
from deploy.server.scorer import BadInput, FlowError, Stream
from deploy.server.settings import Settings
from tests.unit.server.fake_scorers import ABOUT, FakeScorer, asked, chunks, client, echo


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


def test_a_busy_model_is_reported_with_retry_after() -> None:
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
