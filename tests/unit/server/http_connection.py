"""One connection to the server's HTTP protocol in this process, and a clock that tests move."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from deploy.server.http_protocol import HttpProtocol
from deploy.server.open_connections import OpenConnections
from deploy.server.refusal_log import RefusalLog

CHUNKED = b"POST /score HTTP/1.1\r\nHost: flow\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: flow\r\n\r\n"
# Seconds after which an answer counts as lost.
PATIENCE = 20


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time a test can move forward: timers run without a wait."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def run(
    scenario: Callable[[Server], Coroutine[Any, Any, None]], app: ASGIApp, limit: int = 100
) -> None:
    """Run `scenario` with a server of `app`."""
    loop = SteppedLoop()

    async def whole() -> None:
        await scenario(Server(loop, app, limit))

    try:
        loop.run_until_complete(whole())
    finally:
        loop.run_until_complete(_cancel_all())
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Server:
    """What connections of one worker share."""

    def __init__(self, loop: SteppedLoop, app: ASGIApp, limit: int) -> None:
        self._loop = loop
        self._config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=75,
            ws="none",
            server_header=False,
        )
        self._state = ServerState()
        self.connections = OpenConnections(limit)
        self.refusals = RefusalLog(loop)

    async def connect(self, window: int | None = None) -> Client:
        """Return a client; with `window` bytes of buffers on both sides."""
        ours, theirs = socket.socketpair()
        if window:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
        for each in (ours, theirs):
            each.setblocking(False)
        protocol = HttpProtocol(self._config, self._state, self.connections, self.refusals)
        await self._loop.connect_accepted_socket(lambda: protocol, theirs)
        return Client(self._loop, ours, protocol)

    async def step(self, seconds: float) -> None:
        """Let time pass, in steps that no deadline is shorter than."""
        until = self._loop.ahead + seconds
        while self._loop.ahead < until:
            self._loop.ahead = min(until, self._loop.ahead + 5)
            await settle()


class Client:
    """A client that sends bytes as they are."""

    def __init__(
        self, loop: SteppedLoop, connection: socket.socket, protocol: HttpProtocol
    ) -> None:
        self._loop = loop
        self._connection = connection
        self.protocol = protocol

    async def send(self, data: bytes) -> None:
        """Send `data`, and let the server take it."""
        try:
            await self._loop.sock_sendall(self._connection, data)
        except ConnectionError:
            return
        await settle()

    async def receive(self, until: bytes) -> bytes:
        """Return what the server sends up to and with `until`."""
        got = b""
        while until not in got:
            more = await self._receive()
            assert more, f"the server closed the connection after {got!r}"
            got += more
        return got

    async def receive_all(self) -> bytes:
        """Return what the server sends until it closes the connection."""
        got = b""
        try:
            while more := await self._receive():
                got += more
        except ConnectionError:
            pass
        return got

    async def receive_some(self) -> bytes:
        """Return what is there, or comes next."""
        got = await self._receive()
        await settle()
        return got

    async def _receive(self) -> bytes:
        return await asyncio.wait_for(self._loop.sock_recv(self._connection, 65536), PATIENCE)

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection, or is about to."""
        return bool(self.protocol.transport.is_closing())


async def settle() -> None:
    """Let the server do what it can without anything new."""
    for _ in range(20):
        await asyncio.sleep(0)


class App:
    """An application that tells what it was sent; it reads bodies of POST, once `gate` is open."""

    def __init__(self, answer: bytes = b"") -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[dict[str, Any]] = []
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = {"path": scope["path"], "headers": dict(scope["headers"]), "body": b""}
        self.seen.append(seen)
        await self.gate.wait()
        more = scope["method"] == "POST"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            seen["body"] += message["body"]
            more = message["more_body"]
        body = self._answer or json.dumps(len(self.seen)).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /score HTTP/1.1", b"Host: flow", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunk(body: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(body), extension, body)
