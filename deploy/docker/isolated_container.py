"""A container for one program of others: no rights, no network of the engine's, limits."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import docker
import docker.errors
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit

from deploy.docker import container_output, engine
from deploy.docker.container_output import MIB, TooMuchError
from deploy.errors import DeployError

# By name, not by label: an image of a container inherits its labels.
NAME = "flow-sandbox"
ROOT = "0:0"
MEMORY_BYTES = 4096 * MIB
PROCESSES = 512
CHUNK_BYTES = 2 * MIB
# Seconds between attempts to read what a container has left.
PAUSES = (0.1, 0.5, 2.0)
# The largest file that the program may write, sparse or not.
FILE_BYTES = 4096 * MIB


@contextlib.contextmanager
def new_container(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    doing: str,
    settings: Mapping[str, Any],
) -> Iterator[Container]:
    """Yield a container that was made and not started; remove it at the end."""
    defaults = {
        "network_mode": "none",
        # The program writes below folders that the archive brings, whatever their owner.
        "cap_add": ["DAC_OVERRIDE"],
    }
    with engine.explained(doing):
        container = client.containers.create(
            image,
            # In place of the image's entry point and command, whatever those are.
            entrypoint=list(command),
            command=[],
            user=ROOT,
            working_dir="/",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            name=f"{NAME}-{uuid.uuid4().hex[:12]}",
            # Proxies of ~/.docker/config.json, which may hold a password.
            use_config_proxy=False,
            # On the engine's disk; only the end is read.
            log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
            **{**_limits(client), **defaults, **settings},
        )
        try:
            yield container
        finally:
            with contextlib.suppress(docker.errors.APIError):
                # Volumes without a name are those that the image declares.
                container.remove(force=True, v=True)


def take(container: Container, path: str, doing: str, limit: int) -> IO[bytes]:
    """Return `path` of `container` as a tar archive in a temporary file. Raises `DeployError`.

    Podman gives nothing, and no reason, where it is still cleaning up after the program.
    """
    for pause in PAUSES:
        archive = _archive(container, path, doing, limit)
        if archive.read(1):
            archive.seek(0)
            return archive
        archive.close()
        time.sleep(pause)
    return _archive(container, path, doing, limit)


def _archive(container: Container, path: str, doing: str, limit: int) -> IO[bytes]:
    # docker-py's `get_archive` leaves no way to close the connection before the end of the archive,
    # and until then the engine does not remove the container.
    api: Any = container.client.api if container.client else None
    response = api._get(
        api._url("/containers/{0}/archive", container.id),
        params={"path": path},
        headers={"Accept-Encoding": "identity"},
        stream=True,
    )
    try:
        api._raise_for_status(response)
        return container_output.spooled(response.iter_content(CHUNK_BYTES), limit)
    except TooMuchError as error:
        raise DeployError(doing, str(error), "code of the flow writes too much") from None
    finally:
        response.close()


@contextlib.contextmanager
def attached(container: Container) -> Iterator[Any]:
    """Yield what `container` prints once it is started, as pairs of output and errors.

    Not its log: the engine may drop lines of that, and would keep them without end.
    """
    stream: Any = container.attach(stdout=True, stderr=True, stream=True, logs=False, demux=True)
    try:
        yield stream
    finally:
        # Over SSH docker-py cannot, and the connection ends with the container.
        with contextlib.suppress(docker.errors.DockerException, OSError, AttributeError):
            stream.close()


def _limits(client: docker.DockerClient) -> dict[str, Any]:
    """Return what limits the program, as far as the engine can.

    Rootless engines can limit only what systemd delegates to them.
    """
    facts = client.info()
    processors = int(facts.get("NCPU") or 1)
    # The other half is for what else runs on the machine.
    share = min(processors, max(2, processors // 2))
    limits = {
        "mem_limit": (MEMORY_BYTES, "MemoryLimit"),
        # Memory and swap together: no swap.
        "memswap_limit": (MEMORY_BYTES, "SwapLimit"),
        "pids_limit": (PROCESSES, "PidsLimit"),
        "nano_cpus": (share * 10**9, "CpuCfsQuota"),
    }
    sizes = {"fsize": FILE_BYTES, "core": 0}
    ulimits = [Ulimit(name=name, soft=size, hard=size) for name, size in sizes.items()]
    known = {name: value for name, (value, fact) in limits.items() if facts.get(fact)}
    return {**known, "ulimits": ulimits}
