"""The container's contract, kept by the image of every flow of the repository."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import docker
import jsonschema
import pytest
import requests

from deploy.build import labels as names
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from deploy.targets import verification
from deploy.testing.waiting import until
from tests.integration.conftest import Start, built
from tests.integration.running_container import Running
from tests.projects import FIXTURE

pytestmark = pytest.mark.bases

FLOWS = sorted(path.parent.name for path in (FIXTURE / "flows").glob("*/deploy.yaml"))
WITH_MODEL = [name for name in FLOWS if name != "faq"]
Serving = Callable[[str], Running]


@pytest.fixture(params=FLOWS)
def flow(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sample(name: str) -> dict[str, object]:
    content = json.loads((FIXTURE / f"flows/{name}/sample.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_the_sample_is_answered_as_expected(flow: str, serving: Serving) -> None:
    response = serving(flow).post(sample(flow))
    assert response.status_code == 200
    assert verification.find_mismatches(response.json(), built(flow)[0].expect) == []


def test_version_reports_flow_tag_and_commit(flow: str, serving: Serving) -> None:
    _, made = built(flow)
    answer = serving(flow).get("/version").json()
    assert answer == {"flow": flow, "tag": made.tag, "commit": made.commit}


def test_health(flow: str, serving: Serving) -> None:
    assert serving(flow).get("/health").status_code == 200


def test_swagger_fits_the_sample_and_the_answer(flow: str, serving: Serving) -> None:
    post = serving(flow).get("/swagger.json").json()["paths"]["/score"]["post"]
    request = post["requestBody"]["content"]["application/json"]["schema"]
    answer = post["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(sample(flow), request)
    jsonschema.validate(serving(flow).post(sample(flow)).json(), answer)
    assert request["required"], "every flow of the repository has an input that it needs"


def test_missing_input_is_named(flow: str, serving: Serving) -> None:
    needed = serving(flow).get("/swagger.json").json()["paths"]["/score"]["post"]["requestBody"]
    required = needed["content"]["application/json"]["schema"]["required"]
    response = serving(flow).post({"nonsense": 1})
    assert response.status_code == 400
    assert response.json()["error"]["inputs"] == required


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_wrong_type_is_named(flow: str, value: object, serving: Serving) -> None:
    body = dict.fromkeys(sample(flow), value)
    response = serving(flow).post(body)
    assert response.status_code == 400
    assert set(response.json()["error"]["inputs"]) <= set(body)
    assert response.json()["error"]["inputs"]


def test_body_over_the_limit(flow: str, serving: Serving) -> None:
    response = requests.post(f"{serving(flow).url}/score", data=b"x" * (10 * 2**20 + 1), timeout=30)
    assert response.status_code == 413


def test_not_root_one_tree_of_processes_and_a_read_only_root(flow: str, serving: Serving) -> None:
    container = serving(flow).container
    processes = container.top(ps_args="-eo pid,uid,ppid")["Processes"]
    assert {row[1] for row in processes} == {"10001"}
    first = str(container.attrs["State"]["Pid"])
    assert [row[2] for row in processes].count(first) == len(processes) - 1
    assert container.attrs["HostConfig"]["ReadonlyRootfs"] is True
    assert not container.diff(), "something was written"


def test_no_secret_and_no_value_of_an_environment_in_the_image(
    flow: str, client: docker.DockerClient, model: ModelServer
) -> None:
    made = built(flow)[1]
    attributes = json.dumps(client.images.get(made.id).attrs) + json.dumps(
        client.images.get(made.id).history()
    )
    content = b"".join(client.images.get(made.id).save())
    for value in (model_server.KEY, model.endpoint):
        assert value not in attributes
        assert value.encode() not in content


def test_with_a_key_only_health_is_open(start: Start, variables: dict[str, str]) -> None:
    keys = {"SERVE_KEY": "first-key-of-a-test", "SERVE_SECONDARY_KEY": "second-key-of-a-test"}
    running = start(built("extract")[1], **variables, **keys)
    assert running.get("/health").status_code == 200
    assert running.get("/version").status_code == 401
    refused = running.post(sample("extract"), Authorization="Bearer another-key-of-a-test")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "Unauthorized")
    for key in keys.values():
        answer = running.post(sample("extract"), Authorization=f"Bearer {key}")
        assert answer.status_code == 200
    assert not any(key in running.logs() for key in keys.values())


def test_labels(flow: str, client: docker.DockerClient) -> None:
    made = built(flow)[1]
    labels = client.images.get(made.id).labels
    assert labels[f"{names.OCI_PREFIX}.title"] == flow
    assert labels[f"{names.OCI_PREFIX}.version"] == made.tag == labels[names.TAG]
    assert labels[f"{names.OCI_PREFIX}.revision"]
    assert labels[f"{names.OCI_PREFIX}.created"]
    assert labels[f"{names.OCI_PREFIX}.base.name"] == made.base


def test_sigterm_ends_at_once_when_nothing_runs(
    flow: str, start: Start, variables: dict[str, str]
) -> None:
    running = start(built(flow)[1], **variables)
    running.container.kill("SIGTERM")
    assert running.exit_status() == 0


@pytest.mark.parametrize("name", WITH_MODEL)
def test_sigterm_drains(
    name: str, start: Start, variables: dict[str, str], model: ModelServer
) -> None:
    running = start(built(name)[1], **variables)
    model.gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(running.post, sample(name)) for _ in range(8)]
        until(lambda: len(model.requests) == 8)
        running.container.kill("SIGTERM")
        # Once it refuses new work it has got the signal, with all eight requests still open.
        until(lambda: _refuses(running))
        model.gate.set()
        statuses = [future.result().status_code for future in futures]
    assert statuses == [200] * 8
    assert running.exit_status() == 0


@pytest.mark.parametrize("name", ["triage", "extract"])
def test_sigterm_ends_after_the_grace_period_whatever_still_runs(
    name: str, start: Start, variables: dict[str, str], model: ModelServer
) -> None:
    running = start(built(name)[1], **variables, SERVE_GRACE="1")
    model.gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(running.post, sample(name))
        until(lambda: len(model.requests) == 1)
        begin = time.monotonic()
        running.container.kill("SIGTERM")
        assert running.exit_status() == 0
        # The model would have kept it for 30 s.
        assert 1 <= time.monotonic() - begin < 10
        model.gate.set()
        future.exception()


@pytest.mark.parametrize("name", WITH_MODEL)
def test_missing_variables_are_named_at_start(name: str, start: Start) -> None:
    running = start(built(name)[1], wait=False)
    assert running.exit_status() == 78
    assert running.logs() == (
        "cannot start: connection open_ai_connection: set AZURE_OPENAI_ENDPOINT (its api_base)\n"
        "cannot start: connection open_ai_connection: set AZURE_OPENAI_API_KEY (its api_key), or run with a managed identity\n"
    )


@pytest.mark.parametrize("name", WITH_MODEL)
def test_managed_identity_in_place_of_a_key(name: str, start: Start, model: ModelServer) -> None:
    running = start(
        built(name)[1],
        AZURE_OPENAI_ENDPOINT=model.endpoint,
        IDENTITY_ENDPOINT=f"{model.endpoint}/identity",
        IDENTITY_HEADER=model_server.KEY,
    )
    # The first request shows how the next ones are written.
    for _ in range(3):
        response = running.post(sample(name))
        assert response.status_code == 200, running.logs()
        assert verification.find_mismatches(response.json(), built(name)[0].expect) == []


@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_rejected_key_is_never_disclosed(name: str, start: Start, model: ModelServer) -> None:
    wrong = "wrong-key-that-is-secret"
    running = start(
        built(name)[1], AZURE_OPENAI_ENDPOINT=model.endpoint, AZURE_OPENAI_API_KEY=wrong
    )
    response = running.post(sample(name))
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "FlowFailed"
    assert "Traceback" not in response.text
    assert wrong not in response.text
    # The model server quotes the key in its error, as the real service does with a part of it.
    until(lambda: "invalid subscription key: ***" in running.logs())
    assert wrong not in running.logs()


def test_chat_streams_unbuffered(serving: Serving, model: ModelServer) -> None:
    model.gate = threading.Event()
    headers = {"Accept": "text/event-stream"}
    url = f"{serving('chat').url}/score"
    with requests.post(
        url, json=sample("chat"), headers=headers, stream=True, timeout=30
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in response.iter_lines() if line)
        # The model holds back all but its first chunk until the gate opens: this one must come before.
        first = next(lines)
        model.gate.set()
        rest = list(lines)
    events = [json.loads(line.removeprefix(b"data: ")) for line in [first, *rest]]
    assert len(events) > 3
    assert "".join(event["answer"] for event in events).startswith("[4 messages] You said: And how")


def test_chat_uses_the_history(serving: Serving, model: ModelServer) -> None:
    serving("chat").post(sample("chat"))
    roles = [message["role"] for message in model.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_chat_without_history_uses_the_default(serving: Serving) -> None:
    assert serving("chat").post({"question": "Hello?"}).json() == {
        "answer": "[2 messages] You said: Hello?"
    }


@pytest.mark.parametrize(
    ("ticket", "category", "escalated", "calls"),
    [
        ("How do I print?", "question", False, 2),
        ("The server is down", "incident", True, 1),
        ("Thank you", "other", False, 1),
    ],
)
def test_triage_takes_one_branch(
    ticket: str, category: str, escalated: bool, calls: int, serving: Serving, model: ModelServer
) -> None:
    answer = serving("triage").post({"ticket": ticket}).json()
    assert (answer["category"], answer["escalated"]) == (category, escalated)
    assert answer["reply"]
    assert len(model.requests) == calls


def test_triage_runs_its_default_variant(serving: Serving, model: ModelServer) -> None:
    serving("triage").post({"ticket": "Thank you"})
    assert model.requests[0]["model"] == "gpt-4o-mini"
    assert "Answer with one word" in model.requests[0]["messages"][0]["content"]


def test_faq_finds_its_sources(serving: Serving) -> None:
    answer = serving("faq").post({"question": "  May I work from   home? "}).json()
    assert answer["sources"][0] == "Remote work"
    nothing = serving("faq").post({"question": "zzz"}).json()
    assert nothing == {"answer": "The handbook says nothing about: zzz\n", "sources": []}


def test_rewrite_takes_the_default_of_an_input(serving: Serving, model: ModelServer) -> None:
    serving("rewrite").post({"text": "x"})
    assert "a new colleague" in model.requests[0]["messages"][0]["content"]
    serving("rewrite").post({"text": "x", "audience": "a child"})
    assert "a child" in model.requests[1]["messages"][0]["content"]


def test_extract_runs_requests_side_by_side(serving: Serving, model: ModelServer) -> None:
    model.gate = threading.Event()
    with ThreadPoolExecutor(32) as pool:
        futures = [pool.submit(serving("extract").post, sample("extract")) for _ in range(32)]
        until(lambda: len(model.requests) == 32)
        model.gate.set()
        assert [future.result().status_code for future in futures] == [200] * 32


def _refuses(running: Running) -> bool:
    try:
        requests.get(f"{running.url}/health", timeout=5)
    except requests.RequestException:
        return True
    return False
