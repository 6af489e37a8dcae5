"""A container for one untrusted program: no privileges, no network by default, limits."""

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

from deploy.core.errors import DeployError
from deploy.docker import container_output, engine
from deploy.docker.container_output import MIB, OutputLimitError

# Containers are marked by name, not by label: an image made from one would inherit its labels.
NAME_PREFIX = "flow-sandbox"
ROOT_USER = "0:0"
MEMORY_BYTES = 4096 * MIB
MAX_PROCESSES = 512
CHUNK_BYTES = 2 * MIB
# Seconds between attempts to copy files from a container.
RETRY_DELAYS = (0.1, 0.5, 2.0)
# The largest file that the program may write, sparse or not.
MAX_FILE_BYTES = 4096 * MIB


@contextlib.contextmanager
def new_container(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    operation: str,
    settings: Mapping[str, Any],
) -> Iterator[Container]:
    """Yield a container that is created but not started; remove it at the end."""
    defaults = {
        "network_mode": "none",
        # The program writes to folders of the archive, which may have any owner.
        "cap_add": ["DAC_OVERRIDE"],
    }
    with engine.translate_errors(operation):
        container = client.containers.create(
            image,
            # Replaces the image's entry point and command.
            entrypoint=list(command),
            command=[],
            user=ROOT_USER,
            working_dir="/",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            name=f"{NAME_PREFIX}-{uuid.uuid4().hex[:12]}",
            # Proxy settings in ~/.docker/config.json may hold a password.
            use_config_proxy=False,
            # The log is on the engine's disk, and only its end is read.
            log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
            **{**_limits(client), **defaults, **settings},
        )
        try:
            yield container
        finally:
            with contextlib.suppress(docker.errors.APIError):
                # `v` also removes anonymous volumes, which the image declares.
                container.remove(force=True, v=True)


def copy_archive(container: Container, path: str, operation: str, limit: int) -> IO[bytes]:
    """Return `path` of `container` as a tar archive in a temporary file.

    Podman returns nothing, without an error, while it is still cleaning up after the program.
    Raises `DeployError` for more than `limit` bytes.
    """
    for pause in RETRY_DELAYS:
        archive = _fetch_archive(container, path, operation, limit)
        if archive.read(1):
            archive.seek(0)
            return archive
        archive.close()
        time.sleep(pause)
    return _fetch_archive(container, path, operation, limit)


def _fetch_archive(container: Container, path: str, operation: str, limit: int) -> IO[bytes]:
    # docker-py's `get_archive` cannot close the connection before the end of the archive, and until
    # then the engine does not remove the container.
    api: Any = container.client.api if container.client else None
    response = api._get(
        api._url("/containers/{0}/archive", container.id),
        params={"path": path},
        headers={"Accept-Encoding": "identity"},
        stream=True,
    )
    try:
        api._raise_for_status(response)
        return container_output.spool_to_file(response.iter_content(CHUNK_BYTES), limit)
    except OutputLimitError as error:
        raise DeployError(operation, str(error), "the flow's code writes too much") from None
    finally:
        response.close()


@contextlib.contextmanager
def attach_output(container: Container) -> Iterator[Any]:
    """Yield the output of `container`, from its start, as pairs of standard output and error.

    The engine's log is not used: the engine may drop lines of it, and would store it without limit.
    """
    stream: Any = container.attach(stdout=True, stderr=True, stream=True, logs=False, demux=True)
    try:
        yield stream
    finally:
        # docker-py cannot close it over SSH; there the connection ends with the container.
        with contextlib.suppress(docker.errors.DockerException, OSError, AttributeError):
            stream.close()


def _limits(client: docker.DockerClient) -> dict[str, Any]:
    """Return the resource limits of the program, as far as the engine supports them.

    Rootless engines can limit only resources that systemd delegates to them.
    """
    engine_info = client.info()
    processors = int(engine_info.get("NCPU") or 1)
    # The other half is for other work on the machine.
    share = min(processors, max(2, processors // 2))
    limits = {
        "mem_limit": (MEMORY_BYTES, "MemoryLimit"),
        # Memory and swap together: no swap.
        "memswap_limit": (MEMORY_BYTES, "SwapLimit"),
        "pids_limit": (MAX_PROCESSES, "PidsLimit"),
        "nano_cpus": (share * 10**9, "CpuCfsQuota"),
    }
    sizes = {"fsize": MAX_FILE_BYTES, "core": 0}
    ulimits = [Ulimit(name=name, soft=size, hard=size) for name, size in sizes.items()]
    supported = {
        name: value for name, (value, info_key) in limits.items() if engine_info.get(info_key)
    }
    return {**supported, "ulimits": ulimits}
