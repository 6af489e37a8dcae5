"""Compare an image of a registry with one that was built here: configuration, and every file.

Both are read as the engine unpacks them (`docker export` of a container that never starts), so no
layer can mean one thing here and another where it runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, cast

import docker

from deploy import labels
from deploy.docker import engine, isolated_container
from deploy.inside.contents import ABOUT
from deploy.trust import bytecode

# Differences that are listed; the rest is not read.
LISTED = 5
CHUNK = 1024 * 1024
# When, where and of which commit the same content was built.
OWN_LABELS = {f"{labels.OCI}.{name}" for name in ("created", "revision", "source")}
OWN_FACTS = {"commit"}
OWN_TOOLS = {"base_id", "uv", "docker", "builder"}
# What the classic builder notes of its own containers.
OF_BUILDER = {"Image", "Hostname", "Domainname", "ArgsEscaped"}
BYTECODE = ".pyc"
# Where extended attributes are, capabilities of programs among them (tar, SCHILY keywords).
ATTRIBUTE = "SCHILY.xattr."


@dataclass(frozen=True)
class File:
    """What an image has at a path. `content` is kept where equal files may differ in bytes."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    digest: str
    attributes: tuple[tuple[str, str], ...]
    content: bytes = b""


def differences(client: docker.DockerClient, ours: str, theirs: str) -> list[str]:
    """Return the first differences of two images that the engine has; none for equal content."""
    with engine.explained("comparing images"):
        found = [*_of_configuration(_configuration(client, ours), _configuration(client, theirs))]
        with _exported(client, ours) as archive:
            files = _read(archive)
        with _exported(client, theirs) as archive:
            found += itertools.islice(_of_files(files, archive), LISTED)
    return found[:LISTED]


def _configuration(client: docker.DockerClient, image: str) -> dict[str, Any]:
    about = client.images.get(image).attrs
    config = {key: value for key, value in (about["Config"] or {}).items() if value}
    config["Labels"] = {
        key: value for key, value in config.get("Labels", {}).items() if key not in OWN_LABELS
    }
    # Not every engine keeps that there is no check, and a folder that is the first one anyway.
    if config.get("Healthcheck") == {"Test": ["NONE"]}:
        del config["Healthcheck"]
    config.setdefault("WorkingDir", "/")
    config["Env"] = sorted(config.get("Env", []))
    platform = {key: about.get(key) or "" for key in ("Os", "Architecture", "Variant")}
    return {key: value for key, value in config.items() if key not in OF_BUILDER} | platform


def _of_configuration(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            yield f"{key} of its configuration"


@contextlib.contextmanager
def _exported(client: docker.DockerClient, image: str) -> Iterator[tarfile.TarFile]:
    with (
        isolated_container.new_container(client, image, ["-"], f"reading {image}", {}) as container,
        tempfile.TemporaryFile() as file,
    ):
        # A text by its stub, and bytes in fact.
        file.writelines(cast(Iterable[bytes], container.export(CHUNK)))
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            yield archive


def _read(archive: tarfile.TarFile) -> dict[str, File]:
    """Return all files; of links to the same file each has its content."""
    files: dict[str, File] = {}
    for member in archive:
        path = _path(member)
        files[path] = _file(archive, member, files, keep=_may_differ(path))
    return files


def _of_files(ours: Mapping[str, File], archive: tarfile.TarFile) -> Iterator[str]:
    """Yield each path of `archive` that is not the same as in `ours`, and why."""
    theirs: dict[str, File] = {}
    for member in archive:
        path = _path(member)
        wanted = ours.get(path)
        # No more than ours needs: a large file of a stranger is not read into memory.
        keep = bool(wanted and wanted.content and member.size < 2 * len(wanted.content))
        found = _file(archive, member, theirs, keep)
        # The content has done its work, and a stranger may have much of it.
        theirs[path] = replace(found, content=b"")
        if wanted is None:
            yield f"/{_printable(path)}: only there"
        elif found != wanted and not _is_equal(path, wanted, found):
            yield f"/{path}: {_reason(wanted, found)}"
    yield from (f"/{path}: only here" for path in ours if path not in theirs)


def _file(
    archive: tarfile.TarFile, member: tarfile.TarInfo, files: Mapping[str, File], keep: bool
) -> File:
    attributes = tuple(
        sorted(item for item in member.pax_headers.items() if item[0].startswith(ATTRIBUTE))
    )
    kind, digest, content = member.type, "", b""
    if member.islnk() and (target := files.get(member.linkname.removeprefix("./").lstrip("/"))):
        return target
    if member.isfile() and (stream := archive.extractfile(member)):
        if keep:
            content = stream.read()
            digest = hashlib.sha256(content).hexdigest()
        else:
            digest = _digest(stream)
    elif not member.isdir():
        digest = f"{member.linkname} {member.devmajor}:{member.devminor}"
    return File(kind, member.mode, (member.uid, member.gid), digest, attributes, content)


def _digest(stream: IO[bytes]) -> str:
    found = hashlib.sha256()
    while block := stream.read(CHUNK):
        found.update(block)
    return found.hexdigest()


def _printable(path: str) -> str:
    """Return a name from outside without characters that could forge a log line."""
    return "".join(letter if letter.isprintable() else "?" for letter in path)


def _path(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./").strip("/")


def _may_differ(path: str) -> bool:
    return path == ABOUT or path.endswith(BYTECODE)


def _is_equal(path: str, ours: File, theirs: File) -> bool:
    """Return whether two files say the same in other bytes."""
    if not ours.content or replace(theirs, digest=ours.digest, content=ours.content) != ours:
        return False
    if theirs.digest == ours.digest:
        return True
    if path == ABOUT:
        return _about(ours.content) == _about(theirs.content)
    return bytecode.same(ours.content, theirs.content)


def _about(content: bytes) -> str | bytes:
    """Return what about.json says, but for the commit and the tools that built the same content."""
    try:
        about = json.loads(content)
        tools = about.pop("built_with")
        facts = [_without(about, OWN_FACTS), _without(tools, OWN_TOOLS)]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return content
    return json.dumps(facts, sort_keys=True)


def _without(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _reason(ours: File, theirs: File) -> str:
    if ours.kind != theirs.kind:
        return "another kind of file"
    if (ours.mode, ours.owner) != (theirs.mode, theirs.owner):
        return "another mode or owner"
    if ours.attributes != theirs.attributes:
        return "other attributes"
    return "other content"
