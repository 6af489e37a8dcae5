"""Estimate the memory that JSON takes once it is parsed, from its bytes.

Upper bounds: what Python 3.10 to 3.13 takes was measured for shapes that take the most for each
byte (tests/unit/test_json_memory.py). Each step is one linear search in C.
"""

from __future__ import annotations

from typing import NamedTuple

# Bytes for each of these: an object or a list, a key with its place in tables, a further item.
_STRUCTURE = ((b"{", 208), (b"[", 96), (b":", 64), (b",", 72))
# A string can hold the JSON of a list, with any of these as an escape such as \u007b.
_ESCAPE = 72
# First bytes of characters beyond U+FFFF, of which Python keeps a text with 4 bytes a character.
_ASTRAL = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4")


class JsonMemory(NamedTuple):
    """Bytes that a JSON body takes: `parsing` at most while it is parsed, `parsed` from then on."""

    parsing: int
    parsed: int


def structure(part: bytes | bytearray) -> int:
    """Return what the values in a part of a body take beside their text.

    For the parts of a body in turn: so it is refused before all of it has arrived.
    """
    return sum(part.count(sign) * size for sign, size in _STRUCTURE)


def estimate(body: bytes | bytearray, values: int) -> JsonMemory:
    """Return what parsing `body` takes at most; `values` is the `structure` of all its parts."""
    escaped = b"\\" in body and b"\\u" in body
    text = len(body) * _width(body, escaped)
    parsed = text + values
    if escaped:
        parsed += body.count(b"\\u00") * _ESCAPE
    # A text with escapes is put together in a buffer, which grows by a quarter more than it needs.
    buffer = len(body) if escaped else 0
    return JsonMemory(parsing=len(body) + buffer + text + parsed, parsed=parsed)


def _width(body: bytes | bytearray, escaped: bool) -> int:
    """Return how many bytes a character of a text in `body` takes at most."""
    if escaped and (b"\\ud" in body or b"\\uD" in body):
        return 4
    if body.isascii():
        return 2 if escaped else 1
    return 4 if any(first in body for first in _ASTRAL) else 2
