"""What a worker shows of itself, in memory that it shares with the process which watches it.

A thread that holds the interpreter stops all others of its process, so only another process can
see that. Memory is all that it can look at then.
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
    # The process that watches has no event loop, and stays small without.
    import asyncio

# Seconds between two beats. Shorter than `watchdog.LOOK_SECONDS`.
BEAT_SECONDS = 0.5
_BEATS = struct.Struct("=Q")
# A thread, and the id of the request that it runs; ids are of 128 characters at most.
_SLOT = struct.Struct("=I128s")
_THREAD = struct.Struct("=I")
_NONE = -1
LOOP = 0

_slot: ContextVar[int] = ContextVar("slot", default=_NONE)


@dataclass(frozen=True)
class Running:
    """A request that is being scored, and the thread (the kernel's number) that does it.

    LOOP stands for the thread of the event loop.
    """

    request_id: str
    thread: int


class Board:
    """A counter of beats, and the requests that run, up to `slots` of them.

    Without beats a worker has not begun to serve, or has ended to.
    """

    def __init__(self, slots: int) -> None:
        # Anonymous memory is shared with processes that are forked from now on.
        self._memory = mmap.mmap(-1, _BEATS.size + slots * _SLOT.size)
        self._slots = slots
        self._free = list(range(slots))

    @property
    def beats(self) -> int:
        """The number of beats."""
        return int(_BEATS.unpack_from(self._memory)[0])

    def beat(self) -> None:
        """Show that the event loop turns."""
        _BEATS.pack_into(self._memory, 0, self.beats + 1)

    def rest(self) -> None:
        """Show that the event loop has ended as it should."""
        _BEATS.pack_into(self._memory, 0, 0)

    def keep_beating(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat for as long as `loop` turns."""
        self.beat()
        loop.call_later(BEAT_SECONDS, self.keep_beating, loop)

    def request(self, request_id: str) -> AbstractContextManager[None]:
        """Show `request_id` meanwhile; what runs on other threads says so by `moved`."""
        return _Shown(self, request_id)

    def enter(self, request_id: str) -> int:
        """Show `request_id`; return its slot."""
        slot = self._free.pop() if self._free else _NONE
        if slot != _NONE:
            at = _BEATS.size + slot * _SLOT.size
            _SLOT.pack_into(self._memory, at, LOOP, request_id.encode())
        # Never set back: each request has a context of its own, and a stream may end in another.
        _slot.set(slot)
        return slot

    def leave(self, slot: int) -> None:
        """Show the request in `slot` no more."""
        if slot != _NONE:
            _SLOT.pack_into(self._memory, _BEATS.size + slot * _SLOT.size, LOOP, b"")
            self._free.append(slot)

    def moved(self, slot: int, begins: bool) -> None:
        """Show that this thread begins to run the request in `slot`, or has ended to."""
        if 0 <= slot < self._slots:
            thread = threading.get_native_id() if begins else LOOP
            _THREAD.pack_into(self._memory, _BEATS.size + slot * _SLOT.size, thread)

    def running(self) -> list[Running]:
        """Return the requests that run."""
        found = _SLOT.iter_unpack(self._memory[_BEATS.size :])
        return [
            Running(name.rstrip(b"\0").decode("ascii", "replace"), thread)
            for thread, name in found
            if name[0]
        ]

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


class _Shown:
    """A request while it is shown. No generator: this is of each request."""

    __slots__ = ("_board", "_request_id", "_slot")

    def __init__(self, board: Board, request_id: str) -> None:
        self._board, self._request_id = board, request_id

    def __enter__(self) -> None:
        self._slot = self._board.enter(self._request_id)

    def __exit__(self, *_: object) -> None:
        self._board.leave(self._slot)


def slot() -> int:
    """Return the slot of the request at hand."""
    return _slot.get()
