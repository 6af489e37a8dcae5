"""Share the memory for requests among the requests of one worker."""

from __future__ import annotations

from types import TracebackType


class MemoryBudget:
    """`limit` bytes for all requests together, `used` of them taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def share(self) -> MemoryShare:
        """Return the share of one request, empty at first."""
        return MemoryShare(self)


class MemoryShare:
    """What one request takes of `budget`, until the end of its block."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._size = 0

    @property
    def limit(self) -> int:
        """The bytes for all requests together."""
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
        """Take `size` bytes in all, whether there is room for them or not."""
        self._budget.used += size - self._size
        self._size = size

    def fits(self, size: int) -> bool:
        """Return whether `size` bytes in all would leave the budget within its limit."""
        return self._budget.used - self._size + size <= self._budget.limit
