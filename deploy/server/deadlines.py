"""Deadlines of a connection, and the minimum rate at which a client must read its response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# As Kestrel's MinResponseDataRate: 240 bytes per second, measured over this period.
READING_SECONDS = 30.0
READING_BYTES = int(240 * READING_SECONDS)


class Deadline:
    """A timer that calls `expired` unless it is stopped within `seconds` after the start."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, expired: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer, unless it is already running."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._expire)

    def stop(self) -> None:
        """Stop the timer, if it is running."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._expired()


class ReadingRate:
    """A measurement that calls `too_slow` if the client of `transport` reads too slowly."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        too_slow: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._too_slow = too_slow
        self._deadline = Deadline(loop, READING_SECONDS, self._measure)
        self._unread = 0

    def start(self) -> None:
        """Start to measure: the kernel accepts no more bytes of the response."""
        self._unread = self._transport.get_write_buffer_size()
        self._deadline.start()

    def stop(self) -> None:
        """Stop measuring: the client has read all that was sent."""
        self._deadline.stop()

    def _measure(self) -> None:
        unread = self._transport.get_write_buffer_size()
        if unread and self._unread - unread < READING_BYTES:
            self._too_slow()
        else:
            self.start()
