"""Requests that are lost when a server under load is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.http_client import BROKEN, Connection, Head

TIMEOUT_SECONDS = 60


@dataclass
class Stop:
    """What became of the requests from SIGTERM on.

    `under_way` were sent over an established connection and not answered at that moment, and `lost`
    of them got no complete 200. `lost_later` were sent after it, over a connection that the server
    had kept open and then closed without a word (`Connection: close`), and got none either.
    `failed_before` got none before the server was stopped.
    """

    under_way: int = 0
    lost: int = 0
    lost_later: int = 0
    failed_before: int = 0


def run(
    host: str, port: int, path: str, body: Any, clients: int, terminate: Callable[[], None]
) -> Stop:
    """Have `clients` send one request after the other, call `terminate`, and count.

    `terminate` is called once every client has been answered twice, at a moment when requests are
    under way. Clients keep their connections for as long as the server does. After SIGTERM they
    open no new ones: where to send those is a load balancer's affair.
    """
    return asyncio.run(_Clients(host, port, path, body).run(clients, terminate))


class _Clients:
    def __init__(self, host: str, port: int, path: str, body: Any) -> None:
        self._host = host
        self._port = port
        self._path = path
        self._body = body
        self._terminated = False
        self._under_way = 0
        self._found = Stop()
        self._warm = 0
        self._all_warm = asyncio.Event()

    async def run(self, clients: int, terminate: Callable[[], None]) -> Stop:
        tasks = [asyncio.create_task(self._client(clients)) for _ in range(clients)]
        await asyncio.wait_for(self._all_warm.wait(), TIMEOUT_SECONDS)
        while not self._under_way:
            await asyncio.sleep(0)
        self._terminated = True
        self._found.under_way = self._under_way
        await asyncio.to_thread(terminate)
        await asyncio.gather(*tasks)
        return self._found

    async def _client(self, clients: int) -> None:
        connection: Connection | None = None
        answered = 0
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if connection is None:
                connection = await self._connect()
                if connection is None:
                    break
            kept = await self._send(connection) and not await connection.has_ended()
            answered += 1
            if answered == 2:
                self._warm += 1
                if self._warm == clients:
                    self._all_warm.set()
            if not kept:
                await connection.close()
                connection = None
        if connection:
            await connection.close()

    async def _connect(self) -> Connection | None:
        while not self._terminated:
            try:
                connection = await Connection.open(self._host, self._port)
            except OSError:
                continue
            if not self._terminated:
                return connection
            await connection.close()
        return None

    async def _send(self, connection: Connection) -> bool:
        """Send one request; return whether the connection may be used again."""
        self._under_way += 1
        later = self._terminated
        try:
            head = await asyncio.wait_for(self._answer(connection), TIMEOUT_SECONDS)
            complete, stays_open = head.status == 200, head.stays_open
        except (TimeoutError, *BROKEN):
            complete = stays_open = False
        finally:
            self._under_way -= 1
        if not complete and later:
            self._found.lost_later += 1
        elif not complete and self._terminated:
            self._found.lost += 1
        elif not complete:
            self._found.failed_before += 1
        return stays_open

    async def _answer(self, connection: Connection) -> Head:
        head = await connection.post(self._path, self._body)
        await connection.body(head)
        return head
