"""Mask known secrets in everything that the container prints."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterable

MASK = b"***"
# Shorter values would mask ordinary words without protecting anything.
MIN_SECRET_LENGTH = 6
# Longer lines are written in parts. A secret that spans two parts is then not masked.
MAX_LINE_BYTES = 1024 * 1024
# The separator of two lines of a secret: a line break, or its escape in JSON and in variables.
_BREAK = re.compile(r"[\r\n]+|(?:\\r)?\\n")
# "-----BEGIN PRIVATE KEY-----" (RFC 7468, 2), which is the same in all keys.
_BOUNDARY = re.compile(r"-----(BEGIN|END) [^-]*-----")


def redact_output(secrets: Iterable[str]) -> Callable[[], None]:
    """Mask `secrets` in all output of this process and of the processes that it starts.

    Flows and libraries print, log, and repeat errors of services. Subprocesses and extension
    modules write without Python. All of that passes only the file descriptors. Returns a function
    that waits until all output is written, and that must be called last.
    """
    values = [form.encode() for form in list_spellings(secrets)]
    if not values:
        return lambda: None
    threads = [_redirect(descriptor, values) for descriptor in (1, 2)]

    def finish() -> None:
        for descriptor, thread in zip((1, 2), threads, strict=True):
            # When the last writer closes the pipe, the thread reads its end.
            os.close(descriptor)
            thread.join(timeout=2)

    return finish


def list_spellings(secrets: Iterable[str]) -> list[str]:
    """Return all spellings of `secrets`: whole, line by line, and in JSON; longest first.

    Spellings that are too short are left out. The order matters, because a secret may contain
    another. Single lines matter, because output is read line by line, and a program that prints a
    private key may indent it.
    """
    spellings: set[str] = set()
    for secret in secrets:
        for part in (secret, *split_secret(secret)):
            spellings |= encode_spellings(part)
    return sorted(spellings, key=len, reverse=True)


def encode_spellings(secret: str) -> set[str]:
    """Return the spellings of `secret` as plain text and in JSON; an empty set if it is short."""
    if len(secret) < MIN_SECRET_LENGTH:
        return set()
    return {secret, *(json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False))}


def split_secret(secret: str) -> list[str]:
    """Return the lines of a multi-line secret, without the boundaries that all keys have."""
    parts = [part.strip() for part in _BREAK.split(secret)]
    return [part for part in parts if not _BOUNDARY.fullmatch(part)] if len(parts) > 1 else []


def mask(line: bytes, secrets: Iterable[bytes]) -> bytes:
    """Return `line` with each secret replaced by MASK."""
    for secret in secrets:
        line = line.replace(secret, MASK)
    return line


def _redirect(descriptor: int, secrets: list[bytes]) -> threading.Thread:
    """Replace `descriptor` with a pipe, and start a thread that copies its lines, masked."""
    original = os.dup(descriptor)
    source, sink = os.pipe()
    os.dup2(sink, descriptor)
    os.close(sink)

    def copy() -> None:
        with os.fdopen(source, "rb") as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                os.write(original, mask(line, secrets))

    thread = threading.Thread(target=copy, name=f"redact-{descriptor}", daemon=True)
    thread.start()
    return thread
