"""Keep known secrets out of everything that the container prints."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

MASK = "***"
# Shorter values would mask ordinary words, and protect nothing.
SHORTEST = 6


class RedactingStream:
    """A text stream that replaces secrets in what is written to it.

    Flows and libraries print, log and echo errors of services; a stream is the one place that all
    of it passes. A secret that is cut in two by separate writes is not seen.
    """

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self._stream = stream
        # Longest first: a secret may contain another.
        self._secrets = sorted({s for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True)

    def write(self, text: str) -> int:
        """Write `text` without the secrets; return the number of characters that were given."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_output(secrets: Iterable[str]) -> None:
    """Put a `RedactingStream` in the place of standard output and standard error."""
    values = tuple(secrets)
    sys.stdout = RedactingStream(sys.stdout, values)
    sys.stderr = RedactingStream(sys.stderr, values)
