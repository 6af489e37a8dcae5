"""Run a program in a container of its own: files in, files out, no rights.

No network either, but for `run_online`.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import docker.errors
import requests
from docker.models.containers import Container

from deploy.docker import engine
from deploy.errors import DeployError

# By name, not by label: an image of a container inherits its labels.
NAME = "flow-sandbox"
ROOT = "0:0"
SECONDS = 300


def run(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    output: str,
    environment: Mapping[str, str],
    doing: str,
    volumes: Mapping[str, str] | None = None,
) -> bytes:
    """Run `command` in `image` and return the folder `output` of the container as a tar archive.

    `files` is a tar archive that is unpacked at / before. Archives, not mounts: the engine may be
    on another machine. `volumes` are names of volumes and where the program can read them. Raises
    `DeployError` with the end of what the program printed where it fails.
    """
    settings = {
        "environment": dict(environment),
        "volumes": {name: {"bind": at, "mode": "ro"} for name, at in (volumes or {}).items()},
    }
    with new_container(client, image, command, doing, settings) as container:
        _execute(container, files, doing)
        chunks, _ = container.get_archive(output)
        return b"".join(chunks)


def run_online(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    output: str,
    environment: Mapping[str, str],
    doing: str,
    volumes: Mapping[str, str],
    said: Callable[[str], None],
    seconds: float,
) -> bytes:
    """Do as `run`, with the network, and hand `said` each line of standard output as it comes.

    `host.docker.internal` is this machine. Raises `DeployError` also where it takes longer than
    `seconds`.
    """
    settings = {
        "environment": dict(environment),
        "volumes": {name: {"bind": at, "mode": "ro"} for name, at in volumes.items()},
        "network_mode": "bridge",
        "extra_hosts": {"host.docker.internal": "host-gateway"},
    }
    with new_container(client, image, command, doing, settings) as container:
        container.put_archive("/", files)
        container.start()
        late = threading.Event()
        timer = threading.Timer(seconds, _kill, (container, late))
        timer.start()
        try:
            for line in _lines(container):
                said(line)
            status = int(container.wait(timeout=SECONDS)["StatusCode"])
        finally:
            timer.cancel()
        if late.is_set():
            what = f"it did not end within {seconds:g} s"
            raise DeployError(doing, what, "does it wait for a service that does not answer?")
        if status:
            raise DeployError(doing, f"it failed:\n{engine.log_tail(container)}")
        chunks, _ = container.get_archive(output)
        return b"".join(chunks)


def _kill(container: Container, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
        container.kill()


def _lines(container: Container) -> Iterator[str]:
    """Yield what a started container writes to standard output, line by line, to its end."""
    rest = b""
    for chunk in container.logs(stream=True, follow=True, stdout=True, stderr=False):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")


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
        _execute(container, files, doing)


@contextlib.contextmanager
def new_container(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    doing: str,
    settings: Mapping[str, Any],
) -> Iterator[Container]:
    """Yield a container that was made and not started; remove it at the end."""
    with engine.explained(doing):
        container = client.containers.create(
            image,
            # In place of the image's entry point and command, whatever those are.
            entrypoint=list(command),
            command=[],
            user=ROOT,
            working_dir="/",
            cap_drop=["ALL"],
            # The program writes below folders that the archive brings, whatever their owner.
            cap_add=["DAC_OVERRIDE"],
            security_opt=["no-new-privileges"],
            name=f"{NAME}-{uuid.uuid4().hex[:12]}",
            # Proxies of ~/.docker/config.json, which may hold a password.
            use_config_proxy=False,
            **{"network_mode": "none", **settings},
        )
        try:
            yield container
        finally:
            with contextlib.suppress(docker.errors.APIError):
                # Volumes without a name are those that the image declares.
                container.remove(force=True, v=True)


def _execute(container: Container, files: bytes, doing: str) -> None:
    container.put_archive("/", files)
    container.start()
    if _wait(container, doing):
        raise DeployError(doing, f"it failed:\n{engine.log_tail(container)}")


def _wait(container: Container, doing: str) -> int:
    try:
        return int(container.wait(timeout=SECONDS)["StatusCode"])
    except requests.exceptions.RequestException:
        what = f"it did not end within {SECONDS} s"
        hint = "code at the top level of the flow's modules runs here: does it wait for something?"
        raise DeployError(doing, what, hint) from None


def pack(tree: Mapping[str, Path | bytes]) -> bytes:
    """Return a tar archive of `tree`: paths in it, and the file, folder or bytes behind each.

    Owners and times are left out, so equal content gives equal bytes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, source in sorted(tree.items()):
            if isinstance(source, bytes):
                archive.addfile(_plain(tarfile.TarInfo(name), len(source)), io.BytesIO(source))
            else:
                archive.add(source, name, filter=lambda info: _plain(info, info.size))
    return buffer.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write the files of a folder that `run` returned into `folder`.

    Links and devices are left out, and names are checked by hand: the archive holds what code of
    the flow wrote, and the safe ways of `tarfile` (PEP 706) are not in every Python 3.11.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            relative = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            content = tar.extractfile(member) if member.isfile() else None
            if content is None or ".." in relative.parts:
                continue
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
            # Whatever the umask: the server is another user, and reads them.
            path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _plain(info: tarfile.TarInfo, size: int) -> tarfile.TarInfo:
    info.size = size
    info.mtime = 0
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
