"""Run an untrusted program in a container of its own: files in, files out, no privileges, limits.

Its files and its output have size limits, and are treated as data. It has no network, except with
`run_with_network`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

import docker
import docker.errors
import requests
from docker.models.containers import Container

from deploy.core.errors import DeployError
from deploy.docker import container_output, engine, isolated_container, isolated_network
from deploy.docker.container_output import MIB, OutputLimitError
from deploy.docker.isolated_container import attach_output, copy_archive, new_container

TIMEOUT_SECONDS = 300
# Time for the engine to report the exit code after the program has ended.
ENGINE_SECONDS = 60
# The largest archive that is copied from a container.
MAX_ARCHIVE_BYTES = 1024 * MIB


def run(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    output: str,
    environment: Mapping[str, str],
    operation: str,
    volumes: Mapping[str, str] | None = None,
    limit: int = MAX_ARCHIVE_BYTES,
) -> IO[bytes]:
    """Run `command` in `image` and return the container's folder `output` as a tar archive.

    The archive is a temporary file of at most `limit` bytes, which the client closes. `files` is a
    tar archive that is unpacked at / before the start. Files are copied, not mounted, because the
    engine may be on another machine. `volumes` maps names of volumes to the paths where the program
    can read them. Raises `DeployError` with the end of the program's output if it fails.
    """
    settings = {"environment": dict(environment), "volumes": _read_only(volumes or {})}
    with new_container(client, image, command, operation, settings) as container:
        hint = "check whether code at the top level of the flow's modules waits for something"
        _execute(container, files, operation, TIMEOUT_SECONDS, hint)
        return copy_archive(container, output, operation, limit)


def run_with_network(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    output: str,
    environment: Mapping[str, str],
    operation: str,
    volumes: Mapping[str, str],
    receive: Callable[[str], None],
    seconds: float,
    limit: int = MAX_ARCHIVE_BYTES,
) -> IO[bytes]:
    """Do as `run`, with a network, and pass each line of standard output to `receive`.

    The network is the container's own; `host.docker.internal` is this machine. Raises `DeployError`
    also if the program takes longer than `seconds`.
    """
    with isolated_network.create_isolated_network(client, image, operation, seconds) as network:
        settings = {
            "environment": dict(environment),
            "volumes": _read_only(volumes),
            "network_mode": network,
        }
        with new_container(client, image, command, operation, settings) as container:
            hint = "check whether it waits for a service that does not answer"
            _execute(container, files, operation, seconds, hint, receive)
            return copy_archive(container, output, operation, limit)


def fill_volume(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    volume: str,
    path: str,
    operation: str,
) -> None:
    """Run `command` on `files` with `volume` mounted at `path`, so that it can fill the volume.

    `files` is a tar archive that is unpacked at /. Raises `DeployError` like `run`.
    """
    volumes = {volume: {"bind": path, "mode": "rw"}}
    with new_container(client, image, command, operation, {"volumes": volumes}) as container:
        _execute(container, files, operation, TIMEOUT_SECONDS, "try again")


def _read_only(volumes: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"bind": path, "mode": "ro"} for name, path in volumes.items()}


def _execute(
    container: Container,
    files: bytes,
    operation: str,
    seconds: float,
    hint: str,
    receive: Callable[[str], None] = lambda _: None,
) -> None:
    """Run the program of `container` to its end; pass its lines of standard output to `receive`.

    Raises `DeployError`; `hint` is for a program that takes longer than `seconds`.
    """
    container.put_archive("/", files)
    with attach_output(container) as frames, _deadline(container, seconds) as timed_out:
        container.start()
        try:
            for line in container_output.read_lines(frames):
                receive(line)
        except OutputLimitError as error:
            raise DeployError(operation, str(error), "print less") from None
        if timed_out.is_set():
            raise DeployError(operation, f"it did not end within {seconds:g} s", hint)
        exit_code = int(container.wait(timeout=ENGINE_SECONDS)["StatusCode"])
    if exit_code:
        container.reload()
        if container.attrs["State"].get("OOMKilled"):
            message = f"it needed more than {isolated_container.MEMORY_BYTES // MIB} MiB of memory"
            raise DeployError(operation, message, "reduce the memory that it needs")
        raise DeployError(operation, f"it failed:\n{engine.log_tail(container)}")


@contextlib.contextmanager
def _deadline(container: Container, seconds: float) -> Iterator[threading.Event]:
    """Kill `container` and set the event after `seconds`, unless the block ends before."""
    timed_out = threading.Event()

    def kill() -> None:
        timed_out.set()
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            container.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield timed_out
    finally:
        timer.cancel()
