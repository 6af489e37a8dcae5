"""The error if no engine answers, and its next step."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from pathlib import Path

import pytest

from deploy.docker import endpoint as finding
from deploy.docker import engine
from tests.unit.docker.contexts import add_context, refusal, use

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
        ("Linux", 0, ["apt-get"], "`inv setup` starts an engine"),
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
def test_start_command_of_an_engine(
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
def test_start_command_of_the_engine_of_a_context(home: Path, name: str, hint: str) -> None:
    add_context(home, name, f"unix://{home}/gone.sock")
    use(home, name)
    assert refusal(engine.connect) == (
        f"Docker: no engine answers at unix://{home}/gone.sock (context {name})\n  → {hint}"
    )


def test_an_address_without_a_listener(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        "Docker: credentials in its configuration (config.json) cannot be read\n"
        "  → `docker login` writes them again"
    )
