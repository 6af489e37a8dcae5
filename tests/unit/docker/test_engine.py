"""Engines that answer, with TLS and behind SSH, and which kind they are."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.docker import engine, ssh
from deploy.docker.endpoint import Endpoint
from deploy.sandbox.certificates import CertificateAuthority
from tests.unit.docker.contexts import add_context, refusal, use
from tests.unit.docker.servers import VERSION, Handler, TlsServer, serving

CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@pytest.fixture
def tls_address(authority: CertificateAuthority) -> Iterator[str]:
    """The address of an engine that wants a client's certificate."""
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.bundle)
    for server in serving(TlsServer(context)):
        yield f"tcp://127.0.0.1:{server.server_port}"


@pytest.fixture
def plain_address() -> Iterator[str]:
    for server in serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)):
        yield f"tcp://127.0.0.1:{server.server_port}"


def version_by_command(there: Endpoint) -> str:
    """Return the engine's version as the docker command prints it, or what keeps it from that."""
    line = ["docker", *there.command_line(), "version", "--format", "{{.Server.Version}}"]
    done = subprocess.run(
        line, env=there.environment(), capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr


needs_docker = pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command")


def by_variables(monkeypatch: pytest.MonkeyPatch, address: str, folder: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))


def test_an_engine_behind_tls(
    home: Path,
    tls_address: str,
    authority: CertificateAuthority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "certificates"
    authority.client(folder)
    by_variables(monkeypatch, tls_address, folder)
    # It is for other servers: the engine's authority is in ca.pem.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CertificateAuthority(tmp_path, "Others").bundle))
    assert engine.connect().version()["Version"] == "26.0.0"


def test_a_context_behind_tls(
    home: Path, tls_address: str, authority: CertificateAuthority, tmp_path: Path
) -> None:
    authority.client(add_context(home, "remote", tls_address))
    use(home, "remote")
    assert engine.connect().version()["Version"] == "26.0.0"


def test_a_context_that_skips_verification(
    home: Path, tls_address: str, authority: CertificateAuthority, tmp_path: Path
) -> None:
    others = CertificateAuthority(tmp_path, "Others")
    folder = add_context(home, "lab", tls_address, skip_verify=True)
    authority.client(folder)
    (folder / "ca.pem").write_bytes(others.bundle.read_bytes())
    use(home, "lab")
    assert engine.connect().version()["Version"] == "26.0.0"


@needs_docker
@pytest.mark.parametrize("skip_verify", [False, True])
def test_the_docker_command_uses_the_same_engine(
    home: Path, tls_address: str, authority: CertificateAuthority, skip_verify: bool
) -> None:
    authority.client(add_context(home, "remote", tls_address, skip_verify))
    use(home, "remote")
    assert version_by_command(engine.find_endpoint()) == "26.0.0"


@needs_docker
def test_the_docker_command_takes_no_certificates_of_its_own(
    home: Path, authority: CertificateAuthority
) -> None:
    # Without a certificate for the client, of an engine that wants none.
    for server in serving(TlsServer(authority.server())):
        add_context(home, "lab", f"tcp://127.0.0.1:{server.server_port}", skip_verify=True)
        use(home, "lab")
        for name in ("cert.pem", "key.pem"):
            (home / name).write_text("no certificate")
        assert engine.connect().version()["Version"] == "26.0.0"
        assert version_by_command(engine.find_endpoint()) == "26.0.0"


def test_a_certificate_of_another_authority(
    home: Path, authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "certificates"
    CertificateAuthority(tmp_path, "Others").client(folder)
    for server in serving(TlsServer(authority.server())):
        address = f"tcp://127.0.0.1:{server.server_port}"
        by_variables(monkeypatch, address, folder)
        assert refusal(engine.connect) == (
            f"Docker: no engine answers at {address} (DOCKER_HOST): its certificate is not "
            "trusted (unable to get local issuer certificate)\n"
            f"  → it must be signed by {folder}/ca.pem"
        )


def test_an_engine_that_requires_a_client_certificate(
    home: Path,
    tls_address: str,
    authority: CertificateAuthority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "certificates"
    authority.client(folder)
    (folder / "key.pem").unlink()
    by_variables(monkeypatch, tls_address, folder)
    assert refusal(engine.connect) == (
        f"Docker: no engine answers at {tls_address} (DOCKER_HOST): it does not accept the "
        "client's certificate (none was sent)\n"
        "  → cert.pem and key.pem must be from the authority that the engine trusts"
    )


def test_tls_to_an_engine_without(
    home: Path,
    plain_address: str,
    authority: CertificateAuthority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "certificates"
    authority.client(folder)
    by_variables(monkeypatch, plain_address, folder)
    assert refusal(engine.connect) == (
        f"Docker: no engine answers at {plain_address} (DOCKER_HOST): it does not speak TLS\n"
        "  → unset DOCKER_TLS_VERIFY, or correct the port"
    )


def test_no_tls_to_an_engine_with(
    home: Path, plain_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Go's server answers, which engines use.
    printed = b"Client sent an HTTP request to an HTTPS server.\n"
    monkeypatch.setattr(Handler, "answer", lambda self: (400, printed))
    assert refusal(engine.connect, plain_address) == (
        f"Docker: no engine answers at {plain_address} (environments.yaml): it speaks TLS\n"
        "  → set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with ca.pem, cert.pem "
        "and key.pem"
    )


@pytest.mark.parametrize("body", [b"{}", b"hello", b"[]"])
def test_invalid_engines(
    home: Path, plain_address: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "answer", lambda self: (200, body))
    assert refusal(engine.connect, plain_address) == (
        f"Docker: no engine answers at {plain_address} (environments.yaml): "
        "the service that answers is not a Docker engine\n"
        "  → start it, or correct environments.yaml"
    )


DIAL = """\
#!{python}
import os, socket, sys, threading
with open({log!r}, "a") as log:
    print(*sys.argv[1:], sep="|", file=log)
engine = socket.socket(socket.AF_UNIX)
engine.connect({path!r})
def send():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := engine.recv(65536):
    os.write(1, data)
"""


def fake_ssh(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_an_engine_behind_ssh(
    home: Path, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    script = DIAL.format(python=sys.executable, path=str(socket_path), log=str(log))
    fake_ssh(tmp_path, script, monkeypatch)
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@host:2222")
    client = engine.connect()
    # The connection is kept, and taken again.
    for _ in range(3):
        assert client.version()["Version"] == "26.0.0"
    client.close()
    arguments = "-l|me|-p|2222|-o|ConnectTimeout=30|-T|--|host|docker system dial-stdio\n"
    assert log.read_text() == 2 * arguments


def test_the_command_of_ssh() -> None:
    options = ["-o", "ConnectTimeout=30", "-T", "--", "host"]
    assert ssh.command("ssh://host") == ["ssh", *options, "docker system dial-stdio"]
    assert ssh.command("ssh://host/run/pod man.sock") == [
        "ssh",
        *options,
        "docker '--host=unix:///run/pod man.sock' system dial-stdio",
    ]


def test_ssh_that_fails(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "#!/bin/sh\necho 'me@host: Permission denied (publickey).' >&2\nexit 255\n"
    fake_ssh(tmp_path, script, monkeypatch)
    assert refusal(engine.connect, "ssh://me@host") == (
        "Docker: no engine answers at ssh://me@host (environments.yaml): "
        "me@host: Permission denied (publickey).\n"
        "  → `ssh -l me -o ConnectTimeout=30 -T -- host docker version` must work without a "
        "password"
    )


def test_no_ssh(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(engine.connect, "ssh://me@host") == (
        "Docker: ssh://me@host (environments.yaml) needs the ssh command, which is not on the "
        "path\n"
        "  → install OpenSSH's client"
    )


class Client:
    """What an engine tells of itself."""

    def __init__(self, components: object = None, status: object = None) -> None:
        self._components, self._status = components, status

    def version(self) -> dict[str, Any]:
        return {**VERSION, "Components": self._components}

    def info(self) -> dict[str, Any]:
        return {"DriverStatus": self._status}


CONTAINERD = [["driver-type", "io.containerd.snapshotter.v1"]]


@pytest.mark.parametrize(
    ("components", "status", "kind", "store"),
    [
        ([{"Name": "Engine"}], [["Backing Filesystem", "extfs"]], "docker", "classic"),
        ([{"Name": "Engine"}], CONTAINERD, "docker", "containerd"),
        ([{"Name": "Podman Engine"}, {"Name": "Conmon"}], [], "podman", "containers-storage"),
        (None, None, "docker", "classic"),
    ],
)
def test_kinds_of_engine(components: object, status: object, kind: str, store: str) -> None:
    client: Any = Client(components, status)
    assert (engine.detect_product(client), engine.detect_image_store(client)) == (kind, store)
