"""Texts that are not ASCII as they stand in a file: UTF-16, and base64, also over several lines."""

from __future__ import annotations

import binascii
import bisect
import re
import string
from collections.abc import Iterator

from deploy.gate import shapes

# In UTF-16, ASCII has a zero before (big-endian) or behind (little-endian) each character. To look
# for a zero first is ten times faster.
_UTF16 = re.compile(rb"\0[\t\n\r -~](?:\0[\t\n\r -~]){14,}")
_PRINTABLE = frozenset(b"\t\n\r" + bytes(range(32, 127)))
# Two thirds of the shortest secret with a shape (20 characters and a prefix), in base64.
SHORTEST = 32
_ALPHABET = f"{string.ascii_letters}{string.digits}+/-_".encode()
# `bytes.find` in a text of two letters is six times faster than a pattern for the alphabet.
_INSIDE, _OUTSIDE = b"a", b" "
_MASK = bytes(_INSIDE[0] if code in _ALPHABET else _OUTSIDE[0] for code in range(256))
_STANDARD = bytes.maketrans(b"-_", b"+/")
# MIME has lines of 76 characters, PEM of 64; in JSON and code their ends are written as escapes.
_BREAK = rb"[ \t]*(?:\r?\n|(?:\\r)?\\n)[ \t]*"
_LINES = re.compile(rb"(?:" + _BREAK + rb"[A-Za-z0-9+/_-]+)*")
_BREAKS = re.compile(_BREAK)
# Base64 of UTF-16 is what PowerShell takes; base64 of base64, what Kubernetes makes of base64.
LEVELS = 2
# No secret has this in it.
_BETWEEN = b"\0\n\0"


def find(data: bytes, levels: int = LEVELS) -> Iterator[tuple[str, int]]:
    """Yield the kind of each secret in `data` and where it is, also of encoded ones."""
    for rule, start, _ in shapes.find(data):
        yield rule, start
    if not levels:
        return
    # All texts at once: there are thousands, and most of the time would go into beginning.
    places: list[int] = []
    starts: list[int] = []
    joined = bytearray()
    for text, start in (*_utf16(data), *_base64(data)):
        places.append(len(joined))
        starts.append(start)
        joined += text + _BETWEEN
    for rule, place in find(bytes(joined), levels - 1) if joined else ():
        yield rule, starts[bisect.bisect_right(places, place) - 1]


def _utf16(data: bytes) -> Iterator[tuple[bytes, int]]:
    for match in _UTF16.finditer(data):
        start, end = match.span()
        # Of little-endian text the first zero belongs to the character before.
        if start and data[start - 1] in _PRINTABLE and data[end : end + 1] == b"\0":
            start -= 1
        yield data[start:end].replace(b"\0", b""), start


def _base64(data: bytes) -> Iterator[tuple[bytes, int]]:
    mask, run, end = data.translate(_MASK), _INSIDE * SHORTEST, 0
    while (start := mask.find(run, end)) >= 0:
        end = mask.find(_OUTSIDE, start)
        lines = _LINES.match(data, len(data) if end < 0 else end)
        end = lines.end() if lines else len(data)
        text = _BREAKS.sub(b"", data[start:end]).translate(_STANDARD)
        try:
            yield binascii.a2b_base64(text[: len(text) // 4 * 4]), start
        except binascii.Error:
            continue
