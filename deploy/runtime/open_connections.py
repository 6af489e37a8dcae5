"""Limit how many connections one worker keeps open."""

from __future__ import annotations

from typing import Protocol


class Connection(Protocol):
    """What can be closed to make room for a new connection."""

    def evict(self) -> None:
        """Close the connection at once."""


class OpenConnections:
    """The connections of one worker, `limit` at most.

    A connection waits while the next step is its client's: to send a request, or to read an answer.
    Waiting connections make room for new ones, the one that has waited longest first, so that
    clients which hold connections open cannot keep others out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._all: set[Connection] = set()
        # Ordered, unlike a set.
        self._waiting: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> bool:
        """Add a new, waiting connection; return False where there is no room for it."""
        if len(self._all) >= self._limit:
            if not self._waiting:
                return False
            oldest = next(iter(self._waiting))
            self.remove(oldest)
            oldest.evict()
        self._all.add(connection)
        self._waiting[connection] = None
        return True

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._all.discard(connection)
        self._waiting.pop(connection, None)

    def wait(self, connection: Connection) -> None:
        """Note that the next step is the client's."""
        if connection in self._all:
            self._waiting.setdefault(connection)

    def work(self, connection: Connection) -> None:
        """Note that the next step is the server's."""
        self._waiting.pop(connection, None)
