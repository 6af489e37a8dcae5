"""What is in a layer of an image: its bytes, and its files."""

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
class File:
    """A regular file of a layer, without the slash in front. `start` is where its content is."""

    path: str
    start: int
    size: int


class Contents:
    """The uncompressed content of one layer, which can be read in any order."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def blocks(self, overlap: int) -> Iterator[tuple[int, bytes]]:
        """Yield the whole layer in parts, file names included, each with its place in it.

        A part begins with the last `overlap` bytes of the one before.
        """
        at, tail = 0, b""
        # Whoever takes the parts may read files in between.
        while self._stream.seek(at) == at and (block := self._stream.read(BLOCK)):
            yield at - len(tail), tail + block
            at += len(block)
            tail = (tail + block)[-overlap:] if overlap else b""

    @cached_property
    def files(self) -> list[File]:
        """The regular files, in their order. Folders, links and devices hold nothing."""
        self._stream.seek(0)
        with tarfile.open(fileobj=self._stream, mode="r:") as archive:
            return [
                File(posixpath.normpath(member.name).lstrip("/"), member.offset_data, member.size)
                for member in archive
                if member.isreg()
            ]

    def read(self, file: File) -> bytes:
        """Return the content of `file`."""
        self._stream.seek(file.start)
        return self._stream.read(file.size)

    def at(self, offset: int) -> tuple[File, int] | None:
        """Return the file whose content or name is at `offset`, and how far behind its start.

        That is negative for a name, which stands before. None where no regular file follows.
        """
        files = self.files
        index = bisect.bisect_right(files, offset, key=lambda file: file.start) - 1
        if index >= 0 and offset < files[index].start + files[index].size:
            return files[index], offset - files[index].start
        if index + 1 < len(files):
            return files[index + 1], offset - files[index + 1].start
        return None

    @cached_property
    def by_path(self) -> dict[str, File]:
        """The regular files by their paths."""
        return {file.path: file for file in self.files}


@contextlib.contextmanager
def opened(layer: Layer) -> Iterator[Contents]:
    """Yield what is in `layer`. Raises `DeployError` for a layer that cannot be read."""
    with layer.unpacked() as stream:
        yield Contents(stream)


def source(path: str) -> str | None:
    """Return the source of the bytecode `path`: a/b.py for a/__pycache__/b.cpython-311.pyc."""
    folder, name = posixpath.split(path)
    above, cache = posixpath.split(folder)
    if cache != "__pycache__" or not name.endswith(".pyc"):
        return None
    return posixpath.join(above, name.split(".")[0] + ".py")
