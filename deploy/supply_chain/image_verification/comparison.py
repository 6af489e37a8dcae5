"""Compare a registry's image with one that was built here: configuration and every file.

Both are read as the engine unpacks them (`docker export` of a container that never starts), so that
a layer has the same effect here as where it runs.
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

from deploy.build import labels
from deploy.docker import engine, isolated_container
from deploy.supply_chain import image_files
from deploy.supply_chain.image_files import ABOUT_FILE
from deploy.supply_chain.image_verification import bytecode

# Number of differences that are reported; the rest is not read.
MAX_LISTED = 5
CHUNK_BYTES = 1024 * 1024
# Labels with the time, place and commit of a build: these differ for the same content.
IGNORED_LABELS = {f"{labels.OCI_PREFIX}.{name}" for name in ("created", "revision", "source")}
IGNORED_FACTS = {"commit"}
IGNORED_TOOLS = {"base_id", "uv", "docker", "builder"}
# Settings in which the classic builder records its own containers.
IGNORED_SETTINGS = {"Image", "Hostname", "Domainname", "ArgsEscaped"}
BYTECODE_SUFFIX = ".pyc"
# Prefix of extended attributes, including capabilities of programs (tar, SCHILY keywords).
ATTRIBUTE_PREFIX = "SCHILY.xattr."


@dataclass(frozen=True)
class ImageFile:
    """The properties of a file of an image."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    digest: str
    attributes: tuple[tuple[str, str], ...]
    # Content, only for files that may be equal although their bytes differ.
    content: bytes = b""


def find_differences(client: docker.DockerClient, ours: str, theirs: str) -> list[str]:
    """Return the first differences between two images of the engine; none for equal content."""
    with engine.translate_errors("comparing images"):
        differences = [
            *_compare_configurations(
                _read_configuration(client, ours), _read_configuration(client, theirs)
            )
        ]
        with _export_files(client, ours) as archive:
            files = _read_files(archive)
        with _export_files(client, theirs) as archive:
            differences += itertools.islice(_compare_files(files, archive), MAX_LISTED)
    return differences[:MAX_LISTED]


def _read_configuration(client: docker.DockerClient, image: str) -> dict[str, Any]:
    about = client.images.get(image).attrs
    config = {key: value for key, value in (about["Config"] or {}).items() if value}
    config["Labels"] = {
        key: value for key, value in config.get("Labels", {}).items() if key not in IGNORED_LABELS
    }
    # Some engines omit a disabled health check, and the root folder as working directory, which is
    # the default anyway.
    if config.get("Healthcheck") == {"Test": ["NONE"]}:
        del config["Healthcheck"]
    config.setdefault("WorkingDir", "/")
    config["Env"] = sorted(config.get("Env", []))
    platform = {key: about.get(key) or "" for key in ("Os", "Architecture", "Variant")}
    return {key: value for key, value in config.items() if key not in IGNORED_SETTINGS} | platform


def _compare_configurations(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            yield f"configuration: {key}"


@contextlib.contextmanager
def _export_files(client: docker.DockerClient, image: str) -> Iterator[tarfile.TarFile]:
    with (
        isolated_container.new_container(client, image, ["-"], f"reading {image}", {}) as container,
        tempfile.TemporaryFile() as file,
    ):
        # The type stub declares text, but the values are bytes.
        file.writelines(cast(Iterable[bytes], container.export(CHUNK_BYTES)))
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            yield archive


def _read_files(archive: tarfile.TarFile) -> dict[str, ImageFile]:
    """Return all files; hard links to the same file each have its content."""
    files: dict[str, ImageFile] = {}
    for member in archive:
        path = image_files.normalize_path(member.name)
        files[path] = _read_file(archive, member, files, keep=_can_differ(path))
    return files


def _compare_files(ours: Mapping[str, ImageFile], archive: tarfile.TarFile) -> Iterator[str]:
    """Yield each path of `archive` that differs from `ours`, and why."""
    theirs: dict[str, ImageFile] = {}
    for member in archive:
        path = image_files.normalize_path(member.name)
        our_file = ours.get(path)
        # Read only what the comparison needs: a large file of an unknown image must not fill the
        # memory.
        keep = bool(our_file and our_file.content and member.size < 2 * len(our_file.content))
        their_file = _read_file(archive, member, theirs, keep)
        # The content is no longer needed, and an unknown image may have much of it.
        theirs[path] = replace(their_file, content=b"")
        if our_file is None:
            yield f"/{_replace_unprintable(path)}: only in the registry's image"
        elif their_file != our_file and not _is_equal(path, our_file, their_file):
            yield f"/{path}: {_describe_difference(our_file, their_file)}"
    yield from (
        f"/{path}: only in the build on this machine" for path in ours if path not in theirs
    )


def _read_file(
    archive: tarfile.TarFile, member: tarfile.TarInfo, files: Mapping[str, ImageFile], keep: bool
) -> ImageFile:
    attributes = tuple(
        sorted(item for item in member.pax_headers.items() if item[0].startswith(ATTRIBUTE_PREFIX))
    )
    kind, digest, content = member.type, "", b""
    if member.islnk() and (target := files.get(image_files.normalize_path(member.linkname))):
        return target
    if member.isfile() and (stream := archive.extractfile(member)):
        if keep:
            content = stream.read()
            digest = hashlib.sha256(content).hexdigest()
        else:
            digest = _hash_stream(stream)
    elif not member.isdir():
        digest = f"{member.linkname} {member.devmajor}:{member.devminor}"
    return ImageFile(kind, member.mode, (member.uid, member.gid), digest, attributes, content)


def _hash_stream(stream: IO[bytes]) -> str:
    hasher = hashlib.sha256()
    while block := stream.read(CHUNK_BYTES):
        hasher.update(block)
    return hasher.hexdigest()


def _replace_unprintable(path: str) -> str:
    """Return `path` without characters that could forge a line of the log."""
    return "".join(letter if letter.isprintable() else "?" for letter in path)


def _can_differ(path: str) -> bool:
    return path == ABOUT_FILE or path.endswith(BYTECODE_SUFFIX)


def _is_equal(path: str, ours: ImageFile, theirs: ImageFile) -> bool:
    """Return whether two files are equivalent although their bytes differ."""
    if not ours.content or replace(theirs, digest=ours.digest, content=ours.content) != ours:
        return False
    if theirs.digest == ours.digest:
        return True
    if path == ABOUT_FILE:
        return _normalize_about(ours.content) == _normalize_about(theirs.content)
    return bytecode.is_same_code(ours.content, theirs.content)


def _normalize_about(content: bytes) -> str | bytes:
    """Return about.json without the commit and the tools, which may differ for equal content."""
    try:
        about = json.loads(content)
        tools = about.pop("built_with")
        facts = [_omit_keys(about, IGNORED_FACTS), _omit_keys(tools, IGNORED_TOOLS)]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return content
    return json.dumps(facts, sort_keys=True)


def _omit_keys(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _describe_difference(ours: ImageFile, theirs: ImageFile) -> str:
    if ours.kind != theirs.kind:
        return "different file type"
    if (ours.mode, ours.owner) != (theirs.mode, theirs.owner):
        return "different mode or owner"
    if ours.attributes != theirs.attributes:
        return "different extended attributes"
    return "different content"
