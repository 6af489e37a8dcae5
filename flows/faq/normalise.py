"""Make text comparable: one form of each character, one space between words."""

import unicodedata

from promptflow.core import tool


@tool
def normalise(text: str) -> str:
    """Return `text` in Unicode's NFKC form, without surrounding or repeated white space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())
