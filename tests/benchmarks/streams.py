"""Streams of events, many opened at the same moment: how long until the first event of each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.http_client import BROKEN, Connection
from tests.benchmarks.percentiles import percentile

EVENTS = "text/event-stream"
LEAST_ROUNDS = 2
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Streams:
    """Seconds from a request to its first event: the median and the 99th percentile.

    `errors` are the streams that were refused, had no event or broke; they have no first event.
    """

    p50: float
    p99: float
    errors: int


def run(host: str, port: int, path: str, body: Any, clients: int, seconds: float) -> Streams:
    """Open `clients` streams at once and read them to their ends, again and again for `seconds`.

    Raises `RuntimeError` where not one had an event.
    """
    return asyncio.run(_rounds(host, port, path, body, clients, seconds))


async def _rounds(
    host: str, port: int, path: str, body: Any, clients: int, seconds: float
) -> Streams:
    deadline = time.monotonic() + seconds
    found: list[float | None] = []
    rounds = 0
    while rounds < LEAST_ROUNDS or time.monotonic() < deadline:
        rounds += 1
        found += await asyncio.gather(
            *[_first_event(host, port, path, body) for _ in range(clients)]
        )
    times = [one for one in found if one is not None]
    if not times:
        raise RuntimeError(f"none of {len(found)} streams from {path} had an event")
    return Streams(percentile(times, 50), percentile(times, 99), len(found) - len(times))


async def _first_event(host: str, port: int, path: str, body: Any) -> float | None:
    """Return the seconds to the first event of one stream, or None where it failed."""
    try:
        return await asyncio.wait_for(_read(host, port, path, body), TIMEOUT_SECONDS)
    except (TimeoutError, *BROKEN):
        return None


async def _read(host: str, port: int, path: str, body: Any) -> float | None:
    began = time.monotonic()
    connection = await Connection.open(host, port)
    try:
        head = await connection.post(path, body, accept=EVENTS)
        if head.status != 200 or not head.headers.get("content-type", "").startswith(EVENTS):
            return None
        first = None
        async for piece in connection.pieces(head):
            if first is None and b"data:" in piece:
                first = time.monotonic() - began
        return first
    finally:
        await connection.close()
