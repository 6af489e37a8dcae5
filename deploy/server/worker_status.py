"""The status of a worker, in memory that it shares with the process that supervises it.

A thread that holds the interpreter blocks all other threads of its process. Only another process
can detect that, and shared memory is all that it can then read.
"""

from __future__ import annotations

import mmap
import struct
import threading
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The supervising process has no event loop, and stays small without asyncio.
    import asyncio

# Seconds between two heartbeats. Shorter than `watchdog.CHECK_SECONDS`.
BEAT_SECONDS = 0.5
_BEATS = struct.Struct("=Q")
# A thread, and the id of the request that it runs. Ids have at most 128 characters.
_SLOT = struct.Struct("=I128s")
_THREAD = struct.Struct("=I")
_NO_SLOT = -1
EVENT_LOOP = 0

_slot: ContextVar[int] = ContextVar("slot", default=_NO_SLOT)


@dataclass(frozen=True)
class RunningRequest:
    """A request that is being scored."""

    request_id: str
    # The kernel's number of the thread that runs it, or EVENT_LOOP.
    thread: int


class WorkerStatus:
    """A worker's heartbeat counter and its running requests, up to `slots` of them.

    A counter of 0 means that the worker does not serve yet, or no longer.
    """

    def __init__(self, slots: int) -> None:
        # Anonymous memory is shared with processes that are forked later.
        self._memory = mmap.mmap(-1, _BEATS.size + slots * _SLOT.size)
        self._slots = slots
        self._free = list(range(slots))

    @property
    def beats(self) -> int:
        """Return the number of heartbeats."""
        return int(_BEATS.unpack_from(self._memory)[0])

    def beat(self) -> None:
        """Count a heartbeat: the event loop runs."""
        _BEATS.pack_into(self._memory, 0, self.beats + 1)

    def stop_beating(self) -> None:
        """Reset the counter: the event loop has ended normally."""
        _BEATS.pack_into(self._memory, 0, 0)

    def keep_beating(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count heartbeats for as long as `loop` runs."""
        self.beat()
        loop.call_later(BEAT_SECONDS, self.keep_beating, loop)

    def track_request(self, request_id: str) -> AbstractContextManager[None]:
        """Return a context manager that lists `request_id` as running, at first on the event loop.

        Code that runs the request on another thread calls `set_thread`.
        """
        return _TrackedRequest(self, request_id)

    def add_request(self, request_id: str) -> int:
        """List `request_id` as running, and return its slot."""
        slot = self._free.pop() if self._free else _NO_SLOT
        if slot != _NO_SLOT:
            offset = _BEATS.size + slot * _SLOT.size
            _SLOT.pack_into(self._memory, offset, EVENT_LOOP, request_id.encode())
        # Never reset: each request has its own context, and a stream may end in another context.
        _slot.set(slot)
        return slot

    def remove_request(self, slot: int) -> None:
        """Remove the request in `slot` from the running requests."""
        if slot != _NO_SLOT:
            _SLOT.pack_into(self._memory, _BEATS.size + slot * _SLOT.size, EVENT_LOOP, b"")
            self._free.append(slot)

    def set_thread(self, slot: int, begins: bool) -> None:
        """Record that the current thread starts to run the request in `slot`, or has finished."""
        if 0 <= slot < self._slots:
            thread = threading.get_native_id() if begins else EVENT_LOOP
            _THREAD.pack_into(self._memory, _BEATS.size + slot * _SLOT.size, thread)

    def list_running(self) -> list[RunningRequest]:
        """Return the running requests."""
        slots = _SLOT.iter_unpack(self._memory[_BEATS.size :])
        return [
            RunningRequest(name.rstrip(b"\0").decode("ascii", "replace"), thread)
            for thread, name in slots
            if name[0]
        ]

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()


class _TrackedRequest:
    """A running request. A class, because a generator is slower, and each request needs one."""

    __slots__ = ("_board", "_request_id", "_slot")

    def __init__(self, board: WorkerStatus, request_id: str) -> None:
        self._board, self._request_id = board, request_id

    def __enter__(self) -> None:
        self._slot = self._board.add_request(self._request_id)

    def __exit__(self, *_: object) -> None:
        self._board.remove_request(self._slot)


def current_slot() -> int:
    """Return the slot of the current request."""
    return _slot.get()
