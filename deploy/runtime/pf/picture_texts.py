"""Read texts that stand for pictures, in one look at each character.

promptflow's expressions for them try each way to divide a text into twos and fours, or white space
among neighbouring parts: quadratic and worse (tests/unit/test_picture_texts.py compares results).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# One repeated part, so that a failure has nothing to try again.
_DIGITS = re.compile(r"[A-Za-z0-9+/]*")
_DATA = "data:image/"
_PREFIX = re.compile(rf"^{_DATA}(.*);base64")
_KINDS = ("path", "base64", "url")


@dataclass(frozen=True)
class PictureText:
    """`data:image/‹type›;‹kind›: ‹content›`; `kind` is path, base64 or url."""

    mime_type: str
    kind: str
    content: str


def is_base64(value: str) -> bool:
    """Tell whether `value` is what promptflow takes for base64, perhaps as a `data:` URL."""
    prefix, comma, text = value.rpartition(",")
    if comma and ("," in prefix or not _PREFIX.match(prefix)):
        return False
    # promptflow's `$` matches before a last newline, too.
    text = text.removesuffix("\n")
    padding = text[-2:].count("=")
    digits = text[: len(text) - padding]
    return len(digits) % 2 == padding % 2 and _DIGITS.fullmatch(digits) is not None


def parse(text: str) -> PictureText | None:
    """Return the picture that an input of a prompty names, or None for any other text."""
    if not text.startswith(_DATA):
        return None
    line = text.partition("\n")[0]
    at, kind = max((line.rfind(f";{kind}:"), kind) for kind in _KINDS)
    content = text[at + len(kind) + 2 :].lstrip()
    if at < 0 or "\n" in content[:-1]:
        return None
    return PictureText(f"image/{line[len(_DATA) : at]}", kind, content.removesuffix("\n"))
