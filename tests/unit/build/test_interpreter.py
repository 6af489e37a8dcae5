"""The examination of a base image, and the message for each mismatch."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import docker.errors
import pytest
import requests

from deploy.build import interpreter
from deploy.build.base_image import BaseImage
from deploy.build.interpreter import Interpreter
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError

BASE = BaseImage("corp/python:3.12", "sha256:abc")
SETTINGS = ImageSettings(origin="flows/faq/deploy.yaml")
FACTS = {
    "version": "3.11",
    "machine": "x86_64",
    "libc": "glibc",
    "libc_version": "2.36",
    "ext_suffix": ".cpython-311-x86_64-linux-gnu.so",
    "stdlib": "/usr/local/lib/python3.11",
    "cache_tag": "cpython-311",
    "missing": [],
    "compiled": False,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path / "flow-deploy" / "bases"


def archive(facts: dict[str, Any]) -> bytes:
    buffer, content = io.BytesIO(), json.dumps(facts).encode()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(interpreter.RESULT)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def engine(config: dict[str, Any] | None = None, architecture: str = "amd64", **facts: Any) -> Mock:
    """Return an engine with one image, whose Python has these facts besides the usual ones."""
    client = Mock()
    client.info.return_value = {"NCPU": 2}
    client.api._version = "1.41"
    image = client.images.get.return_value
    image.id = BASE.id
    image.attrs = {
        "Os": "linux",
        "Architecture": architecture,
        "Config": config,
        "RootFS": {"Layers": ["sha256:1", "sha256:2"]},
    }
    container = client.containers.create.return_value
    container.wait.return_value = {"StatusCode": 0}
    response = container.client.api._get.return_value
    response.iter_content.return_value = iter([archive({**FACTS, **facts})])
    return client


def problem(client: Mock, settings: ImageSettings = SETTINGS) -> str:
    with pytest.raises(DeployError) as caught:
        interpreter.examine(client, BASE, settings, native=True)
    return str(caught.value)


def test_a_base_that_fits() -> None:
    client = engine({"Entrypoint": ["/bin/tini"], "User": "65532", "Volumes": {"/data": {}}})
    found = interpreter.examine(client, BASE, SETTINGS, native=True)
    assert found == Interpreter(
        version="3.11",
        machine="x86_64",
        libc="glibc",
        libc_version="2.36",
        ext_suffix=".cpython-311-x86_64-linux-gnu.so",
        stdlib="/usr/local/lib/python3.11",
        cache_tag="cpython-311",
        compiled=False,
        layers=2,
    )


def test_it_runs_without_privileges_for_any_entry_point() -> None:
    client = engine()
    interpreter.examine(client, BASE, SETTINGS, native=True)
    given = client.containers.create.call_args.kwargs
    assert given["entrypoint"][:2] == ["python3", "-B"]
    assert given["command"] == []
    assert given["user"] == "0:0"
    assert given["network_mode"] == "none"
    assert given["cap_drop"] == ["ALL"]
    assert given["use_config_proxy"] is False
    assert "volumes" not in given
    client.containers.create.return_value.remove.assert_called_once_with(force=True, v=True)


def test_a_base_runs_once(cache: Path) -> None:
    client = engine()
    first = interpreter.examine(client, BASE, SETTINGS, native=True)
    assert interpreter.examine(client, BASE, SETTINGS, native=True) == first
    assert client.containers.create.call_count == 1
    assert [path.name.partition("-")[0] for path in cache.iterdir()] == ["abc"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": "3.11"}'])
def test_a_result_that_cannot_be_read_is_made_anew(content: str, cache: Path) -> None:
    interpreter.examine(engine(), BASE, SETTINGS, native=True)
    (path,) = cache.iterdir()
    path.write_text(content)
    assert interpreter.examine(engine(), BASE, SETTINGS, native=True).version == "3.11"


def test_a_home_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    assert interpreter.examine(engine(), BASE, SETTINGS, native=True).version == "3.11"


def test_another_python() -> None:
    assert problem(engine(version="3.12")) == (
        "base image corp/python:3.12: it has Python 3.12, and flows/faq/deploy.yaml requires 3.11\n"
        '  → set image.python: "3.12", or choose a base with 3.11'
    )


def test_another_python_without_a_version_file() -> None:
    assert problem(engine(version="3.12"), ImageSettings()) == (
        "base image corp/python:3.12: it has Python 3.12, and the configuration requires 3.11\n"
        '  → set image.python: "3.12", or choose a base with 3.11'
    )


def test_musl() -> None:
    assert problem(engine(libc="musl", libc_version="")) == (
        "base image corp/python:3.12: it has the C library musl, and wheels for glibc cannot run "
        "on it\n"
        "  → choose a base with glibc 2.28 or newer, such as Debian 10 or RHEL 8 and later"
    )


def test_an_old_glibc() -> None:
    assert problem(engine(libc_version="2.17")) == (
        "base image corp/python:3.12: it has glibc 2.17, and the wheels of packages need 2.28\n"
        "  → choose a base with glibc 2.28 or newer, such as Debian 10 or RHEL 8 and later"
    )


def test_each_mismatch_is_a_readable_error() -> None:
    text = problem(engine(version="3.12", libc_version="2.17", missing=["_ssl", "zlib"]))
    assert [line for line in text.splitlines() if line.startswith("base image")] == [
        "base image corp/python:3.12: it has Python 3.12, and flows/faq/deploy.yaml requires 3.11",
        "base image corp/python:3.12: it has glibc 2.17, and the wheels of packages need 2.28",
        "base image corp/python:3.12: its Python cannot import the modules _ssl, zlib",
    ]


def test_no_ssl() -> None:
    assert problem(engine(missing=["_ssl"])) == (
        "base image corp/python:3.12: its Python cannot import the module _ssl\n"
        "  → install the base's packages for the whole standard library, or choose another base"
    )


def test_another_platform() -> None:
    client = engine(architecture="arm64")
    assert problem(client) == (
        "base image corp/python:3.12: it is for linux/arm64, and flows/faq/deploy.yaml requires "
        "linux/amd64\n"
        "  → set image.platform: linux/arm64, or choose a base for linux/amd64"
    )
    client.containers.create.assert_not_called()


def test_a_python_of_another_machine() -> None:
    assert problem(engine(machine="aarch64")) == (
        "base image corp/python:3.12: its Python runs on aarch64, and linux/amd64 is x86_64\n"
        "  → choose a base for linux/amd64"
    )


@pytest.mark.parametrize("volume", ["/app", "/app/flow", "/", "app/"])
def test_a_volume_over_the_flow(volume: str) -> None:
    assert problem(engine({"Volumes": {volume: {}, "/data": {}}})) == (
        f"base image corp/python:3.12: its volume {volume} would hide the flow's files in /app\n"
        "  → choose a base without that volume: no later layer can remove it"
    )


def test_triggers() -> None:
    assert problem(engine({"OnBuild": ["COPY . /src"]})) == (
        "base image corp/python:3.12: its ONBUILD triggers would run in the flow's build: "
        "COPY . /src\n"
        "  → choose a base without ONBUILD"
    )


@pytest.mark.parametrize(
    "text",
    [
        'failed to create shim: OCI runtime create failed: exec: "python3": executable file not '
        "found in $PATH: unknown",
        "crun: executable file `python3` not found in $PATH: No such file or directory: OCI "
        "runtime attempted to invoke a command that was not found",
    ],
)
def test_no_python(text: str) -> None:
    client = engine()
    container = client.containers.create.return_value
    container.start.side_effect = docker.errors.APIError("400", explanation=text)
    assert problem(client) == (
        "base image corp/python:3.12: it has no python3 on its PATH\n"
        "  → choose a base with Python, or set PATH in it to the folder of python3"
    )
    container.remove.assert_called_once_with(force=True, v=True)


def test_a_python_that_fails() -> None:
    client = engine()
    container = client.containers.create.return_value
    container.wait.return_value = {"StatusCode": 127}
    container.logs.return_value = b"error while loading shared libraries: libpython3.11.so.1.0\n"
    assert problem(client) == (
        "base image corp/python:3.12: its python3 fails (exit code 127):\n"
        "    error while loading shared libraries: libpython3.11.so.1.0\n"
        "  → choose a base whose python3 is Python 3.10 or newer"
    )


def test_a_python_that_does_not_end() -> None:
    client = engine()
    container = client.containers.create.return_value
    container.wait.side_effect = requests.exceptions.ReadTimeout
    assert problem(client) == (
        "base image corp/python:3.12: its python3 did not end within 60 s\n"
        "  → try again, or choose another base"
    )


def test_a_base_of_another_platform_does_not_run() -> None:
    client = engine({"Volumes": None}, architecture="arm64")
    settings = ImageSettings(platform="linux/arm64")
    assert interpreter.examine(client, BASE, settings, native=False) == Interpreter(
        version="3.11",
        machine="aarch64",
        libc="",
        libc_version="",
        ext_suffix=".cpython-311-aarch64-linux-gnu.so",
        stdlib="",
        cache_tag="cpython-311",
        compiled=False,
        layers=2,
    )
    client.containers.create.assert_not_called()
