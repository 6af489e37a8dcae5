"""An HTTP request and its response as streams, with byte counts and injected faults."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

CHUNK_BYTES = 256 * 1024
MAX_CONTENT_BYTES = 4 * 1024 * 1024
STATUSES_WITHOUT_BODY = (204, 304)

Headers = Iterable[tuple[str, str]]


class ConnectionBroken(Exception):
    """The connection is broken, on purpose or not, so no response can be sent."""


@dataclass
class RecordedRequest:
    """A request as it was recorded."""

    method: str
    path: str
    # 0 until the response begins; stays 0 if the connection broke before.
    status: int = 0
    # Bytes of the request's and the response's body, without framing.
    received: int = 0
    sent: int = 0


class Exchange:
    """A request, whose body is read once, and its response, which is written once."""

    def __init__(
        self,
        handler: BaseHTTPRequestHandler,
        record: RecordedRequest,
        cuts: tuple[int | None, int | None],
    ) -> None:
        self._handler = handler
        self._seen = record
        self._cut_received, self._cut_sent = cuts
        self._pieces = self._receive()
        self._chunked_answer = False
        self.method = handler.command
        self.target = handler.path
        parts = urlsplit(handler.path)
        self.path = parts.path
        self.query: dict[str, list[str]] = parse_qs(parts.query, keep_blank_values=True)
        self.headers = handler.headers

    @property
    def is_chunked(self) -> bool:
        """Whether the body is sent in chunks, with an unknown length."""
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    @property
    def length(self) -> int:
        """The body's length as declared by the request; 0 for chunks."""
        return int(self.headers.get("Content-Length") or 0)

    def body(self) -> Iterator[bytes]:
        """Yield the body in pieces as they arrive; a second call yields what is left."""
        return self._pieces

    def content(self) -> bytes:
        """Return a small body as a whole. Raise `ValueError` if it has more than 4 MiB."""
        content = b""
        for piece in self.body():
            content += piece
            if len(content) > MAX_CONTENT_BYTES:
                raise ValueError(f"{self.method} {self.path}: a body of more than 4 MiB")
        return content

    def form(self) -> dict[str, list[str]]:
        """Return the fields of a form in the body."""
        return parse_qs(self.content().decode(), keep_blank_values=True)

    def bearer_token(self) -> str:
        """Return the request's bearer token, empty if it has none."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if kind.lower() == "bearer" else ""

    def answer(
        self, status: int, content: Any = b"", headers: Headers = (), kind: str = ""
    ) -> None:
        """Send a whole response: bytes, or other `content` as JSON; `kind` is its media type."""
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            kind = kind or "application/json; charset=utf-8"
        kind = kind or "text/plain; charset=utf-8"
        content_headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        self.begin(
            status, [*headers, *(content_headers if status not in STATUSES_WITHOUT_BODY else [])]
        )
        if self.method != "HEAD" and content:
            self.write(content)

    def begin(self, status: int, headers: Headers) -> None:
        """Write the head of a response. Without Content-Length, the body is sent in chunks."""
        headers = list(headers)
        names = {name.lower() for name, _ in headers}
        without_body = self.method == "HEAD" or status in STATUSES_WITHOUT_BODY
        self._chunked_answer = not without_body and "content-length" not in names
        if self._chunked_answer:
            headers.append(("Transfer-Encoding", "chunked"))
        # Recorded before the first byte is sent, so that a client that reads it finds the record.
        self._seen.status = status
        with _raise_if_broken():
            self._handler.send_response_only(status)
            for name, value in headers:
                self._handler.send_header(name, value)
            self._handler.end_headers()

    def write(self, piece: bytes) -> None:
        """Write a piece of the response's body."""
        cut = self._cut_sent
        if cut is not None and self._seen.sent + len(piece) > cut:
            self._write(piece[: cut - self._seen.sent])
            self.reset()
        self._write(piece)

    def end(self) -> None:
        """End a response that was begun."""
        if self._chunked_answer:
            self._raw(b"0\r\n\r\n")

    def discard(self) -> None:
        """Read the rest of the body: closing earlier would reset the connection."""
        for _ in self.body():
            pass

    def reset(self) -> None:
        """Break the connection with a reset (RST), as a dropped link or a dying proxy does."""
        connection = self._handler.connection
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # `close()` would not close it, because the handler's file keeps the socket open.
            os.close(connection.detach())
        raise ConnectionBroken

    def _receive(self) -> Iterator[bytes]:
        for piece in self._chunks() if self.is_chunked else self._read_exactly(self.length):
            cut = self._cut_received
            if cut is not None and self._seen.received + len(piece) > cut:
                # The bytes before the cut arrive, as on a real network.
                head = piece[: cut - self._seen.received]
                self._seen.received += len(head)
                yield head
                self.reset()
            self._seen.received += len(piece)
            yield piece

    def _write(self, piece: bytes) -> None:
        if not piece:
            return
        self._seen.sent += len(piece)
        self._raw(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked_answer else piece)

    def _raw(self, data: bytes) -> None:
        with _raise_if_broken():
            self._handler.wfile.write(data)

    def _read_exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._read_some(size)
            size -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(b";")[0], 16):
            yield from self._read_exactly(size)
            self._line()
        while self._line():
            pass

    def _read_some(self, limit: int) -> bytes:
        with _raise_if_broken():
            piece: bytes = self._handler.rfile.read1(min(limit, CHUNK_BYTES))
        if not piece:
            raise ConnectionBroken
        return piece

    def _line(self) -> bytes:
        with _raise_if_broken():
            line = self._handler.rfile.readline(1024)
        if not line:
            raise ConnectionBroken
        return line.strip()


@contextlib.contextmanager
def _raise_if_broken() -> Iterator[None]:
    """Turn errors of the connection into `ConnectionBroken`."""
    try:
        yield
    except (OSError, ValueError):
        raise ConnectionBroken from None
