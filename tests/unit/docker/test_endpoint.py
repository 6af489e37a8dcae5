"""Which engine: as the docker command finds it, with TLS and contexts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.docker import endpoint as finding
from deploy.docker import engine
from deploy.docker.endpoint import Endpoint, TlsFiles
from deploy.sandbox.certificates import CertificateAuthority
from tests.unit.docker.contexts import add_context, refusal, use

VERSION = {"ApiVersion": "1.45", "Version": "26.0.0", "Os": "linux", "Arch": "arm64"}
CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")


def test_nothing_configured_is_the_default_socket(home: Path) -> None:
    there = engine.find_endpoint()
    assert there == Endpoint("unix:///var/run/docker.sock", "the default socket")
    assert there.is_default
    assert there.command_line() == ("--host", "unix:///var/run/docker.sock")


def test_a_host_wins_over_a_context(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(home, "colima", "unix:///colima.sock")
    add_context(home, "other", "unix:///other.sock")
    use(home, "colima")
    assert engine.find_endpoint() == Endpoint("unix:///colima.sock", "context colima", "colima")
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert engine.find_endpoint() == Endpoint("unix:///other.sock", "context other", "other")
    monkeypatch.setenv("DOCKER_HOST", "unix:///host.sock")
    assert engine.find_endpoint() == Endpoint("unix:///host.sock", "DOCKER_HOST")
    given = engine.find_endpoint("unix:///given.sock")
    assert given == Endpoint("unix:///given.sock", "environments.yaml")
    assert engine.resolve_address() == "unix:///host.sock"


def test_the_context_default_is_the_default_socket(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_context(home, "colima", "unix:///colima.sock")
    use(home, "colima")
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert engine.find_endpoint().is_default


def test_empty_variables_are_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in finding.ENGINE_VARIABLES:
        monkeypatch.setenv(name, "")
    assert engine.find_endpoint().is_default


def test_contexts_beside_no_config_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(home, "colima", "unix:///colima.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "colima")
    assert engine.find_endpoint().address == "unix:///colima.sock"


def test_the_folder_of_the_docker_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    add_context(elsewhere, "remote", "ssh://me@host")
    use(elsewhere, "remote")
    use(home, "not-this-one")
    monkeypatch.setenv("DOCKER_CONFIG", str(elsewhere))
    assert engine.find_endpoint() == Endpoint("ssh://me@host", "context remote", "remote")


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
    assert engine.find_endpoint(given).address == address


@pytest.mark.parametrize("address", ["http://host:2375", "npipe:////./pipe/docker", "tcp://h:x"])
def test_invalid_addresses(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert refusal(engine.find_endpoint) == (
        f"DOCKER_HOST: {address} is not the address of a Docker engine\n"
        "  → write unix:///path, tcp://host:2375 or ssh://user@host"
    )


def test_a_password_is_rejected_and_not_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me:hidden@host")
    assert refusal(engine.find_endpoint) == (
        "DOCKER_HOST: ssh://… is not the address of a Docker engine\n"
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
    assert refusal(engine.find_endpoint) == (
        f"{home}/config.json: it is not a JSON object\n"
        "  → correct it, or set DOCKER_HOST, which takes precedence"
    )


def test_a_context_without_an_engine(home: Path) -> None:
    add_context(home, "cloud", "")
    use(home, "cloud")
    assert engine.find_endpoint().address == "unix:///var/run/docker.sock"
    meta = next(home.glob("contexts/meta/*/meta.json"))
    meta.write_text('{"Name": "cloud", "Endpoints": {"kubernetes": {}}}')
    assert refusal(engine.find_endpoint) == (
        f'{home}/config.json: the Docker context "cloud" names no engine\n'
        "  → choose another with `docker context use`"
    )


def test_tls_by_variables(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    CertificateAuthority(tmp_path).client(folder)
    monkeypatch.setenv("DOCKER_HOST", "tcp://host:2376")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
    # As for the docker command, the path alone turns nothing on.
    assert engine.find_endpoint().tls is None
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    files = TlsFiles(*(folder / name for name in CERTIFICATES))
    there = engine.find_endpoint()
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
    assert engine.find_endpoint("tcp://other:2376").tls == files
    assert engine.find_endpoint("unix:///a.sock").tls is None
    assert engine.find_endpoint("ssh://host").tls is None
    monkeypatch.delenv("DOCKER_TLS_VERIFY")
    monkeypatch.setenv("DOCKER_TLS", "1")
    assert engine.find_endpoint().skip_verify
    assert engine.find_endpoint().command_line()[2] == "--tls"


def test_tls_alone_is_an_engine_on_this_machine(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    CertificateAuthority(tmp_path).client(home)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "0")
    there = engine.find_endpoint()
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
    assert engine.find_endpoint() == Endpoint("tcp://host:2376", "context remote", "remote")
    CertificateAuthority(tmp_path).client(folder)
    files = TlsFiles(*(folder / name for name in CERTIFICATES))
    assert engine.find_endpoint().tls == files
    (folder / "key.pem").unlink()
    assert engine.find_endpoint().tls == TlsFiles(folder / "ca.pem")


def test_a_context_that_accepts_any_certificate(home: Path) -> None:
    add_context(home, "lab", "tcp://host:2376", skip_verify=True)
    use(home, "lab")
    there = engine.find_endpoint()
    assert there == Endpoint("tcp://host:2376", "context lab", "lab", TlsFiles(), True)
    flags = ("--tls", "--tlscacert=", "--tlscert=", "--tlskey=")
    assert there.command_line() == ("--host", "tcp://host:2376", *flags)


def test_the_environment_chooses_no_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in finding.ENGINE_VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    environment = Endpoint("unix:///a.sock", "DOCKER_HOST").environment()
    assert [name for name in environment if name.startswith("DOCKER_")] == ["DOCKER_CONFIG"]
    assert environment["HOME"] == os.environ["HOME"]
