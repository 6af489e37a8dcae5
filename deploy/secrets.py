"""Recognise a secret by its shape."""

from __future__ import annotations

import re

# Shapes that the services document, or that their keys have had so far.
_SHAPES = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an OpenAI key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "an Azure storage or Service Bus key": r"(AccountKey|SharedAccessKey)=[A-Za-z0-9+/=]{20,}",
    "a shared access signature": r"[?&;]sig=[A-Za-z0-9%+/]{20,}",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    "an Azure AD client secret": r"\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,}",
    "an Azure AI key": r"\b[A-Za-z0-9]{32,80}(AAAA|ACOG)[A-Za-z0-9]{4,10}\b",
    "a password in a URL": r"://[^/\s:@]+:[^/\s:@]+@",
    # Older Azure OpenAI and Search keys are just 32 hexadecimal digits, or 52 letters and digits.
    "a key (32 hexadecimal digits)": r"^[0-9a-fA-F]{32}$",
    "a key (52 letters and digits)": r"^(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9]{52}$",
}
_COMPILED = {name: re.compile(shape) for name, shape in _SHAPES.items()}


def recognise(text: str) -> str | None:
    """Return what kind of secret `text` looks like, or None."""
    return next((name for name, shape in _COMPILED.items() if shape.search(text)), None)
