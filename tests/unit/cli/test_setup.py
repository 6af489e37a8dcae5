"""Setting up a machine: installed packages, started engines, and hints."""

from __future__ import annotations

import os
import platform
import shutil

import pytest

from deploy.core.errors import DeployError
from deploy.docker import engine, installation, operating_system
from deploy.docker.endpoint import DEFAULT_SOCKET, DEFAULT_SOURCE, Endpoint
from tests.unit.cli.fake_machine import NO_ENGINE


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, user: int, *programs: str) -> None:
    """Pretend to be another system, user 0 or another, with these programs on the path."""
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(
        shutil, "which", lambda name, **_: f"/bin/{name}" if name in programs else None
    )


def test_an_engine_is_installed_and_started(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "Linux", 0, "apt-get")
    installation.ensure_engine()
    assert done == ["install docker.io", "start"]


def test_an_engine_that_is_installed_is_started(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "Linux", 0, "apt-get", "dockerd")
    installation.ensure_engine()
    assert done == ["start"]


@pytest.mark.parametrize(
    ("system", "user", "programs"),
    [("Darwin", 0, ["apt-get"]), ("Linux", 1000, ["apt-get"]), ("Linux", 0, ["dnf"])],
)
def test_elsewhere_nothing_is_done(
    done: list[str],
    system: str,
    user: int,
    programs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, system, user, *programs)
    with pytest.raises(DeployError) as caught:
        installation.ensure_engine()
    assert caught.value is NO_ENGINE
    assert done == []


def test_no_engine_is_added_to_one_that_is_chosen(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "Linux", 0, "apt-get")
    monkeypatch.setattr(engine, "find_endpoint", lambda: Endpoint("tcp://host:2375", "DOCKER_HOST"))
    with pytest.raises(DeployError):
        installation.ensure_engine()
    monkeypatch.setattr(engine, "find_endpoint", lambda: Endpoint(DEFAULT_SOCKET, DEFAULT_SOURCE))
    monkeypatch.setattr(
        installation, "find_other_sockets", lambda: ["unix:///run/podman/podman.sock"]
    )
    with pytest.raises(DeployError):
        installation.ensure_engine()
    assert done == []


CANNOT = "base image: the Python image cannot be pulled, and there is no mmdebstrap to make one\n"


@pytest.mark.parametrize(
    ("system", "user", "programs", "hint"),
    [
        (
            "Linux",
            1000,
            ["apt-get"],
            "set FLOW_BASE_IMAGE to an image that can be pulled, or "
            "`sudo apt-get install mmdebstrap`",
        ),
        (
            "Linux",
            0,
            ["dnf"],
            "set FLOW_BASE_IMAGE to an image that can be pulled; one can be made on Debian and "
            "Ubuntu only",
        ),
        (
            "Darwin",
            501,
            ["apt-get"],
            "set FLOW_BASE_IMAGE to an image that can be pulled; one can be made on Debian and "
            "Ubuntu only",
        ),
    ],
)
def test_a_base_that_cannot_be_made_here(
    system: str, user: int, programs: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, system, user, *programs)
    with pytest.raises(DeployError) as caught:
        installation.ensure_mmdebstrap()
    assert str(caught.value) == f"{CANNOT}  → {hint}"


def test_mmdebstrap_is_installed(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "Linux", 0, "apt-get")
    installation.ensure_mmdebstrap()
    assert done == ["install mmdebstrap"]


@pytest.mark.parametrize(
    ("system", "user", "programs", "command"),
    [
        ("Linux", 0, ["apt-get"], "apt-get install git"),
        ("Linux", 1000, ["dnf"], "sudo dnf install git"),
        ("Darwin", 501, ["apt-get"], "brew install git"),
        ("Linux", 1000, [], ""),
    ],
)
def test_commands_that_install(
    system: str, user: int, programs: list[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, system, user, *programs)
    assert operating_system.install_command("git") == command
