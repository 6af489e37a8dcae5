"""The engine is found as the docker command finds it, with the reason where it does not answer."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.docker import endpoint as finding
from deploy.docker import engine, ssh
from deploy.docker.endpoint import Endpoint, TlsFiles
from deploy.errors import DeployError
from tests.emulator.certificates import Authority

VERSION = {"ApiVersion": "1.45", "Version": "26.0.0", "Os": "linux", "Arch": "arm64"}
CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing is configured; return the folder of the docker command's files."""
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(finding, "other_sockets", list)
    monkeypatch.setattr(engine, "other_sockets", list)
    folder = tmp_path / ".docker"
    folder.mkdir()
    return folder


def add_context(home: Path, name: str, host: str, skip_verify: bool = False) -> Path:
    """Write a context as `docker context create` does; return the folder of its certificates."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = home / "contexts/meta" / identifier / "meta.json"
    meta.parent.mkdir(parents=True)
    target = {"Host": host, "SkipTLSVerify": skip_verify}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": target}}))
    return home / "contexts/tls" / identifier / "docker"


def use(home: Path, name: str) -> None:
    (home / "config.json").write_text(json.dumps({"currentContext": name}))


def refusal(action: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(DeployError) as caught:
        action(*arguments)
    return str(caught.value)


# Which engine


def test_nothing_configured_is_the_default_socket(home: Path) -> None:
    there = engine.endpoint()
    assert there == Endpoint("unix:///var/run/docker.sock", "the default socket")
    assert there.is_default
    assert there.command_line() == ("--host", "unix:///var/run/docker.sock")


def test_a_host_wins_over_a_context(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(home, "colima", "unix:///colima.sock")
    add_context(home, "other", "unix:///other.sock")
    use(home, "colima")
    assert engine.endpoint() == Endpoint("unix:///colima.sock", "context colima", "colima")
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert engine.endpoint() == Endpoint("unix:///other.sock", "context other", "other")
    monkeypatch.setenv("DOCKER_HOST", "unix:///host.sock")
    assert engine.endpoint() == Endpoint("unix:///host.sock", "DOCKER_HOST")
    given = engine.endpoint("unix:///given.sock")
    assert given == Endpoint("unix:///given.sock", "environments.yaml")
    assert engine.address_of() == "unix:///host.sock"


def test_the_context_default_is_the_default_socket(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_context(home, "colima", "unix:///colima.sock")
    use(home, "colima")
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert engine.endpoint().is_default


def test_empty_variables_are_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in finding.VARIABLES:
        monkeypatch.setenv(name, "")
    assert engine.endpoint().is_default


def test_contexts_beside_no_config_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(home, "colima", "unix:///colima.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "colima")
    assert engine.endpoint().address == "unix:///colima.sock"


def test_the_folder_of_the_docker_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    add_context(elsewhere, "remote", "ssh://me@host")
    use(elsewhere, "remote")
    use(home, "not-this-one")
    monkeypatch.setenv("DOCKER_CONFIG", str(elsewhere))
    assert engine.endpoint() == Endpoint("ssh://me@host", "context remote", "remote")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("tcp://host", "tcp://host:2375"),
        ("tcp://host:2376/", "tcp://host:2376"),
        ("host:2376", "tcp://host:2376"),
        ("tcp://[::1]:2376", "tcp://[::1]:2376"),
        ("tcp://", "tcp://localhost:2375"),
        (" unix:// ", "unix:///var/run/docker.sock"),
        ("/run/docker.sock", "unix:///run/docker.sock"),
        ("ssh://me@host:2222/run/podman.sock", "ssh://me@host:2222/run/podman.sock"),
    ],
)
def test_addresses_as_the_docker_command_reads_them(home: Path, given: str, address: str) -> None:
    assert engine.endpoint(given).address == address


@pytest.mark.parametrize("address", ["http://host:2375", "npipe:////./pipe/docker", "tcp://h:x"])
def test_what_is_no_address(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert refusal(engine.endpoint) == (
        f"DOCKER_HOST: {address} is no address of a Docker engine\n"
        "  → write unix:///path, tcp://host:2375 or ssh://user@host"
    )


def test_a_password_is_refused_and_not_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me:hidden@host")
    assert refusal(engine.endpoint) == (
        "DOCKER_HOST: ssh://… is no address of a Docker engine\n"
        "  → write unix:///path, tcp://host:2375 or ssh://user@host"
    )


def test_an_unknown_context_is_not_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(home, "remote", "tcp://host:2376")
    add_context(home, "colima", "unix:///colima.sock")
    use(home, "colmia")
    assert refusal(engine.connect) == (
        f'{home}/config.json: there is no Docker context "colmia"\n'
        "  → known: default, colima, remote; choose one with `docker context use`"
    )
    monkeypatch.setenv("DOCKER_CONTEXT", "rmote")
    assert refusal(engine.connect) == (
        'DOCKER_CONTEXT: there is no Docker context "rmote"\n'
        "  → known: default, colima, remote; choose one with `docker context use`"
    )


@pytest.mark.parametrize("content", ["{broken", "[]"])
def test_a_config_file_that_cannot_be_read(home: Path, content: str) -> None:
    (home / "config.json").write_text(content)
    assert refusal(engine.endpoint) == (
        f"{home}/config.json: it is no JSON object\n"
        "  → correct it, or set DOCKER_HOST, which the docker command takes first"
    )


def test_a_context_without_an_engine(home: Path) -> None:
    add_context(home, "cloud", "")
    use(home, "cloud")
    assert engine.endpoint().address == "unix:///var/run/docker.sock"
    meta = next(home.glob("contexts/meta/*/meta.json"))
    meta.write_text('{"Name": "cloud", "Endpoints": {"kubernetes": {}}}')
    assert refusal(engine.endpoint) == (
        f'{home}/config.json: the Docker context "cloud" names no engine\n'
        "  → choose another with `docker context use`"
    )


# TLS


def test_tls_by_variables(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    Authority(tmp_path).client(folder)
    monkeypatch.setenv("DOCKER_HOST", "tcp://host:2376")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
    # As for the docker command, the path alone turns nothing on.
    assert engine.endpoint().tls is None
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    files = TlsFiles(*(folder / name for name in CERTIFICATES))
    there = engine.endpoint()
    assert there == Endpoint("tcp://host:2376", "DOCKER_HOST", "", files, False)
    assert there.command_line() == (
        "--host",
        "tcp://host:2376",
        "--tlsverify",
        f"--tlscacert={folder}/ca.pem",
        f"--tlscert={folder}/cert.pem",
        f"--tlskey={folder}/key.pem",
    )
    # `docker --host` takes them, too; a socket and SSH do without.
    assert engine.endpoint("tcp://other:2376").tls == files
    assert engine.endpoint("unix:///a.sock").tls is None
    assert engine.endpoint("ssh://host").tls is None
    monkeypatch.delenv("DOCKER_TLS_VERIFY")
    monkeypatch.setenv("DOCKER_TLS", "1")
    assert engine.endpoint().skip_verify
    assert engine.endpoint().command_line()[2] == "--tls"


def test_tls_alone_is_an_engine_on_this_machine(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Authority(tmp_path).client(home)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "0")
    there = engine.endpoint()
    assert (there.address, there.source) == ("tcp://localhost:2376", "DOCKER_TLS_VERIFY")
    assert there.tls == TlsFiles(*(home / name for name in CERTIFICATES))


def test_certificates_that_are_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://host:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    hint = "  → set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem"
    assert refusal(engine.connect) == (
        f"DOCKER_TLS_VERIFY: TLS to the engine needs {home}/ca.pem, which does not exist\n{hint}"
    )
    monkeypatch.setenv("DOCKER_CERT_PATH", "/nowhere")
    assert refusal(engine.connect) == (
        f"DOCKER_CERT_PATH: TLS to the engine needs /nowhere/ca.pem, which does not exist\n{hint}"
    )


def test_tls_of_a_context(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = add_context(home, "remote", "tcp://host:2376")
    use(home, "remote")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    # Variables are for addresses: this context has no TLS.
    assert engine.endpoint() == Endpoint("tcp://host:2376", "context remote", "remote")
    Authority(tmp_path).client(folder)
    files = TlsFiles(*(folder / name for name in CERTIFICATES))
    assert engine.endpoint().tls == files
    (folder / "key.pem").unlink()
    assert engine.endpoint().tls == TlsFiles(folder / "ca.pem")


def test_a_context_that_accepts_any_certificate(home: Path) -> None:
    add_context(home, "lab", "tcp://host:2376", skip_verify=True)
    use(home, "lab")
    there = engine.endpoint()
    assert there == Endpoint("tcp://host:2376", "context lab", "lab", TlsFiles(), True)
    flags = ("--tls", "--tlscacert=", "--tlscert=", "--tlskey=")
    assert there.command_line() == ("--host", "tcp://host:2376", *flags)


def test_the_environment_chooses_no_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in finding.VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    environment = Endpoint("unix:///a.sock", "DOCKER_HOST").environment()
    assert [name for name in environment if name.startswith("DOCKER_")] == ["DOCKER_CONFIG"]
    assert environment["HOME"] == os.environ["HOME"]


# Engines that answer


class Handler(BaseHTTPRequestHandler):
    """Answers what is asked of an engine first."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = self.answer()
        self.send_response(status)
        self.send_header("Api-Version", str(VERSION["ApiVersion"]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def answer(self) -> tuple[int, bytes]:
        if self.path.endswith("/_ping"):
            return 200, b"OK" if self.command == "GET" else b""
        return 200, json.dumps(VERSION).encode()

    def log_message(self, *_: object) -> None:
        pass


class TlsServer(ThreadingHTTPServer):
    """Handshakes in the thread of each connection; one that fails is no news."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, *_: object) -> None:
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        request, _ = super().get_request()
        return request, ("engine", 0)


def serving(server: socketserver.BaseServer) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_address(authority: Authority) -> Iterator[str]:
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


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "e.sock"
    for _ in serving(UnixServer(str(path), Handler)):
        yield path


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
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "certificates"
    authority.client(folder)
    by_variables(monkeypatch, tls_address, folder)
    # It is for other servers: the engine's authority is in ca.pem.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path, "Others").bundle))
    assert engine.connect().version()["Version"] == "26.0.0"


def test_a_context_behind_tls(
    home: Path, tls_address: str, authority: Authority, tmp_path: Path
) -> None:
    authority.client(add_context(home, "remote", tls_address))
    use(home, "remote")
    assert engine.connect().version()["Version"] == "26.0.0"


def test_a_context_that_skips_verification(
    home: Path, tls_address: str, authority: Authority, tmp_path: Path
) -> None:
    others = Authority(tmp_path, "Others")
    folder = add_context(home, "lab", tls_address, skip_verify=True)
    authority.client(folder)
    (folder / "ca.pem").write_bytes(others.bundle.read_bytes())
    use(home, "lab")
    assert engine.connect().version()["Version"] == "26.0.0"


@needs_docker
@pytest.mark.parametrize("skip_verify", [False, True])
def test_the_docker_command_uses_the_same_engine(
    home: Path, tls_address: str, authority: Authority, skip_verify: bool
) -> None:
    authority.client(add_context(home, "remote", tls_address, skip_verify))
    use(home, "remote")
    assert version_by_command(engine.endpoint()) == "26.0.0"


@needs_docker
def test_the_docker_command_takes_no_certificates_of_its_own(
    home: Path, authority: Authority
) -> None:
    # Without a certificate for the client, of an engine that wants none.
    for server in serving(TlsServer(authority.server())):
        add_context(home, "lab", f"tcp://127.0.0.1:{server.server_port}", skip_verify=True)
        use(home, "lab")
        for name in ("cert.pem", "key.pem"):
            (home / name).write_text("no certificate")
        assert engine.connect().version()["Version"] == "26.0.0"
        assert version_by_command(engine.endpoint()) == "26.0.0"


def test_a_certificate_of_another_authority(
    home: Path, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "certificates"
    Authority(tmp_path, "Others").client(folder)
    for server in serving(TlsServer(authority.server())):
        address = f"tcp://127.0.0.1:{server.server_port}"
        by_variables(monkeypatch, address, folder)
        assert refusal(engine.connect) == (
            f"Docker: no engine answers at {address} (DOCKER_HOST): its certificate is not "
            "trusted (unable to get local issuer certificate)\n"
            f"  → it must be signed by {folder}/ca.pem"
        )


def test_an_engine_that_wants_a_certificate(
    home: Path,
    tls_address: str,
    authority: Authority,
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
    authority: Authority,
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
    said = b"Client sent an HTTP request to an HTTPS server.\n"
    monkeypatch.setattr(Handler, "answer", lambda self: (400, said))
    assert refusal(engine.connect, plain_address) == (
        f"Docker: no engine answers at {plain_address} (environments.yaml): it speaks TLS\n"
        "  → set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with ca.pem, cert.pem "
        "and key.pem"
    )


@pytest.mark.parametrize("body", [b"{}", b"hello", b"[]"])
def test_what_is_no_engine(
    home: Path, plain_address: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "answer", lambda self: (200, body))
    assert refusal(engine.connect, plain_address) == (
        f"Docker: no engine answers at {plain_address} (environments.yaml): "
        "what answers is no Docker engine\n"
        "  → start it, or correct environments.yaml"
    )


# SSH

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


# Engines that do not answer

COLIMA = "`brew install colima docker && colima start`"


@pytest.fixture
def no_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose default socket is not there."""
    monkeypatch.setattr(finding, "DEFAULT_SOCKET", f"unix://{home}/default.sock")


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, user: int, *programs: str) -> None:
    """Pretend to be another system, user 0 or another, with these programs on the path."""
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in programs else None)


@pytest.mark.parametrize(
    ("system", "user", "programs", "hint"),
    [
        ("Linux", 0, ["apt-get"], "`inv setup` brings an engine up"),
        (
            "Linux",
            1000,
            ["apt-get"],
            "`sudo apt-get install docker.io && sudo systemctl start docker`",
        ),
        ("Linux", 1000, ["dnf"], "`sudo dnf install moby-engine && sudo systemctl start docker`"),
        ("Linux", 0, ["dnf"], "`dnf install moby-engine && systemctl start docker`"),
        ("Linux", 1000, ["apt-get", "dockerd"], "`sudo systemctl start docker`"),
        ("Linux", 0, [], "install Docker or Podman with the packages of this system, and start it"),
        (
            "Darwin",
            501,
            ["apt-get"],
            f"start Docker Desktop, OrbStack or Colima; to install one: {COLIMA}",
        ),
    ],
)
def test_how_an_engine_is_started_here(
    home: Path,
    no_engine: None,
    system: str,
    user: int,
    programs: list[str],
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, system, user, *programs)
    assert refusal(engine.connect) == (
        f"Docker: no engine answers at unix://{home}/default.sock (the default socket)\n  → {hint}"
    )


def test_another_socket_is_named(
    home: Path, no_engine: None, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    monkeypatch.setattr(finding, "DEFAULT_SOCKET", f"unix://{home}/default.sock")
    # Short: the path of a socket has 104 characters at most on macOS.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    there = home / "podman/podman.sock"
    there.parent.mkdir()
    there.symlink_to(socket_path)
    assert refusal(engine.connect) == (
        f"Docker: no engine answers at unix://{home}/default.sock (the default socket)\n"
        f"  → export DOCKER_HOST=unix://{home}/podman/podman.sock"
    )
    # One of root's is of no use to others; root may open all, so the answer is given here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "DOCKER_HOST" not in refusal(engine.connect)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("colima", "`colima start`, or choose another with `docker context use`"),
        ("desktop-linux", "start Docker Desktop, or choose another with `docker context use`"),
        ("mine", "start it, or choose another with `docker context use`"),
    ],
)
def test_how_the_engine_of_a_context_is_started(home: Path, name: str, hint: str) -> None:
    add_context(home, name, f"unix://{home}/gone.sock")
    use(home, name)
    assert refusal(engine.connect) == (
        f"Docker: no engine answers at unix://{home}/gone.sock (context {name})\n  → {hint}"
    )


def test_nothing_listens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("DOCKER_HOST", address)
        assert refusal(engine.connect) == (
            f"Docker: no engine answers at {address} (DOCKER_HOST): connection refused\n"
            "  → start it, or correct DOCKER_HOST"
        )


@pytest.mark.parametrize(
    ("system", "hint"),
    [
        ("Linux", "`sudo usermod -aG docker $USER`, then log in again"),
        ("Darwin", f"start Docker Desktop, OrbStack or Colima; to install one: {COLIMA}"),
    ],
)
def test_a_socket_of_others(
    home: Path, system: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may open every socket: the answer is that of the system.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    pretend(monkeypatch, system, 1000)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert refusal(engine.connect, "unix:///a.sock") == (
        "Docker: no engine answers at unix:///a.sock (environments.yaml): permission denied\n"
        f"  → {hint}"
    )


def test_a_login_that_cannot_be_read(home: Path) -> None:
    (home / "config.json").write_text('{"auths": {"registry.example": {"auth": "?"}}}')
    assert refusal(engine.connect, "unix:///a.sock") == (
        "Docker: a log-in in its configuration cannot be read (config.json)\n"
        "  → `docker login` writes it anew"
    )


# What kind of engine


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
    assert (engine.kind(client), engine.image_store(client)) == (kind, store)
