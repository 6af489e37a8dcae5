"""Parse texts that represent images, in linear time.

promptflow's expressions try each way to divide a text into groups of two and four, or white space
among adjacent parts: quadratic or worse (tests/unit/server/test_image_texts.py compares the
results).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Only one repeated part, so that there is nothing to backtrack.
_DIGITS = re.compile(r"[A-Za-z0-9+/]*")
_DATA = "data:image/"
_PREFIX = re.compile(rf"^{_DATA}(.*);base64")
_KINDS = ("path", "base64", "url")


@dataclass(frozen=True)
class PictureText:
    """The parts of a text `data:image/‹type›;‹source›: ‹content›`."""

    mime_type: str
    # One of path, base64, url.
    source: str
    content: str


def is_base64(value: str) -> bool:
    """Return whether promptflow treats `value` as base64; it may be a `data:` URL."""
    prefix, comma, text = value.rpartition(",")
    if comma and ("," in prefix or not _PREFIX.match(prefix)):
        return False
    # The `$` in promptflow's expression also matches before a newline at the end.
    text = text.removesuffix("\n")
    padding = text[-2:].count("=")
    digits = text[: len(text) - padding]
    return len(digits) % 2 == padding % 2 and _DIGITS.fullmatch(digits) is not None


def parse(text: str) -> PictureText | None:
    """Return the image that an input of a prompty names, or None for any other text."""
    if not text.startswith(_DATA):
        return None
    line = text.partition("\n")[0]
    at, kind = max((line.rfind(f";{kind}:"), kind) for kind in _KINDS)
    content = text[at + len(kind) + 2 :].lstrip()
    if at < 0 or "\n" in content[:-1]:
        return None
    return PictureText(f"image/{line[len(_DATA) : at]}", kind, content.removesuffix("\n"))
