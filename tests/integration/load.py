"""Closed-loop clients: each sends its next request once it has the answer to the last one.

They speak to the container's own address: the engine's proxy on this machine's loopback address
accepts connections by itself, which would hide what the server does with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from docker.models.containers import Container

Address = tuple[str, int]
# Seconds after which an answer counts as lost.
PATIENCE = 60.0


class BadAnswer(Exception):
    """An answer that is no complete 200."""


@dataclass
class Tally:
    """What became of the requests: seconds of each good one, in order, and what became of others.

    `refused` are requests of which nothing was sent: the server had closed the connection, or told
    so, or did not accept one.
    """

    seconds: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: int = 0


def address(container: Container) -> Address:
    """Return the address of the server in `container` on the engine's network."""
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    return network["IPAddress"], 8080


def request(body: Any, accept: str = "application/json") -> bytes:
    """Return a POST to /score that keeps the connection, as bytes."""
    content = json.dumps(body).encode()
    head = (
        "POST /score HTTP/1.1\r\nHost: flow\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def run(
    to: Address, data: bytes, clients: int, go_on: Callable[[], bool], tally: Tally
) -> None:
    """Send `data` with so many `clients`, into `tally`, while `go_on`.

    A client ends too when the server refuses its connection, or closed it before a request.
    """
    await asyncio.gather(*(_client(to, data, go_on, tally) for _ in range(clients)))


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(seconds, n=100)[98]


async def _client(to: Address, data: bytes, go_on: Callable[[], bool], tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(connection, to)
        except OSError:
            tally.refused += 1
            return
        while go_on():
            if _closed(connection):
                tally.refused += 1
                return
            begin = time.perf_counter()
            try:
                await loop.sock_sendall(connection, data)
                receiving = _answer(lambda: loop.sock_recv(connection, 65536))
                last = await asyncio.wait_for(receiving, PATIENCE)
            except (TimeoutError, OSError, BadAnswer) as error:
                tally.lost.append(f"{type(error).__name__} {error}")
                return
            tally.seconds.append(time.perf_counter() - begin)
            if last:
                tally.refused += 1
                return


def _closed(connection: socket.socket) -> bool:
    """Tell whether the server has closed the connection: nothing of the next request is sent yet."""
    with contextlib.suppress(BlockingIOError):
        return connection.recv(1, socket.MSG_PEEK) == b""
    return False


async def _answer(receive: Callable[[], Awaitable[bytes]]) -> bool:
    """Read one answer; tell whether the server says that it is the last one of the connection.

    Raises `BadAnswer` for anything but a complete 200.
    """
    got = b""
    while b"\r\n\r\n" not in got:
        got += await _more(receive, got)
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    if " 200 " not in f"{lines[0]} ":
        raise BadAnswer(lines[0])
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
    while len(body) < length:
        body += await _more(receive, got)
    return "connection: close" in lines


async def _more(receive: Callable[[], Awaitable[bytes]], got: bytes) -> bytes:
    more = await receive()
    if not more:
        raise BadAnswer(f"the connection ended after {len(got)} bytes of the answer")
    return more
