"""Requests over plain asyncio streams, as far as streams of events and lost requests need them.

A ready-made client would repeat, pool and buffer; here each connection and each byte counts, and 64
clients must not take the processors from the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

# What a connection that ends too early raises while it is read or written.
BROKEN = (OSError, asyncio.IncompleteReadError, ValueError)


@dataclass(frozen=True)
class Head:
    """The beginning of an answer."""

    status: int
    headers: dict[str, str]

    @property
    def stays_open(self) -> bool:
        """Whether the connection may be used again."""
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        return framed and self.headers.get("connection", "").lower() != "close"


class Connection:
    """A connection to `host` and `port`."""

    def __init__(
        self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect. Raises `OSError`."""
        return cls(host, *await asyncio.open_connection(host, port))

    async def post(self, path: str, body: Any, accept: str = "*/*") -> Head:
        """Send `body` as JSON; return the head of the answer.

        Raises one of `BROKEN` where the connection ends before it.
        """
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: {accept}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self._writer.write(head.encode() + data)
        await self._writer.drain()
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = text.strip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Head(int(status.split()[1]), headers)

    async def pieces(self, head: Head) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises one of `BROKEN` where it is not complete."""
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readuntil(b"\r\n")
        elif "content-length" in head.headers:
            yield await self._reader.readexactly(int(head.headers["content-length"]))
        else:
            while data := await self._reader.read(65536):
                yield data

    async def body(self, head: Head) -> bytes:
        """Return the whole body. Raises one of `BROKEN` where it is not complete."""
        return b"".join([piece async for piece in self.pieces(head)])

    async def has_ended(self) -> bool:
        """Return whether the other side has closed, as far as is known: ask before using it again.

        Clients that keep connections look, too.
        """
        await asyncio.sleep(0)
        return self._reader.at_eof()

    async def close(self) -> None:
        """Close; a connection that the other side has reset is closed, too."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
