"""The slowest that a client may read its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .deadline import Deadline

# As Kestrel's MinResponseDataRate: 240 bytes a second, measured over so many seconds.
READING_SECONDS = 30.0
READING_BYTES = int(240 * READING_SECONDS)


class ReadingRate:
    """Call `too_slow` where the client of `transport` reads less than the least, once started."""

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
        """Begin to measure: the kernel takes no more of an answer."""
        self._unread = self._transport.get_write_buffer_size()
        self._deadline.start()

    def stop(self) -> None:
        """Stop: the client has read what it was sent."""
        self._deadline.stop()

    def _measure(self) -> None:
        unread = self._transport.get_write_buffer_size()
        if unread and self._unread - unread < READING_BYTES:
            self._too_slow()
        else:
            self.start()
