"""Log refused clients without letting them flood the log."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

log = logging.getLogger("serve")

# One line for all that are refused within so many seconds.
WINDOW_SECONDS = 60.0


class RefusalLog:
    """Log the first refusal at once, and how many followed it once a window."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._window: asyncio.TimerHandle | None = None
        self._counts: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Count a client that is refused because of `reason`."""
        if self._window:
            self._counts[reason] += 1
            return
        log.warning("refused a client: %s", reason)
        self._open()

    def flush(self) -> None:
        """Log what was counted, and open no other window."""
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
