"""Read an iterator that blocks for who reads on an event loop, without a thread for each item.

Going to a thread and back takes longer than what a model's chunk needs otherwise, and when many
streams begin at once all of their first chunks wait for that. So a thread stays with its iterator
for as long as items are wanted, and goes where a reader is slow or another stream has no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread

# What a slow reader may leave lying.
AHEAD = 8


async def in_threads(chunks: Iterator[Any]) -> AsyncIterator[Any]:
    """Yield `chunks`, and close them whatever happens: a client that leaves must free the model."""
    pump = _Pump(chunks)
    try:
        while pump.ready or await pump.more():
            yield pump.ready.popleft()
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
            await pump.close()


class _Pump:
    """`ready` are items that were read and not taken."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self._loop = asyncio.get_running_loop()
        self._threads = anyio.to_thread.current_default_thread_limiter()
        self._news = asyncio.Event()
        self._turn: asyncio.Task[bool] | None = None
        self._leaving = False
        self._closed = False
        self._ended = False
        self._failure: BaseException | None = None
        self.ready: deque[Any] = deque()

    async def more(self) -> bool:
        """Wait until something is ready; tell whether there is, or raise what reading raised."""
        # Threads are few: while others wait for one, each item is a turn of its own.
        self._leaving = self._threads.statistics().tasks_waiting > 0
        while True:
            self._news.clear()
            ended = self._turn is not None and self._turn.done()
            # In this order: what was read in the end is there before the end is.
            if self.ready:
                return True
            if ended and self._turn and not self._turn.result():
                if self._failure is not None:
                    raise self._failure
                return False
            if ended or self._turn is None:
                self._turn = asyncio.create_task(anyio.to_thread.run_sync(self._read))
                self._turn.add_done_callback(lambda _: self._news.set())
            await self._news.wait()

    def _read(self) -> bool:
        """Read, in a thread, until there is enough; tell whether there may be more."""
        try:
            while not self._closed:
                self.ready.append(next(self._chunks))
                # Where there were others, the reader comes by without being called.
                if len(self.ready) == 1:
                    self._loop.call_soon_threadsafe(self._news.set)
                if self._leaving or len(self.ready) >= AHEAD:
                    return True
        except StopIteration:
            pass
        except BaseException as error:
            # To be raised where the items are taken, not in the task that waits for the thread.
            self._failure = error
        self._end()
        return False

    def _end(self) -> None:
        """Close the iterator, once, in a thread: it may block."""
        close = None if self._ended else getattr(self._chunks, "close", None)
        self._ended = True
        if close:
            with contextlib.suppress(Exception):
                close()

    async def close(self) -> None:
        """Close the iterator, after the item that is being read: no one else can."""
        self._closed = True
        if self._turn is not None:
            await asyncio.wait([self._turn])
        if not self._ended:
            await anyio.to_thread.run_sync(self._end)
