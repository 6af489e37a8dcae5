"""Plain chat requests go by a client of their own: its connections, its TLS, its errors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import docker
import pytest

from deploy import sandbox, verify
from tests import model_server
from tests.integration.conftest import Start, built
from tests.integration.running import Running, until
from tests.model_server import ModelServer

NAME = "chat"
SAMPLE = {"question": "Hello?"}
ANSWER = {"answer": "[2 messages] You said: Hello?"}


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
def test_an_error_is_told_and_nothing_is_sent_twice(
    running: Running, model: ModelServer, fail: int, status: int, code: str
) -> None:
    model.fail = fail
    response = running.post(SAMPLE)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert len(model.requests) == 1
    model.fail = 0
    assert running.post(SAMPLE).json() == ANSWER


def test_a_redirect_is_left_to_the_sdk(running: Running, model: ModelServer) -> None:
    model.fail = 307
    response = running.post(SAMPLE)
    # It has no address to go to, which is the service's failure.
    assert response.status_code in (500, 502)
    model.fail = 0
    assert running.post(SAMPLE).json() == ANSWER


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
            container.put_archive("/", sandbox.pack({"trusted.pem": tmp_path / "certificate.pem"}))
            container.start()
            container.reload()
            port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
            running = Running(container, f"http://127.0.0.1:{port}")
            verify.ready(running.url, built(NAME)[1], 60, lambda: "")
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
