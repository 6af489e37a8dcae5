"""What is in a layer of an image: its bytes, its files, and what is packed into those."""

from __future__ import annotations

import bisect
import contextlib
import gzip
import io
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from deploy.docker.image_archive import GZIP, Layer

BLOCK = 8 * 1024 * 1024
# Archives inside of a layer are looked into up to this size, packed, and five times that unpacked.
PACKED = 10 * 1024 * 1024
SUFFIXES = (".zip", ".whl", ".egg", ".jar", ".gz", ".tgz", ".tar")


@dataclass(frozen=True)
class File:
    """A regular file of a layer, without the slash in front. `start` is where its content is."""

    path: str
    start: int
    size: int

    @property
    def packed(self) -> bool:
        """Whether it is an archive that is worth a look."""
        return self.size <= PACKED and self.path.lower().endswith(SUFFIXES)


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


def unpacked(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files in the archive `content`, as `archive!file`; one level deep.

    What is no archive for all its name, or is broken, has none.
    """
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            yield from _zip(path, content)
            return
        if content.startswith(GZIP):
            content = _gunzip(content)
            if not _is_tar(content):
                yield f"{path}!", content
        if _is_tar(content):
            yield from _tar(path, content)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError):
        return
    except (NotImplementedError, RuntimeError):
        # A zip file with a password, or packed in a way that Python does not know.
        return


def _zip(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        left = 5 * PACKED
        for info in archive.infolist():
            left -= info.file_size
            if not info.is_dir() and left > 0:
                yield f"{path}!{info.filename}", archive.read(info)


def _tar(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            # A sparse file of a few bytes may say that it has terabytes.
            small = member.isreg() and member.size <= 5 * PACKED
            file = archive.extractfile(member) if small else None
            if file:
                yield f"{path}!{member.name}", file.read()


def _gunzip(content: bytes) -> bytes:
    with gzip.open(io.BytesIO(content)) as file:
        return file.read(5 * PACKED)


def _is_tar(content: bytes) -> bool:
    return content[257:262] == b"ustar"
