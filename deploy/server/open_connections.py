"""The open connections of one worker, and their limit."""

from __future__ import annotations

from typing import Protocol


class Connection(Protocol):
    """A connection that can be closed to make room for a new one."""

    def evict(self) -> None:
        """Close the connection immediately."""


class OpenConnections:
    """The connections of one worker, at most `limit`.

    A connection is waiting while its client must act: send a request or read a response. Waiting
    connections make room for new ones, those that have waited longest first, so that clients which
    keep connections open cannot block others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._all: set[Connection] = set()
        # Ordered, unlike a set.
        self._waiting: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> bool:
        """Add a new, waiting connection; return False if there is no room for it."""
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
        """Remove a closed connection."""
        self._all.discard(connection)
        self._waiting.pop(connection, None)

    def mark_waiting(self, connection: Connection) -> None:
        """Mark a connection as waiting: its client must act."""
        if connection in self._all:
            self._waiting.setdefault(connection)

    def mark_working(self, connection: Connection) -> None:
        """Mark a connection as working: the server must act."""
        self._waiting.pop(connection, None)
