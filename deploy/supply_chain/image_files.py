"""List the files of an image after all layers are applied."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from deploy.build.dockerfile import APP_FOLDER
from deploy.docker.image_archive import ImageArchive, Layer

# File with facts about the image, written when it was built (`flow_image.write_context`).
ABOUT_FILE = f"{APP_FOLDER}/about.json"
# Markers in a layer for a deleted file, and for a folder whose content in lower layers is deleted
# (OCI image specification, "Whiteouts").
WHITEOUT_PREFIX = ".wh."
OPAQUE_WHITEOUT = ".wh..wh..opq"


@dataclass
class ImageContents:
    """The files of an image by path, without a leading slash."""

    # Size in bytes of each file.
    sizes: dict[str, int] = field(default_factory=dict)
    # Content of the files whose text was requested.
    texts: dict[str, str] = field(default_factory=dict)
    # Bytes that each layer adds, from the bottom.
    layer_sizes: list[int] = field(default_factory=list)


def read_contents(archive: ImageArchive, is_text_needed: Callable[[str], bool]) -> ImageContents:
    """Return the files of `archive`, with the text of the paths that `is_text_needed` selects."""
    contents = ImageContents()
    for layer in archive.layers:
        contents.layer_sizes.append(_apply_layer(layer, contents, is_text_needed))
    return contents


def read_text(archive: ImageArchive, path: str) -> str | None:
    """Return the text of the topmost file at `path`, or None. Reads no more layers than needed.

    The file must be one that no layer deletes.
    """
    for layer in reversed(archive.layers):
        with layer.open() as content:
            for member in content:
                if normalize_path(member.name) == path and member.isfile():
                    return _extract_text(content, member)
    return None


def _apply_layer(
    layer: Layer, contents: ImageContents, is_text_needed: Callable[[str], bool]
) -> int:
    """Apply `layer` to the `contents` of the layers below; return the bytes that it adds."""
    total = 0
    below = set(contents.sizes)
    with layer.open() as content:
        for member in content:
            path = normalize_path(member.name)
            if PurePosixPath(path).name.startswith(WHITEOUT_PREFIX):
                _apply_whiteout(path, contents, below)
            elif not member.isdir():
                total += member.size
                contents.sizes[path] = member.size
                contents.texts.pop(path, None)
                below.discard(path)
                if member.isfile() and is_text_needed(path):
                    contents.texts[path] = _extract_text(content, member)
    return total


def _apply_whiteout(whiteout: str, contents: ImageContents, below: set[str]) -> None:
    """Remove the files that `whiteout` deletes from `contents`.

    It deletes only files of lower layers (their paths are in `below`), wherever it is in its own
    layer.
    """
    folder, _, name = whiteout.rpartition("/")
    removed = (
        folder
        if name == OPAQUE_WHITEOUT
        else f"{folder}/{name.removeprefix(WHITEOUT_PREFIX)}".lstrip("/")
    )
    for path in below:
        if path == removed or path.startswith(f"{removed}/"):
            contents.sizes.pop(path, None)
            contents.texts.pop(path, None)


def normalize_path(name: str) -> str:
    """Return the name of a tar member as a path without slashes at its ends."""
    return name.removeprefix("./").strip("/")


def _extract_text(content: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = content.extractfile(member)
    return file.read().decode("utf-8", "replace") if file else ""
