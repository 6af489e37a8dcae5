"""A model that is unavailable, busy, slow or returns invalid data: the response to the client, and the server's state."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import pytest
import requests

from deploy.build import lock_files
from deploy.config import configuration
from deploy.delivery import resolve_image
from deploy.sandbox.model_server import KEY, ModelServer
from tests.integration import footprint, local_project
from tests.integration.conftest import Start, built
from tests.integration.running_container import Running
from tests.integration.test_contract import WITH_MODEL, sample
from tests.projects import FIXTURE

Serving = Callable[[str], Running]
# Longer than every wait that is worth while for a client, shorter than what the model asks for.
SOON = 12.0
# The OpenAI client waits as long as the model says, twice: for a flow that uses it itself, the
# server cannot shorten that.
RETRY_AFTER = {"chat": "30", "triage": "30", "rewrite": "30", "extract": "1"}
QUOTED = "the model server fails as configured"


@pytest.fixture(scope="module")
def troubled(start: Start, variables: dict[str, str]) -> Serving:
    """Return a container of a flow for these tests alone: trouble may keep its threads busy."""

    @cache
    def of(name: str) -> Running:
        return start(built(name)[1], **variables)

    return of


def ask(running: Running, name: str, **headers: str) -> requests.Response:
    """Send the sample, and give up after `SOON`."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    body = sample(name)
    return requests.post(f"{running.url}/score", json=body, headers=named, timeout=SOON)


def check(response: requests.Response, status: int, code: str) -> None:
    """Check that `response` tells the trouble, and nothing of what the model said."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    for secret in ("Traceback", QUOTED, KEY):
        assert secret not in response.text


@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_busy_model_is_503_with_its_retry_after(
    name: str, troubled: Serving, model: ModelServer
) -> None:
    model.fail, model.retry_after = 429, RETRY_AFTER[name]
    response = ask(troubled(name), name)
    check(response, 503, "ModelBusy")
    assert response.headers["retry-after"] == RETRY_AFTER[name]


@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_busy_model_that_does_not_say_when(
    name: str, troubled: Serving, model: ModelServer
) -> None:
    model.fail = 429
    check(ask(troubled(name), name), 503, "ModelBusy")


def test_a_date_as_retry_after(troubled: Serving, model: ModelServer) -> None:
    # promptflow-tools reads seconds only, and fails at a date with an error of its own.
    model.fail, model.retry_after = 429, "Wed, 21 Oct 2099 07:28:00 GMT"
    check(ask(troubled("chat"), "chat"), 503, "ModelBusy")


def test_a_busy_model_before_a_stream(troubled: Serving, model: ModelServer) -> None:
    model.fail, model.retry_after = 429, "30"
    response = ask(troubled("chat"), "chat", Accept="text/event-stream")
    check(response, 503, "ModelBusy")


@pytest.mark.parametrize("name", WITH_MODEL)
def test_one_transient_error_is_retried(name: str, troubled: Serving, model: ModelServer) -> None:
    model.fail, model.fail_times, model.retry_after = 429, 1, "1"
    assert ask(troubled(name), name).status_code == 200


@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_failing_model_is_502(name: str, troubled: Serving, model: ModelServer) -> None:
    model.fail = 500
    check(ask(troubled(name), name), 502, "ModelFailed")


@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_model_that_is_away_is_502(name: str, start: Start) -> None:
    with nobody() as port:
        endpoint = f"http://host.docker.internal:{port}"
        running = start(built(name)[1], AZURE_OPENAI_ENDPOINT=endpoint, AZURE_OPENAI_API_KEY=KEY)
        check(ask(running, name), 502, "ModelUnreachable")


@pytest.mark.parametrize("name", WITH_MODEL)
@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_a_failure_of_the_flow(
    name: str, status: int, troubled: Serving, model: ModelServer
) -> None:
    model.fail = status
    check(ask(troubled(name), name), 500, "FlowFailed")


@pytest.mark.parametrize("name", WITH_MODEL)
def test_garbage_is_a_failure_of_the_flow(name: str, troubled: Serving, model: ModelServer) -> None:
    model.answer_html = True
    response = ask(troubled(name), name)
    check(response, 500, "FlowFailed")
    assert "html" not in response.text


def test_a_stream_that_breaks_ends_with_an_error_event(
    troubled: Serving, model: ModelServer
) -> None:
    model.cut_after = 2
    response = ask(troubled("chat"), "chat", Accept="text/event-stream")
    assert response.status_code == 200
    *events, last = response.text.strip().split("\n\n")
    assert [json.loads(event.removeprefix("data: ")) for event in events] == [
        {"answer": "[4 "},
        {"answer": "messages] "},
    ]
    kind, data = last.split("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["code"]
    assert "Traceback" not in response.text


# Packing imports the module, where the variables are not set.
SLOW = """\
import os

from openai import AzureOpenAI
from promptflow.core import tool

client = AzureOpenAI(
    azure_endpoint=os.environ.get("ENDPOINT", "http://packing"),
    api_key=os.environ.get("KEY", "none"),
    api_version="2024-02-01",
    timeout=0.5,
    max_retries=0,
)


@tool
def answer(question: str) -> str:
    messages = [{"role": "user", "content": question}]
    completion = client.chat.completions.create(model="m", messages=messages)
    return completion.choices[0].message.content
"""


def test_a_model_that_is_too_slow_is_504(
    project: configuration.Project, start: Start, model: ModelServer, variables: dict[str, str]
) -> None:
    # faq's packages, which the project has, are without openai. Those of chat, which has a
    # connection, are with it.
    for name in (lock_files.REQUIREMENTS, lock_files.LOCK, configuration.DEPLOY_FILE):
        text = (FIXTURE / "flows/chat" / name).read_text("utf-8")
        local_project.write(project, name, text)
    local_project.write(project, "answer.py", SLOW)
    flow = configuration.load_flow(project, "hello")
    values = {**variables, "ENDPOINT": model.endpoint, "KEY": KEY}
    running = start(resolve_image.build_image(project, flow), **values)
    assert running.post({"question": "why?"}).status_code == 200
    model.latency = 5
    check(running.post({"question": "why?"}), 504, "ModelTimeout")


def test_a_busy_model_does_not_take_every_thread(troubled: Serving, model: ModelServer) -> None:
    running = troubled("chat")
    model.fail, model.retry_after = 429, "30"
    with ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(lambda _: ask(running, "chat").status_code, range(100)))
    assert statuses == [503] * 100
    model.reset()
    assert ask(running, "chat").status_code == 200


@pytest.mark.parametrize("name", ["triage", "extract", "rewrite"])
def test_500_failures_leave_the_same_processes_and_memory(
    name: str, troubled: Serving, model: ModelServer
) -> None:
    running = troubled(name)
    model.fail = 403

    def fail(times: int) -> None:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: ask(running, name).status_code, range(times)))
        assert answers == [500] * times

    fail(200)
    before, processes = footprint.memory(running.container), footprint.processes(running.container)
    fail(500)
    assert footprint.processes(running.container) == processes
    # What a failure leaves behind would be there 500 times; less than this the allocator may keep.
    assert footprint.memory(running.container) - before < 25
    model.reset()
    begin = time.monotonic()
    assert ask(running, name).status_code == 200
    assert time.monotonic() - begin < 5


@contextmanager
def nobody() -> Iterator[int]:
    """Yield a port of this machine that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        yield int(taken.getsockname()[1])
