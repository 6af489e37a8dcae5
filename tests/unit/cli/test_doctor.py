"""inv doctor: engine, context, Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.build import base_image
from deploy.cli import doctor
from deploy.config import configuration
from deploy.docker import engine
from deploy.docker.endpoint import Endpoint

ROOT = Path(__file__).parents[3]
BOOTSTRAP = (ROOT / "deploy" / "bootstrap.sh").read_text(encoding="utf-8")


def bootstrap(
    folder: Path, system: str, user: int, *programs: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the script where only `programs` are, each of which fails."""
    path = folder / "bin"
    path.mkdir()
    scripts = {"uname": f"echo {system}", "id": f"echo {user}"}
    scripts |= dict.fromkeys(programs, "exit 1")
    for name, body in scripts.items():
        (path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (path / name).chmod(0o755)
    (folder / "bootstrap.sh").write_text(BOOTSTRAP, encoding="utf-8")
    return subprocess.run(
        ["/bin/sh", "bootstrap.sh"],
        cwd=folder,
        env={"PATH": str(path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("system", "user", "programs", "hint"),
    [
        ("Darwin", 501, ["python3"], "brew install python@3.13"),
        (
            "Linux",
            1000,
            ["apt-get", "python3"],
            "sudo apt-get install python3.11 python3.11-venv",
        ),
        ("Linux", 1000, ["apt-get"], "sudo apt-get install python3 python3-venv"),
        ("Linux", 1000, ["dnf", "python3"], "sudo dnf install python3.13"),
        ("Linux", 0, ["dnf"], "dnf install python3.13"),
        ("Linux", 1000, [], "install one"),
    ],
)
def test_no_python(tmp_path: Path, system: str, user: int, programs: list[str], hint: str) -> None:
    done = bootstrap(tmp_path, system, user, *programs)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"setup: no Python 3.11 to 3.13 here: {hint}, or name one: "
        "make setup PYTHON=/path/to/python3.13\n"
    )


def test_a_python_that_does_not_fit(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, "Linux", 1000, "python3.9", "python3", PYTHON="python3.9")
    assert done.returncode == 1
    assert done.stderr == "setup: python3.9 is no Python 3.11 to 3.13: name another, or none\n"


class Client:
    """An engine that tells of itself."""

    def __init__(self, component: str, status: list[list[str]]) -> None:
        self._component, self._status = component, status

    def version(self) -> dict[str, Any]:
        components = [{"Name": self._component}]
        return {"Version": "5.4.2", "Os": "linux", "Arch": "arm64", "Components": components}

    def info(self) -> dict[str, Any]:
        return {"DriverStatus": self._status}


@pytest.mark.parametrize(
    ("component", "status", "expected"),
    [
        (
            "Podman Engine",
            [],
            [
                "Podman 5.4.2 on linux/arm64, unix:///colima.sock (context colima)",
                "containers-storage",
                "podman",
            ],
        ),
        (
            "Engine",
            [["driver-type", "io.containerd.snapshotter.v1"]],
            [
                "Docker 5.4.2 on linux/arm64, unix:///colima.sock (context colima)",
                "containerd",
                "classic builder",
            ],
        ),
    ],
)
def test_doctor_names_the_engine(
    component: str,
    status: list[list[str]],
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = Endpoint("unix:///colima.sock", "context colima", "colima")
    monkeypatch.setattr(engine, "find_endpoint", lambda: there)
    monkeypatch.setattr(engine, "connect", lambda: Client(component, status))
    monkeypatch.setattr(base_image, "find", lambda *_: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {
        one.requirement: one
        for one in doctor.check_requirements(configuration.open_project(tmp_path))
    }
    names = ("Docker engine", "image store", "builder")
    assert [found[name].detail for name in names] == expected
    assert all(found[name].found for name in names)


def test_doctor_names_a_context_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "nope")
    found = {
        one.requirement: one
        for one in doctor.check_requirements(configuration.open_project(tmp_path))
    }
    one = found["Docker engine"]
    assert (one.found, one.detail, one.next) == (
        False,
        'DOCKER_CONTEXT: there is no Docker context "nope"',
        "known: default; choose one with `docker context use`",
    )


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 10, 13), False), ((3, 11, 0), True), ((3, 14, 0), False)]
)
def test_doctor_knows_the_pythons_that_fit(
    version: tuple[int, int, int], fits: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Version(tuple[int, int, int]):
        major, minor, micro = version

    monkeypatch.setattr(sys, "version_info", Version(version))
    one = doctor._check_python()
    monkeypatch.undo()
    assert (one.requirement, one.found) == ("Python 3.11 to 3.13", fits)
    assert one.detail == ".".join(map(str, version))
    assert one.next == ("" if fits else "make setup PYTHON=python3.13")
