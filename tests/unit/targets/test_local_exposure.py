"""Access to a flow on another machine's engine: rejected by default, with a note if it is configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration
from deploy.config.target import is_spec_for
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.targets import local, local_container
from tests import projects

REMOTE = ("tcp://build-host:2375", "ssh://me@build-host", "tcp://192.0.2.7:2376")
HERE = ("tcp://127.0.0.1:2375", "tcp://localhost:2375", "tcp://[::1]:2375", "unix:///run/x.sock")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def spec(root: Path, settings: str = "", address: str | None = None) -> local_container.LocalSpec:
    files = {
        "environments.yaml": f"local: {{engine: '{address}'}}\n" if address else "local: {}\n",
        "flows/hello/deploy.yaml": projects.DEPLOY.replace(
            "target: local", f"target: local{settings}"
        ),
    }
    project = projects.make(root, files, {"SERVE_KEY": "a-key-of-clients"})
    (found,) = configuration.load_specs(project, "local")
    assert is_spec_for(found, local.TARGET)
    return found


@pytest.mark.parametrize("address", REMOTE)
def test_another_machine_without_a_key_is_rejected_unless_written(
    address: str, folder: Path
) -> None:
    with pytest.raises(DeployError) as caught:
        local.TARGET.check(spec(folder, address=address))
    host = address.rpartition("@")[2].rpartition("//")[2].partition(":")[0]
    assert str(caught.value) == (
        f"hello in local: the engine is on {host}, where the flow's port would be open to all, "
        "without a key\n"
        "  → write `auth: key`, or `auth: none` to accept that, in deploy.yaml"
    )
    local.TARGET.check(spec(folder, ", auth: none", address))
    local.TARGET.check(spec(folder, ", auth: key", address))


def test_the_variable_of_the_docker_command_counts_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://build-host")
    with pytest.raises(DeployError, match="the engine is on build-host"):
        local.TARGET.check(spec(folder))


@pytest.mark.parametrize("address", HERE)
def test_this_machine_needs_no_setting_and_binds_to_loopback(address: str, folder: Path) -> None:
    found = spec(folder, address=address)
    local.TARGET.check(found)
    assert local_container.check_exposure(found) is None
    assert local_container._bind_address(address) == "127.0.0.1"


@pytest.mark.parametrize(
    ("auth", "note"),
    [
        (
            "key",
            "auth: key: SERVE_KEY goes to build-host over plain HTTP, which the network can read",
        ),
        (
            "none",
            "auth: none: every client that reaches build-host can send requests, which cost model calls",
        ),
    ],
)
def test_a_plan_warns_about_open_ports_and_plain_http(
    auth: str, note: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Any = lambda *_: None  # noqa: E731
    monkeypatch.setattr(local, "_connect", nothing)
    monkeypatch.setattr(local, "_find_container", nothing)
    image = Image("hello", "0" * 12, "sha256:" + "1" * 64, "linux/amd64", "base", "abc")
    plan = local.TARGET.plan(spec(folder, f", auth: {auth}", REMOTE[0]), image)
    assert [step.action for step in plan.steps] == ["create", "note"]
    assert str(plan.steps[1]) == note
