"""Keep known secrets out of everything that the container prints."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable

MASK = b"***"
# Shorter values would mask ordinary words, and protect nothing.
SHORTEST = 6
# Longer lines go out in parts: a secret across two parts is then not seen.
LONGEST_LINE = 1024 * 1024


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
    """Return how `secrets` may be written, as they are and within JSON; the longest first.

    Without those that are too short. A secret may contain another, hence the order.
    """
    long = [secret for secret in secrets if len(secret) >= SHORTEST]
    escaped = [
        json.dumps(secret, ensure_ascii=ascii)[1:-1] for secret in long for ascii in (True, False)
    ]
    return sorted({*long, *escaped}, key=len, reverse=True)


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
