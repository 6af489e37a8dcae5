"""Invalid responses of a registry: each is a readable error, and no other host gets credentials."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.azure import clouds
from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.registry import authentication, login, manifests
from deploy.registry.login import AzureLogin, Credentials, DockerLogin
from deploy.registry.oci import Registry

Answer = tuple[int, dict[str, str], bytes]
DIGEST = "sha256:" + "a" * 64
PAGE = b"<html>Sign in to your company</html>"


class Server:
    """A server on this machine that answers as `answer` says; `seen` is what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str, str], Answer] = lambda *_: (200, {}, b"{}")
        self.seen: list[tuple[str, str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, self.headers.get("Authorization")))
                status, headers, body = outer.answer(self.command, self.path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.name = f"127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_requests, "BACK_OFF", 0.01)
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def asked(server: Server) -> str:
    """Ask for a manifest; return what is said of the answer."""
    with pytest.raises(DeployError) as caught:
        Registry(server.name, DockerLogin(server.name)).get_manifest("faq", "latest")
    return str(caught.value)


@pytest.mark.parametrize("body", [PAGE, b"[]", b"garbage", b""])
def test_a_response_that_is_no_document_is_not_from_a_registry(server: Server, body: bytes) -> None:
    server.answer = lambda *_: (200, {}, body)
    assert "its answer is not that of a registry" in asked(server)


@pytest.mark.parametrize(
    ("realm", "expected"),
    [
        ("/token", "without TLS, at /token"),
        ("ftp://x/token", "without TLS, at ftp://x/token"),
        ("http://elsewhere.example/token", "without TLS, at http://elsewhere.example/token"),
    ],
)
def test_a_sign_in_without_tls_is_rejected(server: Server, realm: str, expected: str) -> None:
    server.answer = lambda *_: (401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}, b"")
    assert expected in asked(server)
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [PAGE, b"{}", b'{"token": 5}', b'{"access_token": ""}'])
def test_an_answer_without_a_token(server: Server, body: bytes) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.name}/token"'}
    server.answer = lambda _, path: (
        (200, {}, body) if path.startswith("/token") else (401, challenge, b"")
    )
    printed = asked(server)
    assert "not that of a registry" in printed or "the response has no token" in printed


def test_a_lifetime_that_is_no_number_is_the_shortest(server: Server) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.name}/token"'}
    token = b'{"token": "t", "expires_in": "soon"}'
    server.answer = lambda _, path: (
        (200, {}, token) if path.startswith("/token") else (401, challenge, b"")
    )
    made = authentication.Authenticator(
        server.name, DockerLogin(server.name), http_requests.new_session()
    )
    assert made.headers(("repository:faq:pull",)) == {"Authorization": "Bearer t"}


def test_a_firewall_block_is_recognized(server: Server) -> None:
    body = {"errors": [{"code": "DENIED", "message": "client with IP '192.0.2.1' is not allowed"}]}
    server.answer = lambda *_: (403, {}, json.dumps(body).encode())
    printed = asked(server)
    assert "client with IP '192.0.2.1' is not allowed" in printed
    assert "not that of a registry" not in printed


def test_redirects_that_never_end_are_not_followed_again(server: Server) -> None:
    server.answer = lambda _, path: (302, {"Location": path}, b"")
    assert "redirects to no valid address" in asked(server)
    assert len(server.seen) < 40


def test_an_anonymous_client_sends_no_header(server: Server) -> None:
    server.answer = lambda *_: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    assert "credentials are required to pull from faq" in asked(server)
    assert {header for _, _, header in server.seen} == {None}


def test_credentials_are_not_sent_to_redirect_targets(server: Server) -> None:
    server.answer = lambda *_: (307, {"Location": "http://127.0.0.1:1/elsewhere"}, b"")
    response = http_requests.send(
        http_requests.new_session(),
        "POST",
        f"http://{server.name}/oauth2/exchange",
        "it",
        data={"token": "t"},
    )
    assert response.status_code == 307


def test_a_netrc_takes_no_tokens_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("default login somebody password hunter2hunter2\n", encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    url = "https://registry.example/v2/"
    for given in ({"Authorization": "Bearer t"}, {}):
        request = requests.Request("GET", url, headers=given)
        sent = http_requests.new_session().prepare_request(request)
        assert sent.headers.get("Authorization") == given.get("Authorization")


def test_credentials_stay_with_the_requested_host(server: Server) -> None:
    """Two names of this machine are two hosts."""
    elsewhere = f"http://localhost:{server.http.server_port}/blob"
    server.answer = lambda _, path: (
        (200, {}, b"{}") if path == "/blob" else (307, {"Location": elsewhere}, b"")
    )
    headers = {"Authorization": "Bearer t"}
    http_requests.send(
        http_requests.new_session(), "GET", f"http://{server.name}/v2/", "it", headers=headers
    )
    assert [header for _, _, header in server.seen] == ["Bearer t", None]


@pytest.mark.parametrize(
    ("place", "sent"),
    [
        ("https://registry.example:443/upload", "Bearer t"),
        ("/upload?a=b", "Bearer t"),
        ("https://storage.example/upload", None),
        ("http://registry.example/upload", "nothing"),
    ],
)
def test_a_token_goes_with_an_upload_to_the_registry_alone(
    monkeypatch: pytest.MonkeyPatch, place: str, sent: str | None
) -> None:
    headers: list[str | None] = []

    def send(_: object, method: str, __: str, ___: str, **given: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code = 202 if method == "POST" else 201
        answer.headers["Location"] = place
        if method == "PUT":
            headers.append(given["headers"].get("Authorization"))
        return answer

    monkeypatch.setattr(http_requests, "send", send)
    monkeypatch.setattr(
        authentication.Authenticator, "base", property(lambda _: "https://registry.example")
    )
    monkeypatch.setattr(
        authentication.Authenticator, "headers", lambda *_: {"Authorization": "Bearer t"}
    )
    registry = Registry("registry.example", DockerLogin("registry.example"))
    refused = pytest.raises(
        DeployError, match=r"redirects uploads to registry\.example without TLS"
    )
    with refused if sent == "nothing" else contextlib.nullcontext():
        registry.upload_blob("faq", DIGEST, io.BytesIO(b"content"), 7)
    assert headers == ([] if sent == "nothing" else [sent])


def test_a_connection_timeout_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def never(*_: object, **__: object) -> requests.Response:
        attempts.append(1)
        inner = "ConnectTimeoutError(<HTTPSConnection(host='x')>, 'timed out')"
        raise requests.exceptions.ConnectTimeout(inner)

    monkeypatch.setattr(requests.Session, "request", never)
    with pytest.raises(DeployError, match="it cannot be reached"):
        Registry("registry.example", DockerLogin("registry.example")).get_manifest("faq", "latest")
    assert len(attempts) == 1


@pytest.mark.parametrize(
    "descriptor", [None, "x", {}, {"digest": "latest"}, {"digest": "../../x/manifests/latest"}]
)
def test_a_manifest_reference_without_a_digest_is_rejected(descriptor: object) -> None:
    with pytest.raises(DeployError, match="entry without a valid digest"):
        manifests.read_digest(descriptor, "registry x")
    assert manifests.read_digest({"digest": DIGEST}, "registry x") == DIGEST


def test_a_credential_helper_that_answers_nonsense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-junk"
    helper.write_text("#!/bin/sh\necho 'hunter2hunter2'\n", encoding="utf-8")
    helper.chmod(0o700)
    (tmp_path / "config.json").write_text('{"credsStore": "junk"}', encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    docker_login = DockerLogin("registry.example")
    assert docker_login.credentials() == Credentials()
    assert str(docker_login.explain_denial("registry.example", "faq", push=True)) == (
        "registry registry.example: credentials are required to push to faq, and none are stored; "
        "the answer of docker-credential-junk cannot be read\n"
        "  → install that helper, or remove it from config.json of the docker command, "
        "then run `docker login registry.example`"
    )


def test_an_exchange_that_answers_with_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = base64.urlsafe_b64encode(b'{"oid": "1"}').decode()
    answer = requests.Response()
    answer.status_code = 200
    answer._content = PAGE
    monkeypatch.setattr(clouds, "get_token", lambda *_: f"e.{claims}.s")
    monkeypatch.setattr(http_requests, "send", lambda *_, **__: answer)
    with pytest.raises(DeployError, match="not that of a registry"):
        AzureLogin("x.azurecr.io", clouds.CLOUDS["public"]).credentials()


def test_a_token_without_a_user_name_is_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Credentials(refresh_token="t")
    monkeypatch.setattr(login.DockerLogin, "credentials", lambda _: known)
    printed = str(DockerLogin("x").explain_denial("x", "faq", push=True))
    assert "the docker user is not allowed to push to faq" in printed
