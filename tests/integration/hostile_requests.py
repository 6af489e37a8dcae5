"""Requests that take much of a server for little of the client, and clients that send them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

from tests.integration import hostile_clients, load
from tests.integration.load import Address

MEGABYTE = 2**20
HEAD = b"POST /score HTTP/1.1\r\nHost: flow\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: flow\r\n\r\n"
# Between two of them from one client: what one takes is in question, not how many there are.
PAUSE = 0.2


def of_values(item: bytes, size: int, name: bytes = b"unknown") -> bytes:
    """Return a request whose body is a list of `item` under `name`."""
    items = b",".join([item] * (size // (len(item) + 1)))
    body = b'{"question": "leave", "' + name + b'": [' + items + b"]}"
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


REQUESTS = {
    "trailers": CHUNKED + b"0\r\n" + b"X-Trailer: 1\r\n" * 500_000,
    "one long trailer": CHUNKED + b"0\r\nX-Trailer: " + b"x" * 8 * MEGABYTE,
    "a chunk extension": CHUNKED + b"1;" + b"x" * 8 * MEGABYTE,
    "chunks of one byte": CHUNKED + b"1\r\nx\r\n" * 500_000,
    "a long target": b"GET /" + b"x" * 8 * MEGABYTE,
    "header lines in the next head": HEALTH + b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 13_000,
    "pipelined requests": HEALTH * 80_000,
    "pipelined requests behind one in work": load.request({"question": "leave"}) * 10_000,
    "10 MB of small objects": of_values(b'{"a":1}', 10_000_000),
    "1 MB of small objects": of_values(b'{"a":1}', 1_000_000),
    "10 MB of lists": of_values(b"[]", 10_000_000),
}


@contextlib.contextmanager
def sending(to: Address, clients: int, *hostile: bytes) -> Iterator[None]:
    """Send `hostile` in turn, one from each of so many clients, which read no answer and stay.

    Then from one client at a time.
    """
    requests = itertools.cycle(hostile)
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            _send(
                stack.enter_context(hostile_clients.connect(to, hostile_clients.WINDOW)),
                next(requests),
            )
        left = threading.Event()

        def go_on() -> None:
            while not left.wait(PAUSE):
                with hostile_clients.connect(to, hostile_clients.WINDOW) as connection:
                    _send(connection, next(requests))

        with hostile_clients.in_background(go_on, left):
            yield


def _send(connection: socket.socket, request: bytes) -> None:
    # The server ends the connection, or stops to read from it.
    connection.settimeout(1)
    with contextlib.suppress(OSError):
        connection.sendall(request)
