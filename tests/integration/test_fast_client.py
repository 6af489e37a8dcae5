"""Plain chat requests go by a client of their own: its connections, its TLS, its errors."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import docker
import pytest
import requests

from deploy.docker import tar_files
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from deploy.targets import verification
from deploy.testing.waiting import until
from tests.integration.conftest import Start, built
from tests.integration.running_container import Running

NAME = "chat"
SAMPLE = {"question": "Hello?"}
ANSWER = {"answer": "[2 messages] You said: Hello?"}
EVENTS = "text/event-stream"


@pytest.fixture(scope="module")
def running(start: Start, variables: dict[str, str]) -> Running:
    """One worker that has answered, so that its next requests take the short way."""
    made = start(built(NAME)[1], **variables, SERVE_WORKERS="1", SERVE_MODEL_PATIENCE="0")
    assert made.post(SAMPLE).json() == ANSWER
    return made


def test_connections_are_used_again(running: Running, model: ModelServer) -> None:
    for _ in range(20):
        assert running.post(SAMPLE).json() == ANSWER
    assert len(model.requests) == 20
    # The first may still be the SDK's.
    assert len(model.clients) <= 2


@pytest.mark.parametrize(
    ("fail", "status", "code"),
    [(429, 503, "ModelBusy"), (500, 502, "ModelFailed"), (401, 500, "FlowFailed")],
)
def test_an_error_is_reported_without_a_second_request(
    running: Running, model: ModelServer, fail: int, status: int, code: str
) -> None:
    model.fail = fail
    response = running.post(SAMPLE)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert len(model.requests) == 1
    model.fail = 0
    assert running.post(SAMPLE).json() == ANSWER


def streamed(running: Running) -> tuple[int, list[str], str]:
    """Return the status, the texts and what else there was of an answer in events."""
    response = running.post(SAMPLE, Accept=EVENTS)
    events = response.text.split("\n\n")
    texts = [json.loads(e[6:])["answer"] for e in events if e.startswith('data: {"answer"')]
    rest = [e for e in events if e and not e.startswith('data: {"answer"')]
    return response.status_code, texts, "\n".join(rest)


def test_connections_of_streams_are_used_again(running: Running, model: ModelServer) -> None:
    expected = [f"{word} " for word in ANSWER["answer"].split(" ")] + [""]
    for usage in (False, True):
        model.usage = usage
        for _ in range(10):
            assert streamed(running) == (200, expected, "")
    assert len(model.requests) == 20
    assert all(asked["stream"] is True for asked in model.requests)
    # The end of a body may come too late for its connection to be kept.
    assert len(model.clients) <= 10


def test_a_stream_breaks_and_the_next_does_not(running: Running, model: ModelServer) -> None:
    model.cut_after = 2
    status, texts, rest = streamed(running)
    assert (status, len(texts)) == (200, 2)
    assert rest.startswith("event: error")
    model.cut_after = None
    assert streamed(running)[2] == ""
    assert len(model.requests) == 2


@pytest.mark.parametrize(("fail", "status"), [(429, 503), (500, 502), (401, 500)])
def test_a_stream_that_does_not_begin_is_an_error(
    running: Running, model: ModelServer, fail: int, status: int
) -> None:
    model.fail = fail
    assert streamed(running)[0] == status
    assert len(model.requests) == 1
    model.fail = 0
    assert streamed(running)[0] == 200


def test_a_page_in_place_of_a_stream_is_handled_as_by_the_sdk(
    running: Running, model: ModelServer
) -> None:
    model.answer_html = True
    assert streamed(running) == (200, [], "")


def test_a_client_that_leaves_frees_the_model(running: Running, model: ModelServer) -> None:
    model.gate = threading.Event()
    response = requests.post(
        f"{running.url}/score", json=SAMPLE, headers={"Accept": EVENTS}, stream=True, timeout=30
    )
    assert next(response.iter_content(None))
    response.close()
    model.gate.set()
    # Nothing of what the other one left is read by the next.
    model.gate = None
    for _ in range(3):
        assert "".join(streamed(running)[1]).strip() == ANSWER["answer"]


def test_a_redirect_is_left_to_the_sdk(running: Running, model: ModelServer) -> None:
    model.fail = 307
    response = running.post(SAMPLE)
    # It has no address to go to, which is the service's failure.
    assert response.status_code in (500, 502)
    model.fail = 0
    assert running.post(SAMPLE).json() == ANSWER


def test_chunks_are_those_of_the_sdk(client: docker.DockerClient) -> None:
    run_in_image(client, "chunk_comparison.py")


def test_a_client_with_changed_credentials_sends_what_the_sdk_would(
    client: docker.DockerClient,
) -> None:
    run_in_image(client, "key_rotation.py")


def run_in_image(client: docker.DockerClient, name: str) -> None:
    """Run a script of this folder in the image."""
    script = Path(__file__).with_name(name).read_text(encoding="utf-8")
    # Its exit status is 0, or this raises with what it printed.
    client.containers.run(built(NAME)[1].id, ["python3", "-c", script], remove=True, stderr=True)


def _certificate(folder: Path) -> Path:
    """Return a file with a certificate for the machine as containers see it, and its key."""
    path = folder / "model.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=model", "-addext", "subjectAltName=DNS:host.docker.internal"]
    command += ["-keyout", str(path), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("a", encoding="ascii") as file:
        file.write((folder / "certificate.pem").read_text(encoding="ascii"))
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_https_with_a_certificate_that_is_looked_at(
    trusted: bool, tmp_path: Path, client: docker.DockerClient
) -> None:
    path = _certificate(tmp_path)
    with model_server.serve(certificate=path) as model:
        variables = {
            "AZURE_OPENAI_ENDPOINT": model.endpoint,
            "AZURE_OPENAI_API_KEY": model_server.KEY,
            "SERVE_WORKERS": "1",
        }
        if trusted:
            variables["SSL_CERT_FILE"] = "/trusted.pem"
        container = client.containers.create(
            built(NAME)[1].id,
            environment=variables,
            ports={"8080/tcp": ("127.0.0.1", 0)},
            extra_hosts={"host.docker.internal": "host-gateway"},
        )
        try:
            container.put_archive(
                "/", tar_files.pack({"trusted.pem": tmp_path / "certificate.pem"})
            )
            container.start()
            container.reload()
            port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
            running = Running(container, f"http://127.0.0.1:{port}")
            verification.wait_until_ready(running.url, built(NAME)[1], 60, lambda: "")
            answers = [running.post(SAMPLE) for _ in range(3)]
        finally:
            container.remove(force=True)
        if trusted:
            assert [answer.json() for answer in answers] == [ANSWER] * 3
            until(lambda: len(model.clients) <= 2)
        else:
            assert [answer.json()["error"]["code"] for answer in answers] == [
                "ModelUnreachable"
            ] * 3
            assert model.requests == []
