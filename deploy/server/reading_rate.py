"""The minimum rate at which a client must read its response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .deadline import Deadline

# As Kestrel's MinResponseDataRate: 240 bytes per second, measured over this period.
READING_SECONDS = 30.0
READING_BYTES = int(240 * READING_SECONDS)


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
