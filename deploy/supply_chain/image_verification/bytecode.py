"""Compare bytecode without loading it.

The same source gives different bytes each time it is compiled: marshal marks an object as
referenced by its reference count, and writes interned strings in another way (CPython,
Python/marshal.c, `w_ref` and `w_complex_object`). This module parses marshal's format and creates
no objects from it, since `marshal` is not safe for untrusted data (its documentation, first
paragraph). It accepts only the output of a compiler; anything else is invalid.
"""

from __future__ import annotations

import hashlib
import struct

# Magic number, flags, and the source's hash (PEP 552).
HEADER_BYTES = 16
# Magic numbers of Python 3.10 are below this one (CPython, "Known values", bootstrap_external).
PYTHON_311_MAGIC = 3450
REFERENCE_FLAG = 0x80
SINGLETONS = "NFT."
# Types of a fixed size: int, float, complex.
FIXED_SIZES = {"i": 4, "g": 8, "y": 16}
LONG_STRINGS, SHORT_STRINGS = "utaA", "zZ"
# The fields of a code object: n is a number, o an object.
CODE_310 = "nnnnnnoooooooono"
CODE_311 = "nnnnnoooooooonoo"


class _InvalidBytecode(Exception):
    """Bytecode that no compiler writes."""


def is_same_code(ours: bytes, theirs: bytes) -> bool:
    """Return whether two .pyc files contain the same code and the same header."""
    if ours == theirs:
        return True
    if ours[:HEADER_BYTES] != theirs[:HEADER_BYTES]:
        return False
    try:
        return _Reader(ours).digest() == _Reader(theirs).digest()
    except (_InvalidBytecode, RecursionError):
        return False


class _Reader:
    """A reader that reduces a .pyc file to a digest, which is the same for equal objects.

    The digest of an object is computed from the digests of its parts, so a reference costs nothing,
    no matter how often a large object is referenced.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, HEADER_BYTES
        # Digests of objects that can be referenced; None while an object is being read.
        self._referred: list[bytes | None] = []
        magic = int.from_bytes(content[:2], "little")
        self._code = CODE_311 if magic >= PYTHON_311_MAGIC else CODE_310

    def digest(self) -> bytes:
        digest = self._hash_object()
        if self._at != len(self._content):
            raise _InvalidBytecode
        return digest

    def _hash_object(self) -> bytes:
        first = self._read_bytes(1)[0]
        kind = chr(first & ~REFERENCE_FLAG)
        if not first & REFERENCE_FLAG:
            return self._resolve_reference() if kind == "r" else self._hash_parts(kind)
        if kind in SINGLETONS or kind == "r":
            # marshal does not number these, and no compiler marks them.
            raise _InvalidBytecode
        # Numbered before its parts, as in marshal.
        number = len(self._referred)
        self._referred.append(None)
        digest = self._referred[number] = self._hash_parts(kind)
        return digest

    def _hash_parts(self, kind: str) -> bytes:
        if kind in SINGLETONS:
            return _hash(kind, b"")
        if kind in FIXED_SIZES:
            return _hash(kind, self._read_bytes(FIXED_SIZES[kind]))
        if kind == "l":
            digits = self._read_number()
            return _hash(f"l{digits}", self._read_bytes(2 * abs(digits)))
        if kind == "s":
            return _hash(kind, self._read_bytes(self._read_number()))
        if kind in LONG_STRINGS or kind in SHORT_STRINGS:
            text = self._read_bytes(
                self._read_number() if kind in LONG_STRINGS else self._read_bytes(1)[0]
            )
            # The encoding of other text than ASCII depends on the type: UTF-8 or Latin-1.
            if kind not in "ut" and not text.isascii():
                raise _InvalidBytecode
            return _hash("u", text)
        if kind in "()":
            count = self._read_number() if kind == "(" else self._read_bytes(1)[0]
            return _hash("(", b"".join(self._hash_objects(count)))
        if kind == ">":
            # A set is ordered by the hashes of its texts, which change with each process.
            return _hash(kind, b"".join(sorted(self._hash_objects(self._read_number()))))
        if kind == "c":
            parts = (
                self._read_bytes(4) if part == "n" else self._hash_object() for part in self._code
            )
            return _hash(kind, b"".join(parts))
        raise _InvalidBytecode

    def _resolve_reference(self) -> bytes:
        number = self._read_number()
        if not 0 <= number < len(self._referred):
            raise _InvalidBytecode
        digest = self._referred[number]
        if digest is None:
            raise _InvalidBytecode
        return digest

    def _hash_objects(self, count: int) -> list[bytes]:
        if not 0 <= count <= len(self._content):
            raise _InvalidBytecode
        return [self._hash_object() for _ in range(count)]

    def _read_number(self) -> int:
        number: int = struct.unpack("<i", self._read_bytes(4))[0]
        return number

    def _read_bytes(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._content):
            raise _InvalidBytecode
        chunk = self._content[self._at : end]
        self._at = end
        return chunk


def _hash(kind: str, content: bytes) -> bytes:
    return hashlib.sha256(f"{kind}\0".encode() + content).digest()
