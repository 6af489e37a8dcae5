"""Read the content of an image's layer: its bytes and its files."""

from __future__ import annotations

import bisect
import contextlib
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from deploy.docker.image_archive import Layer

BLOCK = 8 * 1024 * 1024


@dataclass(frozen=True)
class LayerFile:
    """A regular file of a layer."""

    # Path without a leading slash.
    path: str
    # Offset of its content in the layer.
    start: int
    size: int


class LayerContents:
    """The uncompressed content of one layer, with random access."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read_blocks(self, overlap: int) -> Iterator[tuple[int, bytes]]:
        """Yield the whole layer in blocks, file names included, each with its offset in the layer.

        A block begins with the last `overlap` bytes of the one before.
        """
        position, tail = 0, b""
        # Seek each time, since files may be read between two blocks.
        while self._stream.seek(position) == position and (block := self._stream.read(BLOCK)):
            yield position - len(tail), tail + block
            position += len(block)
            tail = (tail + block)[-overlap:] if overlap else b""

    @cached_property
    def files(self) -> list[LayerFile]:
        """Return the regular files in order. Folders, links and devices have no content."""
        self._stream.seek(0)
        with tarfile.open(fileobj=self._stream, mode="r:") as archive:
            return [
                LayerFile(
                    posixpath.normpath(member.name).lstrip("/"), member.offset_data, member.size
                )
                for member in archive
                if member.isreg()
            ]

    def read(self, file: LayerFile) -> bytes:
        """Return the content of `file`."""
        self._stream.seek(file.start)
        return self._stream.read(file.size)

    def find_file(self, offset: int) -> tuple[LayerFile, int] | None:
        """Return the file whose content or name is at `offset`, and the distance from its start.

        The distance is negative for a name, which precedes the content. Return None if no regular
        file follows.
        """
        files = self.files
        index = bisect.bisect_right(files, offset, key=lambda file: file.start) - 1
        if index >= 0 and offset < files[index].start + files[index].size:
            return files[index], offset - files[index].start
        if index + 1 < len(files):
            return files[index + 1], offset - files[index + 1].start
        return None

    @cached_property
    def files_by_path(self) -> dict[str, LayerFile]:
        """Return the regular files by their paths."""
        return {file.path: file for file in self.files}


@contextlib.contextmanager
def open_layer(layer: Layer) -> Iterator[LayerContents]:
    """Yield the content of `layer`. Raises `DeployError` for a layer that cannot be read."""
    with layer.open_unpacked() as stream:
        yield LayerContents(stream)


def get_source_path(path: str) -> str | None:
    """Return the source of the bytecode `path`: a/b.py for a/__pycache__/b.cpython-311.pyc.

    Return None for other files.
    """
    folder, name = posixpath.split(path)
    above, cache = posixpath.split(folder)
    if cache != "__pycache__" or not name.endswith(".pyc"):
        return None
    return posixpath.join(above, name.split(".")[0] + ".py")
