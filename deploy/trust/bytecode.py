"""Compare bytecode without loading it.

The same source gives other bytes each time it is compiled: marshal marks an object as one that is
referred to by its reference count, and writes interned strings in another way (CPython,
Python/marshal.c, `w_ref` and `w_complex_object`). This reads marshal's format and makes nothing of
it, since `marshal` is not safe for data of others (its documentation, first paragraph). It accepts
only what a compiler writes; all else is damaged.
"""

from __future__ import annotations

import hashlib
import struct

# Magic number, flags, and the source's hash (PEP 552).
HEADER = 16
# Magic numbers of Python 3.10 are below this one (CPython, "Known values", bootstrap_external).
PYTHON_311 = 3450
REFERRED = 0x80
SINGLETONS = "NFT."
# Kinds of a fixed size: int, float, complex.
SIZES = {"i": 4, "g": 8, "y": 16}
LONG_STRINGS, SHORT_STRINGS = "utaA", "zZ"
# The parts of a code object: n is a number, o an object.
CODE_310 = "nnnnnnoooooooono"
CODE_311 = "nnnnnoooooooonoo"


class _Damaged(Exception):
    """What no compiler writes."""


def same(ours: bytes, theirs: bytes) -> bool:
    """Return whether two .pyc files are the same code with the same header."""
    if ours == theirs:
        return True
    if ours[:HEADER] != theirs[:HEADER]:
        return False
    try:
        return _Reader(ours).digest() == _Reader(theirs).digest()
    except (_Damaged, RecursionError):
        return False


class _Reader:
    """Reads one .pyc file into a digest that is the same for equal objects.

    Each object becomes a digest of its parts' digests: a reference costs nothing, however often it
    stands for a large object.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, HEADER
        # Digests of objects that may be referred to; None while one is being read.
        self._referred: list[bytes | None] = []
        magic = int.from_bytes(content[:2], "little")
        self._code = CODE_311 if magic >= PYTHON_311 else CODE_310

    def digest(self) -> bytes:
        found = self._object()
        if self._at != len(self._content):
            raise _Damaged
        return found

    def _object(self) -> bytes:
        first = self._take(1)[0]
        kind = chr(first & ~REFERRED)
        if not first & REFERRED:
            return self._reference() if kind == "r" else self._parts(kind)
        if kind in SINGLETONS or kind == "r":
            # marshal gives these no number, and no compiler marks them.
            raise _Damaged
        # Numbered before its parts, as marshal does.
        number = len(self._referred)
        self._referred.append(None)
        found = self._referred[number] = self._parts(kind)
        return found

    def _parts(self, kind: str) -> bytes:
        if kind in SINGLETONS:
            return _hash(kind, b"")
        if kind in SIZES:
            return _hash(kind, self._take(SIZES[kind]))
        if kind == "l":
            digits = self._number()
            return _hash(f"l{digits}", self._take(2 * abs(digits)))
        if kind == "s":
            return _hash(kind, self._take(self._number()))
        if kind in LONG_STRINGS or kind in SHORT_STRINGS:
            text = self._take(self._number() if kind in LONG_STRINGS else self._take(1)[0])
            # Beyond ASCII the kinds differ: UTF-8 in some, Latin-1 in others.
            if kind not in "ut" and not text.isascii():
                raise _Damaged
            return _hash("u", text)
        if kind in "()":
            count = self._number() if kind == "(" else self._take(1)[0]
            return _hash("(", b"".join(self._objects(count)))
        if kind == ">":
            # Its order is that of the hashes of its texts, which change with each process.
            return _hash(kind, b"".join(sorted(self._objects(self._number()))))
        if kind == "c":
            parts = (self._take(4) if part == "n" else self._object() for part in self._code)
            return _hash(kind, b"".join(parts))
        raise _Damaged

    def _reference(self) -> bytes:
        number = self._number()
        if not 0 <= number < len(self._referred):
            raise _Damaged
        found = self._referred[number]
        if found is None:
            raise _Damaged
        return found

    def _objects(self, count: int) -> list[bytes]:
        if not 0 <= count <= len(self._content):
            raise _Damaged
        return [self._object() for _ in range(count)]

    def _number(self) -> int:
        number: int = struct.unpack("<i", self._take(4))[0]
        return number

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._content):
            raise _Damaged
        taken = self._content[self._at : end]
        self._at = end
        return taken


def _hash(kind: str, content: bytes) -> bytes:
    return hashlib.sha256(f"{kind}\0".encode() + content).digest()
