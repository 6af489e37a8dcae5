"""Keep known secrets out of everything that the container prints."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterable

MASK = b"***"
# Shorter values would mask ordinary words, and protect nothing.
SHORTEST = 6
# Longer lines go out in parts: a secret across two parts is then not seen.
LONGEST_LINE = 1024 * 1024
# Between two lines of a secret: a line break, or one as JSON and variables of one line write it.
_BREAK = re.compile(r"[\r\n]+|(?:\\r)?\\n")
# "-----BEGIN PRIVATE KEY-----" (RFC 7468, 2) is the same in all keys.
_BOUNDARY = re.compile(r"-----(BEGIN|END) [^-]*-----")


def redact_output(secrets: Iterable[str]) -> Callable[[], None]:
    """Mask `secrets` in all that this process, and any that it starts, writes to its outputs.

    Flows and libraries print, log, and echo errors of services; subprocesses and extension modules
    write past Python. The file descriptors are the one place that all of it passes. Returns a
    function that waits until all is written: to be called last.
    """
    values = [form.encode() for form in forms(secrets)]
    if not values:
        return lambda: None
    threads = [_redirect(descriptor, values) for descriptor in (1, 2)]

    def finish() -> None:
        for descriptor, thread in zip((1, 2), threads, strict=True):
            # The last writer closes, so the thread sees the end.
            os.close(descriptor)
            thread.join(timeout=2)

    return finish


def forms(secrets: Iterable[str]) -> list[str]:
    """Return how `secrets` may be written: whole, line by line, and within JSON; longest first.

    Without those that are too short. A secret may contain another, hence the order. Lines matter
    since outputs are read line by line, and what prints a private key may indent it.
    """
    found: set[str] = set()
    for secret in secrets:
        for part in (secret, *lines(secret)):
            found |= written(part)
    return sorted(found, key=len, reverse=True)


def written(secret: str) -> set[str]:
    """Return `secret` as it is and within JSON; nothing if it is too short."""
    if len(secret) < SHORTEST:
        return set()
    return {secret, *(json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False))}


def lines(secret: str) -> list[str]:
    """Return the lines of a secret that has several, but those which all keys have."""
    parts = [part.strip() for part in _BREAK.split(secret)]
    return [part for part in parts if not _BOUNDARY.fullmatch(part)] if len(parts) > 1 else []


def mask(line: bytes, secrets: Iterable[bytes]) -> bytes:
    """Return `line` without the secrets."""
    for secret in secrets:
        line = line.replace(secret, MASK)
    return line


def _redirect(descriptor: int, secrets: list[bytes]) -> threading.Thread:
    """Put a pipe in the place of `descriptor`; a thread copies its lines to the original."""
    original = os.dup(descriptor)
    source, sink = os.pipe()
    os.dup2(sink, descriptor)
    os.close(sink)

    def copy() -> None:
        with os.fdopen(source, "rb") as lines:
            while line := lines.readline(LONGEST_LINE):
                os.write(original, mask(line, secrets))

    thread = threading.Thread(target=copy, name=f"redact-{descriptor}", daemon=True)
    thread.start()
    return thread
