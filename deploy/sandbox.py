"""Run a program in a container of its own: files in, files out, no network, no rights."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import docker
import docker.errors
import requests
from docker.models.containers import Container

from deploy import engine
from deploy.errors import DeployError

LABEL = "flow-deploy.sandbox"
SECONDS = 300


def run(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: bytes,
    output: str,
    environment: Mapping[str, str],
    doing: str,
) -> bytes:
    """Run `command` in `image` and return the folder `output` of the container as a tar archive.

    `files` is a tar archive that is unpacked at / before. Archives, not mounts: the engine may be
    on another machine. Raises `DeployError` with the end of what the program printed where it
    fails.
    """
    with engine.explained(doing):
        container = client.containers.create(
            image,
            list(command),
            user="0:0",
            network_disabled=True,
            cap_drop=["ALL"],
            # The program writes below folders that the archive brings, whoever owns them there.
            cap_add=["DAC_OVERRIDE"],
            security_opt=["no-new-privileges"],
            environment=dict(environment),
            labels={LABEL: "yes"},
        )
        try:
            container.put_archive("/", files)
            container.start()
            status = _wait(container, doing)
            if status:
                raise DeployError(doing, f"it failed:\n{engine.log_tail(container)}")
            chunks, _ = container.get_archive(output)
            return b"".join(chunks)
        finally:
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True)


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
    """Unpack the files of what `run` returned into `folder`, without the folder around them.

    Files and folders only, and by hand: the archive holds what code of the flow wrote, and the safe
    ways of `tarfile` (PEP 706) are not in the Python of Debian 12.
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


def _plain(info: tarfile.TarInfo, size: int) -> tarfile.TarInfo:
    info.size = size
    info.mtime = 0
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
