"""Read a blocking iterator from an event loop, without a switch of threads for each item.

Such a switch takes longer than the rest of the work for a model's chunk. When many streams start at
the same time, all of their first chunks wait for it. So a thread stays with its iterator as long as
items are needed. It leaves when the reader is slow or when another stream has no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread

# The number of items that are read ahead of a slow reader.
READ_AHEAD = 8


async def read_in_threads(chunks: Iterator[Any]) -> AsyncIterator[Any]:
    """Yield the items of `chunks`, and close `chunks` in any case.

    The call of the model must end when the client disconnects.
    """
    reader = _ThreadReader(chunks)
    try:
        while reader.ready or await reader.wait_for_items():
            yield reader.ready.popleft()
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
            await reader.close()


class _ThreadReader:
    """A reader of one iterator; `ready` are the items that were read but not yet yielded."""

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

    async def wait_for_items(self) -> bool:
        """Wait for an item, and return whether there is one; raise an error of the iterator."""
        # Threads are limited: while other streams wait for one, each thread reads a single item.
        self._leaving = self._threads.statistics().tasks_waiting > 0
        while True:
            self._news.clear()
            ended = self._turn is not None and self._turn.done()
            # `ready` is checked after `done`, because the last items arrive before the task ends.
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
        """Read items in a thread until there are enough; return whether there may be more."""
        try:
            while not self._closed:
                self.ready.append(next(self._chunks))
                # If there were other items, the consumer takes this one without being woken.
                if len(self.ready) == 1:
                    self._loop.call_soon_threadsafe(self._news.set)
                if self._leaving or len(self.ready) >= READ_AHEAD:
                    return True
        except StopIteration:
            pass
        except BaseException as error:
            # Raised where the items are consumed, not in the task that waits for the thread.
            self._failure = error
        self._close_iterator()
        return False

    def _close_iterator(self) -> None:
        """Close the iterator once; runs in a thread, because closing may block."""
        close = None if self._ended else getattr(self._chunks, "close", None)
        self._ended = True
        if close:
            with contextlib.suppress(Exception):
                close()

    async def close(self) -> None:
        """Close the iterator once the current read is over, since an iterator in use cannot be."""
        self._closed = True
        if self._turn is not None:
            await asyncio.wait([self._turn])
        if not self._ended:
            await anyio.to_thread.run_sync(self._close_iterator)
