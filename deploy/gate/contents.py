"""What is in a layer of an image: its bytes, its files, and what is packed into those."""

from __future__ import annotations

import base64
import bisect
import contextlib
import csv
import gzip
import hashlib
import io
import lzma
import posixpath
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from deploy.docker.image_archive import Layer
from deploy.errors import DeployError

BLOCK = 8 * 1024 * 1024
# Archives inside of a layer are looked into up to this size, packed, and five times that unpacked.
PACKED = 10 * 1024 * 1024
SUFFIXES = (".zip", ".whl", ".egg", ".jar", ".gz", ".tgz", ".tar")
GZIP = b"\x1f\x8b"


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
    def published(self) -> frozenset[str]:
        """Paths of files that a package brought, unchanged: their hash is in its RECORD.

        Bytecode counts as its source, from which the build has made it.
        """
        known = {file.path: file for file in self.files}
        found = set()
        for path, file in known.items():
            if path.endswith(".dist-info/RECORD"):
                root = posixpath.dirname(posixpath.dirname(path))
                for name, digest in _record(self.read(file)):
                    below = posixpath.normpath(posixpath.join(root, name))
                    if below in known and _sha256(self.read(known[below])) == digest:
                        found.add(below)
        compiled = {path for path in known if (source := _source(path)) and source in found}
        return frozenset(found | compiled)


@contextlib.contextmanager
def opened(layer: Layer, name: str) -> Iterator[Contents]:
    """Yield what is in `layer`. Raises `DeployError` where nothing here can unpack it."""
    with tarfile.open(layer.archive) as outer:
        stream = outer.extractfile(layer.member)
        if stream is None:
            raise DeployError(name, "the engine has saved no such layer", "try again")
        head = stream.read(2)
        stream.seek(0)
        if head != GZIP:
            yield Contents(_plain(stream, name))
            return
        with tempfile.TemporaryFile() as plain, gzip.open(stream) as unpacked:
            while block := unpacked.read(BLOCK):
                plain.write(block)
            yield Contents(plain)


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


def _plain(stream: IO[bytes], name: str) -> IO[bytes]:
    """Return `stream` if it is an uncompressed archive; an empty one is just zeros."""
    head = stream.read(512)
    stream.seek(0)
    if head and not _is_tar(head) and head.strip(b"\0"):
        what = "it is compressed in a way that cannot be read here"
        raise DeployError(name, what, "export layers uncompressed, or with gzip")
    return stream


def _record(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield path and hash of each line of a RECORD that has a hash (PEP 376, PEP 427)."""
    for row in csv.reader(content.decode("utf-8", "replace").splitlines()):
        if len(row) == 3 and row[1].startswith("sha256="):
            yield row[0], row[1].removeprefix("sha256=")


def _sha256(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _source(path: str) -> str | None:
    """Return the source of the bytecode `path`: a/b.py for a/__pycache__/b.cpython-311.pyc."""
    folder, name = posixpath.split(path)
    above, cache = posixpath.split(folder)
    if cache != "__pycache__" or not name.endswith(".pyc"):
        return None
    return posixpath.join(above, name.split(".")[0] + ".py")
