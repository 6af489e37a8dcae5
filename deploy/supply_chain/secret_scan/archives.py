"""Unpack archives and compressed files of an image, which are recognized by their first bytes.

They may be malicious or just large, so everything that is unpacked from one file is limited.
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
# Maximum size of an archive, packed, and of its content, unpacked, including nested archives.
PACKED, UNPACKED = 10 * MIB, 50 * MIB
# Maximum depth of nested archives, including the outermost: for example an Office file with an
# embedded one, in a wheel.
MAX_LEVELS = 3
# Maximum number of compressed streams in one file: bgzip and logs have many.
MAX_MEMBERS = 256
# Memory limit: a dictionary of xz -9 takes 65 MiB, but a header may request 4 GiB.
XZ_MEMORY = 128 * MIB

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
# Zip files include wheels, Office files, jars and PyTorch models.
MAGIC_NUMBERS = (b"PK\x03\x04", GZIP, BZIP2, XZ)
# A zip file may begin with a program; its name identifies it.
ZIP_SUFFIXES = (".zip", ".whl", ".egg", ".jar", ".pex", ".pyz")
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    GZIP: lambda: zlib.decompressobj(wbits=31),
    BZIP2: bz2.BZ2Decompressor,
    XZ: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
}
# Errors for content that is no archive despite its first bytes, is damaged, has a password, or is
# packed in a way that Python does not support.
READ_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    # Includes RecursionError.
    RuntimeError,
)


@dataclass
class _ByteBudget:
    """The number of bytes that may still be unpacked."""

    remaining: int


def is_archive(path: str, content: bytes) -> bool:
    """Return whether the file `path` is an archive to unpack."""
    if len(content) > PACKED:
        return False
    return (
        content.startswith(MAGIC_NUMBERS) or _is_tar(content) or path.lower().endswith(ZIP_SUFFIXES)
    )


def unpack_files(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files in the archive `content`, as `archive!file`, and those in nested archives.

    Content that is no archive despite its first bytes yields none.
    """
    yield from _unpack_nested(path, content, _ByteBudget(UNPACKED), MAX_LEVELS)


def _unpack_nested(
    path: str, content: bytes, budget: _ByteBudget, levels: int
) -> Iterator[tuple[str, bytes]]:
    for name, data in _read_members(path, content, budget):
        yield name, data
        if levels > 1 and is_archive(name, data):
            yield from _unpack_nested(name, data, budget, levels - 1)


def _read_members(path: str, content: bytes, budget: _ByteBudget) -> Iterator[tuple[str, bytes]]:
    try:
        decompressor = next(
            (
                decompressor
                for head, decompressor in DECOMPRESSORS.items()
                if content.startswith(head)
            ),
            None,
        )
        if decompressor is not None:
            unpacked = _decompress(decompressor, content, budget)
            if _is_tar(unpacked):
                yield from _read_tar(path, unpacked)
            elif unpacked:
                yield f"{path}!", unpacked
        elif _is_tar(content):
            yield from _read_tar(path, content)
        elif zipfile.is_zipfile(io.BytesIO(content)):
            yield from _read_zip(path, content, budget)
    except READ_ERRORS:
        return


def _read_zip(path: str, content: bytes, budget: _ByteBudget) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if info.is_dir() or info.file_size > budget.remaining:
                continue
            try:
                with archive.open(info) as file:
                    data = file.read(budget.remaining)
            except READ_ERRORS:
                continue
            budget.remaining -= len(data)
            yield f"{path}!{info.filename}", data


def _read_tar(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a tar archive; they are parts of `content`, so they use no budget."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:", tarinfo=StrictTarInfo) as archive:
        for member in archive:
            # A sparse file of a few bytes may claim a size of terabytes.
            is_plain_file = member.isreg() and not member.issparse()
            if is_plain_file and (file := archive.extractfile(member)):
                yield f"{path}!{member.name}", file.read()


def _decompress(
    create_decompressor: Callable[[], Any], content: bytes, budget: _ByteBudget
) -> bytes:
    """Return the decompressed `content`, up to the first damage."""
    parts: list[bytes] = []
    for _ in range(MAX_MEMBERS):
        if not content or budget.remaining <= 0:
            break
        decompressor = create_decompressor()
        try:
            part = decompressor.decompress(content, budget.remaining)
        except READ_ERRORS:
            break
        parts.append(part)
        budget.remaining -= len(part)
        content = decompressor.unused_data
    return b"".join(parts)


def _is_tar(content: bytes) -> bool:
    return content[257:262] == b"ustar"
