"""The files of an image: what is in it when all of its layers lie on one another."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from deploy.build.dockerfile import HOME
from deploy.docker.image_archive import ImageArchive, Layer

# What was written into an image when it was built (`image.build`).
ABOUT = f"{HOME}/about.json"
# How a layer says that a file, or all that layers below have in a folder, is not there any more
# (OCI image specification, "Whiteouts").
GONE = ".wh."
EMPTIED = ".wh..wh..opq"


@dataclass
class Contents:
    """The files of an image by path, without the slash in front.

    `sizes` are in bytes, `texts` is the content of those that were asked for, and `layers` the
    bytes that each layer brings, from the bottom.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    layers: list[int] = field(default_factory=list)


def read(archive: ImageArchive, wanted: Callable[[str], bool]) -> Contents:
    """Return what is in `archive`, with the text of the files whose path is `wanted`."""
    found = Contents()
    for layer in archive.layers:
        found.layers.append(_lay(layer, found, wanted))
    return found


def text(archive: ImageArchive, path: str) -> str | None:
    """Return the text of one file that no layer deletes, or None. Reads no more than it must."""
    for layer in reversed(archive.layers):
        with layer.open() as content:
            for member in content:
                if _path(member) == path and member.isfile():
                    return _text(content, member)
    return None


def _lay(layer: Layer, found: Contents, wanted: Callable[[str], bool]) -> int:
    """Lay `layer` on what is `found` below it; return how many bytes it brings."""
    total = 0
    below = set(found.sizes)
    with layer.open() as content:
        for member in content:
            path = _path(member)
            if PurePosixPath(path).name.startswith(GONE):
                _remove(path, found, below)
            elif not member.isdir():
                total += member.size
                found.sizes[path] = member.size
                found.texts.pop(path, None)
                below.discard(path)
                if member.isfile() and wanted(path):
                    found.texts[path] = _text(content, member)
    return total


def _remove(mark: str, found: Contents, below: set[str]) -> None:
    """Remove what `mark` says is gone: of the layers `below`, wherever in its own it stands."""
    folder, _, name = mark.rpartition("/")
    gone = folder if name == EMPTIED else f"{folder}/{name.removeprefix(GONE)}".lstrip("/")
    for path in below:
        if path == gone or path.startswith(f"{gone}/"):
            found.sizes.pop(path, None)
            found.texts.pop(path, None)


def _path(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./").lstrip("/")


def _text(content: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = content.extractfile(member)
    return file.read().decode("utf-8", "replace") if file else ""
