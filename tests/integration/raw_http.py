"""HTTP as bytes: requests that no well-behaved library sends, and the responses."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# The pace of a client on a slow line: it is the request, not a wait for something.
PAUSE = 0.02


@dataclass(frozen=True)
class Sent:
    """A request: `head` without the empty line after it, and the pieces of the body.

    With `half_closed`, the client ends its side of the connection after the last piece.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes, ...] = ()
    half_closed: bool = False

    def head(self) -> bytes:
        """Return the request line and the headers."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: flow", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(frozen=True)
class Answer:
    """What came back. Status 0: the connection ended without an answer."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def media_type(self) -> str:
        """The content type with its parameters, in lower case; empty without one."""
        return self.headers.get("content-type", "").lower()

    @property
    def body(self) -> Any:
        """The body: JSON where it is declared as such, a text otherwise."""
        if self.media_type.startswith("application/json") and self.content:
            return json.loads(self.content)
        return self.content.decode("utf-8", "replace")


def exchange(url: str, request: Sent, seconds: float = 60) -> Answer:
    """Send `request` to the server at `url` and return its answer."""
    with socket.create_connection(_address(url), timeout=seconds) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _send(connection, request)
        response = http.client.HTTPResponse(connection, method=request.method)
        try:
            response.begin()
            content = response.read()
        except (http.client.HTTPException, ConnectionError):
            return Answer(0, {}, b"")
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)


def _send(connection: socket.socket, request: Sent) -> None:
    try:
        connection.sendall(request.head())
        for number, piece in enumerate(request.pieces):
            if number:
                time.sleep(PAUSE)
            connection.sendall(piece)
        if request.half_closed:
            connection.shutdown(socket.SHUT_WR)
    except ConnectionError:
        # The server answered before all was sent, as it may: the answer is there to be read.
        return


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 80)


def post(
    body: bytes | Sequence[bytes],
    *headers: tuple[str, str],
    target: str = "/score",
    media_type: str | None = "application/json",
    length: int | None = None,
    half_closed: bool = False,
) -> Sent:
    """Return a POST of `body`: one piece, or several that are sent one after the other."""
    pieces = (body,) if isinstance(body, bytes) else tuple(body)
    found = list(headers)
    if media_type is not None:
        found.append(("Content-Type", media_type))
    announced = sum(map(len, pieces)) if length is None else length
    found.append(("Content-Length", str(announced)))
    return Sent("POST", target, tuple(found), pieces, half_closed)


def chunked(pieces: Sequence[bytes], *headers: tuple[str, str]) -> Sent:
    """Return a POST to /score whose body comes in chunks."""
    coded = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
    every = (*headers, ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"))
    return Sent("POST", "/score", every, tuple(coded))


def get(target: str, *headers: tuple[str, str], method: str = "GET") -> Sent:
    """Return a request without a body."""
    return Sent(method, target, headers)
