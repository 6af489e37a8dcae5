"""Run a program in a container of its own: files in, files out, no rights, limits.

The program is code of others: what it takes, prints and leaves has limits, and is data. It has no
network either, but for `run_online`.
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

from deploy.docker import container_output, engine, isolated_container, isolated_network
from deploy.docker.container_output import MIB, TooMuchError
from deploy.docker.isolated_container import attached, new_container, take
from deploy.errors import DeployError

SECONDS = 300
# For the engine, once the program has ended.
ENGINE_SECONDS = 60
# Of what is taken from a container.
ARCHIVE_BYTES = 1024 * MIB


def run(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    output: str,
    environment: Mapping[str, str],
    doing: str,
    volumes: Mapping[str, str] | None = None,
    limit: int = ARCHIVE_BYTES,
) -> IO[bytes]:
    """Run `command` in `image` and return the folder `output` of the container as a tar archive.

    The archive is a temporary file, of at most `limit` bytes, which the caller closes. `files` is a
    tar archive that is unpacked at / before. Archives, not mounts: the engine may be on another
    machine. `volumes` are names of volumes and where the program can read them. Raises
    `DeployError` with the end of what the program printed where it fails.
    """
    settings = {"environment": dict(environment), "volumes": _read_only(volumes or {})}
    with new_container(client, image, command, doing, settings) as container:
        hint = "code at the top level of the flow's modules runs here: does it wait for something?"
        _execute(container, files, doing, SECONDS, hint)
        return take(container, output, doing, limit)


def run_online(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    output: str,
    environment: Mapping[str, str],
    doing: str,
    volumes: Mapping[str, str],
    receive: Callable[[str], None],
    seconds: float,
    limit: int = ARCHIVE_BYTES,
) -> IO[bytes]:
    """Do as `run`, with a network of its own, and pass each line of standard output to `receive`.

    `host.docker.internal` is this machine. Raises `DeployError` also where it takes longer than
    `seconds`.
    """
    with isolated_network.closed(client, image, doing, seconds) as network:
        settings = {
            "environment": dict(environment),
            "volumes": _read_only(volumes),
            "network_mode": network,
        }
        with new_container(client, image, command, doing, settings) as container:
            hint = "does it wait for a service that does not answer?"
            _execute(container, files, doing, seconds, hint, receive)
            return take(container, output, doing, limit)


def fill(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    volume: str,
    path: str,
    doing: str,
) -> None:
    """Put `files` (an archive that is unpacked at /) and what `command` makes of them on `volume`.

    The volume is mounted at `path`. Raises `DeployError` like `run`.
    """
    volumes = {volume: {"bind": path, "mode": "rw"}}
    with new_container(client, image, command, doing, {"volumes": volumes}) as container:
        _execute(container, files, doing, SECONDS, "try again")


def _read_only(volumes: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"bind": path, "mode": "ro"} for name, path in volumes.items()}


def _execute(
    container: Container,
    files: bytes,
    doing: str,
    seconds: float,
    hint: str,
    receive: Callable[[str], None] = lambda _: None,
) -> None:
    """Run the program of `container` to its end; `receive` gets its lines of standard output.

    Raises `DeployError`; `hint` is for a program that takes longer than `seconds`.
    """
    container.put_archive("/", files)
    with attached(container) as frames, _deadline(container, seconds) as late:
        container.start()
        try:
            for line in container_output.lines(frames):
                receive(line)
        except TooMuchError as error:
            raise DeployError(doing, str(error), "print less at a time") from None
        if late.is_set():
            raise DeployError(doing, f"it did not end within {seconds:g} s", hint)
        status = int(container.wait(timeout=ENGINE_SECONDS)["StatusCode"])
    if status:
        container.reload()
        if container.attrs["State"].get("OOMKilled"):
            what = f"it needed more than {isolated_container.MEMORY_BYTES // MIB} MiB of memory"
            raise DeployError(doing, what, "it must do with less, or be started on a part of it")
        raise DeployError(doing, f"it failed:\n{engine.log_tail(container)}")


@contextlib.contextmanager
def _deadline(container: Container, seconds: float) -> Iterator[threading.Event]:
    """Kill `container` after `seconds`, unless the block ends before; the event tells that."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            container.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
