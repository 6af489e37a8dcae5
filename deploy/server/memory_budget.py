"""The memory budget for the requests of one worker."""

from __future__ import annotations

from types import TracebackType


class MemoryBudget:
    """The budget of all requests together: `limit` bytes, of which `used` are in use."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def share(self) -> MemoryShare:
        """Return the share of one request, which is empty at first."""
        return MemoryShare(self)


class MemoryShare:
    """The part of a budget that one request uses, until the end of its `with` block."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._size = 0

    @property
    def limit(self) -> int:
        """Return the bytes for all requests together."""
        return self._budget.limit

    def __enter__(self) -> MemoryShare:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resize(0)

    def resize(self, size: int) -> None:
        """Set the share to `size` bytes, even if that exceeds the limit."""
        self._budget.used += size - self._size
        self._size = size

    def has_room(self, size: int) -> bool:
        """Return whether the budget stays within its limit if this share has `size` bytes."""
        return self._budget.used - self._size + size <= self._budget.limit
