"""Estimate the memory that JSON takes when it is parsed, from its bytes.

The estimates are upper bounds. The memory of Python 3.10 to 3.13 was measured for the JSON that
takes the most memory per byte (tests/unit/server/test_json_memory.py). Each step is one linear
search in C.
"""

from __future__ import annotations

from typing import NamedTuple

# Bytes for each of these characters: an object, a list, a key with its table entry, another item.
_STRUCTURE = ((b"{", 208), (b"[", 96), (b":", 64), (b",", 72))
# Bytes for each escape such as \u007b: a string can contain the JSON of a list, with any of the
# characters above as an escape.
_ESCAPE = 72
# The first bytes of characters above U+FFFF. Python stores a text with such characters with 4 bytes
# per character.
_ASTRAL = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4")


class JsonMemory(NamedTuple):
    """The memory of a JSON body in bytes."""

    # At most, while the body is parsed.
    peak: int
    # After the body is parsed.
    retained: int


def estimate_structure(part: bytes | bytearray) -> int:
    """Return the bytes that the values in a part of a body need in addition to their text.

    Called for each part as it arrives, so that a body can be rejected before it is complete.
    """
    return sum(part.count(sign) * size for sign, size in _STRUCTURE)


def estimate_memory(body: bytes | bytearray, values: int) -> JsonMemory:
    """Return the memory of `body`; `values` is the sum of `estimate_structure` of its parts."""
    escaped = b"\\" in body and b"\\u" in body
    text = len(body) * _width(body, escaped)
    parsed = text + values
    if escaped:
        parsed += body.count(b"\\u00") * _ESCAPE
    # A text with escapes is assembled in a buffer, which grows by a quarter more than it needs.
    buffer = len(body) if escaped else 0
    return JsonMemory(peak=len(body) + buffer + text + parsed, retained=parsed)


def _width(body: bytes | bytearray, escaped: bool) -> int:
    """Return the maximum number of bytes per character of a text in `body`."""
    if escaped and (b"\\ud" in body or b"\\uD" in body):
        return 4
    if body.isascii():
        return 2 if escaped else 1
    return 4 if any(first in body for first in _ASTRAL) else 2
