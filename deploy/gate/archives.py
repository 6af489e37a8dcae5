"""Archives and compressed files in an image, by what they begin with: what is packed into them.

They may be made to deceive, or just be large, so all that comes of one file has a limit.
"""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deploy.docker.tar_files import StrictTarInfo

MIB = 2**20
# Archives are looked into up to this size, packed; that much of each unpacked, with all in them.
PACKED, UNPACKED = 10 * MIB, 50 * MIB
# Archives in archives, the outermost included: an Office file with an embedded one, in a wheel.
LEVELS = 3
# Files compressed one after the other into one: bgzip and logs have many.
MEMBERS = 256
# A dictionary of xz -9 takes 65 MiB; a header may ask for 4 GiB.
XZ_MEMORY = 128 * MIB

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
# Zip: also wheels, Office files, jars, models of PyTorch.
HEADS = (b"PK\x03\x04", GZIP, BZIP2, XZ)
# A zip file may begin with a program, which its name tells.
SUFFIXES = (".zip", ".whl", ".egg", ".jar", ".pex", ".pyz")
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    GZIP: lambda: zlib.decompressobj(wbits=31),
    BZIP2: bz2.BZ2Decompressor,
    XZ: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
}
# What reading raises that is no archive for all its beginning, is broken, has a password, or is
# packed in a way that Python does not know.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    # RecursionError is one.
    RuntimeError,
)


@dataclass
class _Room:
    """How many bytes may still be unpacked."""

    left: int


def is_archive(path: str, content: bytes) -> bool:
    """Return whether the file `path` is an archive that is worth a look."""
    if len(content) > PACKED:
        return False
    return content.startswith(HEADS) or _is_tar(content) or path.lower().endswith(SUFFIXES)


def unpacked(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files in the archive `content`, as `archive!file`, and those in archives in it.

    What is no archive for all its beginning has none.
    """
    yield from _unpacked(path, content, _Room(UNPACKED), LEVELS)


def _unpacked(path: str, content: bytes, room: _Room, levels: int) -> Iterator[tuple[str, bytes]]:
    for name, data in _members(path, content, room):
        yield name, data
        if levels > 1 and is_archive(name, data):
            yield from _unpacked(name, data, room, levels - 1)


def _members(path: str, content: bytes, room: _Room) -> Iterator[tuple[str, bytes]]:
    try:
        new = next((new for head, new in DECOMPRESSORS.items() if content.startswith(head)), None)
        if new is not None:
            plain = _decompressed(new, content, room)
            if _is_tar(plain):
                yield from _tar(path, plain)
            elif plain:
                yield f"{path}!", plain
        elif _is_tar(content):
            yield from _tar(path, content)
        elif zipfile.is_zipfile(io.BytesIO(content)):
            yield from _zip(path, content, room)
    except BROKEN:
        return


def _zip(path: str, content: bytes, room: _Room) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if info.is_dir() or info.file_size > room.left:
                continue
            try:
                with archive.open(info) as file:
                    data = file.read(room.left)
            except BROKEN:
                continue
            room.left -= len(data)
            yield f"{path}!{info.filename}", data


def _tar(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a tar archive, parts of `content` all of them: so they need no room."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:", tarinfo=StrictTarInfo) as archive:
        for member in archive:
            # A sparse file of a few bytes may say that it has terabytes.
            plain = member.isreg() and not member.issparse()
            if plain and (file := archive.extractfile(member)):
                yield f"{path}!{member.name}", file.read()


def _decompressed(new: Callable[[], Any], content: bytes, room: _Room) -> bytes:
    """Return what `content` is before it was compressed, up to where it is damaged."""
    parts: list[bytes] = []
    for _ in range(MEMBERS):
        if not content or room.left <= 0:
            break
        decompressor = new()
        try:
            part = decompressor.decompress(content, room.left)
        except BROKEN:
            break
        parts.append(part)
        room.left -= len(part)
        content = decompressor.unused_data
    return b"".join(parts)


def _is_tar(content: bytes) -> bool:
    return content[257:262] == b"ustar"
