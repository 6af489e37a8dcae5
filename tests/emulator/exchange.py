"""One HTTP request and its answer, both as streams; it counts bytes, and breaks where a test says so."""

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

CHUNK = 256 * 1024
SMALL = 4 * 1024 * 1024
NO_BODY = (204, 304)

Headers = Iterable[tuple[str, str]]


class Broken(Exception):
    """The connection is gone, on purpose or not: there is nobody left to answer."""


@dataclass
class Seen:
    """One request as it was recorded.

    `status` is 0 until the answer begins, and stays 0 where the connection broke before. `received`
    and `sent` count the bytes of the two bodies, without their framing.
    """

    method: str
    path: str
    status: int = 0
    received: int = 0
    sent: int = 0


class Exchange:
    """One request, whose body is read once, and its answer, which is written once."""

    def __init__(
        self, handler: BaseHTTPRequestHandler, seen: Seen, cuts: tuple[int | None, int | None]
    ) -> None:
        self._handler = handler
        self._seen = seen
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
        """Whether the body comes in chunks, its length unknown."""
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    @property
    def length(self) -> int:
        """How long the body says that it is; 0 for chunks."""
        return int(self.headers.get("Content-Length") or 0)

    def body(self) -> Iterator[bytes]:
        """Yield the body in pieces, as they come; asked again, what is left of it."""
        return self._pieces

    def content(self) -> bytes:
        """Return a small body whole."""
        content = b""
        for piece in self.body():
            content += piece
            if len(content) > SMALL:
                raise ValueError(f"{self.method} {self.path}: a body of more than 4 MiB")
        return content

    def form(self) -> dict[str, list[str]]:
        """Return the fields of a form."""
        return parse_qs(self.content().decode(), keep_blank_values=True)

    def bearer(self) -> str:
        """Return the token that the request brings, or nothing."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if kind.lower() == "bearer" else ""

    def answer(
        self, status: int, content: Any = b"", headers: Headers = (), kind: str = ""
    ) -> None:
        """Answer with `content` whole: bytes, or anything else as JSON; `kind` is its media type."""
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            kind = kind or "application/json; charset=utf-8"
        kind = kind or "text/plain; charset=utf-8"
        about = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        self.begin(status, [*headers, *(about if status not in NO_BODY else [])])
        if self.method != "HEAD" and content:
            self.write(content)

    def begin(self, status: int, headers: Headers) -> None:
        """Write the head of an answer. Without a length its body goes in chunks."""
        headers = list(headers)
        known = {name.lower() for name, _ in headers}
        bare = self.method == "HEAD" or status in NO_BODY
        self._chunked_answer = not bare and "content-length" not in known
        if self._chunked_answer:
            headers.append(("Transfer-Encoding", "chunked"))
        # Before the first byte leaves: whoever reads the answer finds it in the record.
        self._seen.status = status
        try:
            self._handler.send_response_only(status)
            for name, value in headers:
                self._handler.send_header(name, value)
            self._handler.end_headers()
        except OSError:
            raise Broken from None

    def write(self, piece: bytes) -> None:
        """Write a piece of the answer's body."""
        cut = self._cut_sent
        if cut is not None and self._seen.sent + len(piece) > cut:
            self._write(piece[: cut - self._seen.sent])
            self.reset()
        self._write(piece)

    def end(self) -> None:
        """End an answer that was begun."""
        if self._chunked_answer:
            self._raw(b"0\r\n\r\n")

    def discard(self) -> None:
        """Read what is left of the body: closing on it would reset the connection, answer and all."""
        for _ in self.body():
            pass

    def reset(self) -> None:
        """Break the connection with a reset (RST), as a dropped link or a dying proxy does."""
        connection = self._handler.connection
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Not close(): the handler's own file keeps the socket open.
            os.close(connection.detach())
        raise Broken

    def _receive(self) -> Iterator[bytes]:
        for piece in self._chunks() if self.is_chunked else self._exactly(self.length):
            cut = self._cut_received
            if cut is not None and self._seen.received + len(piece) > cut:
                # What came before the cut has arrived, as it would on a real wire.
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
        try:
            self._handler.wfile.write(data)
        except (OSError, ValueError):
            raise Broken from None

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._some(size)
            size -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(b";")[0], 16):
            yield from self._exactly(size)
            self._line()
        while self._line():
            pass

    def _some(self, most: int) -> bytes:
        try:
            piece: bytes = self._handler.rfile.read1(min(most, CHUNK))
        except (OSError, ValueError):
            raise Broken from None
        if not piece:
            raise Broken
        return piece

    def _line(self) -> bytes:
        try:
            line = self._handler.rfile.readline(1024)
        except (OSError, ValueError):
            raise Broken from None
        if not line:
            raise Broken
        return line.strip()
