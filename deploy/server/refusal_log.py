"""A log of rejected connections and requests that clients cannot flood."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

log = logging.getLogger("serve")

# All rejections in this period are logged in one line.
WINDOW_SECONDS = 60.0


class RefusalLog:
    """A log that writes the first rejection immediately, and further ones once for each window."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._window: asyncio.TimerHandle | None = None
        self._counts: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Log or count the rejection of a client because of `reason`."""
        if self._window:
            self._counts[reason] += 1
            return
        log.warning("refused a client: %s", reason)
        self._open()

    def flush(self) -> None:
        """Log the rejections that were counted, and open no new window."""
        if self._window:
            self._window.cancel()
            self._window = None
        self._write()

    def _open(self) -> None:
        self._window = self._loop.call_later(WINDOW_SECONDS, self._end)

    def _end(self) -> None:
        self._window = None
        if self._counts:
            self._write()
            self._open()

    def _write(self) -> None:
        if self._counts:
            reasons = ", ".join(f"{reason} ({n})" for reason, n in self._counts.most_common())
            total = sum(self._counts.values())
            log.warning("refused %d more clients: %s", total, reasons)
            self._counts.clear()
