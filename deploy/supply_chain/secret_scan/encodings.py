"""Find secrets in encoded texts: UTF-16, and base64, also across several lines."""

from __future__ import annotations

import binascii
import bisect
import re
import string
from collections.abc import Iterator

from deploy.config import secret_patterns

# In UTF-16, ASCII characters have a zero before (big-endian) or after them (little-endian).
# Searching for a zero first is ten times faster.
_UTF16 = re.compile(rb"\0[\t\n\r -~](?:\0[\t\n\r -~]){14,}")
_PRINTABLE = frozenset(b"\t\n\r" + bytes(range(32, 127)))
# Minimum length of base64 that is decoded: two thirds of the shortest secret with a pattern (20
# characters and a prefix), in base64.
MIN_BASE64_LENGTH = 32
_ALPHABET = f"{string.ascii_letters}{string.digits}+/-_".encode()
# `bytes.find` in a text of two letters is six times faster than a pattern for the alphabet.
_INSIDE, _OUTSIDE = b"a", b" "
_ALPHABET_MASK = bytes(_INSIDE[0] if code in _ALPHABET else _OUTSIDE[0] for code in range(256))
_TO_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")
# MIME has lines of 76 characters, PEM of 64; JSON and code write line breaks as escapes.
_BREAK = rb"[ \t]*(?:\r?\n|(?:\\r)?\\n)[ \t]*"
_LINES = re.compile(rb"(?:" + _BREAK + rb"[A-Za-z0-9+/_-]+)*")
_BREAKS = re.compile(_BREAK)
# Number of nested encodings: PowerShell accepts base64 of UTF-16, and Kubernetes encodes base64 in
# base64 again.
MAX_LEVELS = 2
# Separator that no secret contains.
_SEPARATOR = b"\0\n\0"


def find_secrets(data: bytes, levels: int = MAX_LEVELS) -> Iterator[tuple[str, int]]:
    """Yield the kind and the offset of each secret in `data`, including encoded ones."""
    for rule, start, _ in secret_patterns.find_secrets(data):
        yield rule, start
    if not levels:
        return
    # Search all texts at once: there are thousands, and most of the time would be spent on starting
    # searches.
    offsets_joined: list[int] = []
    offsets_in_data: list[int] = []
    joined = bytearray()
    for text, start in (*_decode_utf16(data), *_decode_base64(data)):
        offsets_joined.append(len(joined))
        offsets_in_data.append(start)
        joined += text + _SEPARATOR
    for rule, offset in find_secrets(bytes(joined), levels - 1) if joined else ():
        yield rule, offsets_in_data[bisect.bisect_right(offsets_joined, offset) - 1]


def _decode_utf16(data: bytes) -> Iterator[tuple[bytes, int]]:
    for match in _UTF16.finditer(data):
        start, end = match.span()
        # In little-endian text the first zero belongs to the character before.
        if start and data[start - 1] in _PRINTABLE and data[end : end + 1] == b"\0":
            start -= 1
        yield data[start:end].replace(b"\0", b""), start


def _decode_base64(data: bytes) -> Iterator[tuple[bytes, int]]:
    alphabet_map, minimal_run, end = data.translate(_ALPHABET_MASK), _INSIDE * MIN_BASE64_LENGTH, 0
    while (start := alphabet_map.find(minimal_run, end)) >= 0:
        end = alphabet_map.find(_OUTSIDE, start)
        lines = _LINES.match(data, len(data) if end < 0 else end)
        end = lines.end() if lines else len(data)
        text = _BREAKS.sub(b"", data[start:end]).translate(_TO_STANDARD_ALPHABET)
        try:
            yield binascii.a2b_base64(text[: len(text) // 4 * 4]), start
        except binascii.Error:
            continue
