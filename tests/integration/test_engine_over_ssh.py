"""A real engine behind SSH: a stand-in for `ssh` runs the command on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from deploy.docker import engine, isolated, tar_files
from tests.integration.conftest import built

SSH = """\
#!/bin/sh
unset DOCKER_HOST DOCKER_CONTEXT
while [ "$1" != "--" ]; do shift; done
shift 2
exec sh -c "$*"
"""
MEGABYTES = 8
CODE = f"""
import pathlib, sys, time
data = pathlib.Path("/tmp/in/data").read_bytes()
for i in range(3):
    print("line", i, flush=True)
    time.sleep(0.2)
pathlib.Path("/tmp/in/out").write_bytes(data * {MEGABYTES})
"""

pytestmark = pytest.mark.skipif(
    shutil.which("docker") is None or bool(os.environ.get("DOCKER_HOST")),
    reason="`docker system dial-stdio` must reach the default socket",
)


@pytest.fixture(scope="module")
def image() -> str:
    return built("faq")[1].id


@pytest.fixture
def over_ssh(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[docker.DockerClient]:
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@host")
    client = engine.connect()
    yield client
    client.close()


def test_streams_in_both_directions(over_ssh: docker.DockerClient, image: str) -> None:
    lines: list[str] = []
    archive = isolated.run_with_network(
        over_ssh,
        image,
        ["python3", "-c", CODE],
        tar_files.pack({"tmp/in/data": os.urandom(2**20)}),
        "/tmp/in/out",
        {},
        "testing",
        {},
        lines.append,
        60,
    )
    assert lines == ["line 0", "line 1", "line 2"]
    with archive, tarfile.open(fileobj=archive) as tar:
        assert tar.getmembers()[0].size == MEGABYTES * 2**20


def test_commands_in_a_container(over_ssh: docker.DockerClient, image: str) -> None:
    container = over_ssh.containers.run(
        image, ["python3", "-c", "import time; time.sleep(60)"], detach=True
    )
    try:
        status, output = container.exec_run(["python3", "-c", "print('x' * 100_000)"])
        assert (status, output) == (0, b"x" * 100_000 + b"\n")
    finally:
        container.remove(force=True)


def test_no_process_stays(over_ssh: docker.DockerClient) -> None:
    assert over_ssh.ping()
    assert _processes() != []
    over_ssh.close()
    assert _processes() == []


def _processes() -> list[str]:
    """Return the connections that are open, of all children of this process."""
    done = subprocess.run(
        ["ps", "-A", "-o", "ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return [row[1] for row in rows if row[0] == str(os.getpid()) and "dial-stdio" in row[1]]


def test_the_docker_command_takes_the_same_way(over_ssh: docker.DockerClient) -> None:
    there = engine.find_endpoint()
    line = ["docker", *there.command_line(), "version", "--format", "{{.Server.Version}}"]
    done = subprocess.run(line, env=there.environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == over_ssh.version()["Version"]
