"""Threads for flows that are not async: as few at work as keep the processor busy.

Python runs one thread at a time. Threads that wait, for a model say, cost nothing, so there may be
many. Threads that compute only take the interpreter from one another, and from the event loop: with
64 of them a request of a flow without a model costs twice the processor time. No one knows which
kind a flow is, and it may change; but whether the processor is busy can be seen.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.01
# Below this share of a processor there is room for more threads.
BUSY = 0.8
# Above, and up to a little more than one processor, threads wait for one another. Still above, they
# run side by side in code that lets go of the interpreter.
CROWDED = (0.95, 1.05)
LOOKS_BEFORE_LESS = 10
LESS = 0.8


class Lanes(ThreadPoolExecutor):
    """Run at most `most` functions at a time, and fewer while these use the processor up.

    `processor` is the share of one that this process may use.
    """

    def __init__(self, most: int, loop: asyncio.AbstractEventLoop, processor: float = 1.0) -> None:
        super().__init__(most, "flow")
        self._most = most
        self._loop = loop
        self._processor = processor
        self._limit = 1
        self._active = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._watched = False
        self._looks = 0
        self._seen = (0.0, 0.0)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Start nothing more. Never waits: what outlived the grace period would hold up the end."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` as soon as a lane is free."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            starts = self._active < self._limit
            if starts:
                self._active += 1
            else:
                self._waiting.append(job)
            watch = (not self._watched and self._active > 1) or not starts
        if starts:
            super().submit(self._lane, job)
        if watch:
            self._loop.call_soon_threadsafe(self._watch)
        return future

    def _lane(self, job: Callable[[], None] | None) -> None:
        """Run `job`, and then what waits."""
        while job is not None:
            job()
            job = self._next()

    def _next(self) -> Callable[[], None] | None:
        """Return what the lane that has become free does next; None ends it."""
        with self._lock:
            if self._waiting and self._active <= self._limit:
                return self._waiting.popleft()
            self._active -= 1
            return None

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._seen = (time.monotonic(), time.process_time())
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Widen where the processor has room, narrow where it has none; again in a moment."""
        now = (time.monotonic(), time.process_time())
        spent = (now[1] - self._seen[1]) / max(now[0] - self._seen[0], 1e-6)
        self._seen = now
        started = self._adjust(spent / self._processor)
        for job in started:
            super().submit(self._lane, job)
        self._watched = self._active > 1 or bool(self._waiting)
        if self._watched:
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _adjust(self, busy: float) -> list[Callable[[], None]]:
        """Set the limit by how `busy` the processor was; return the jobs that may start with it."""
        with self._lock:
            self._looks += 1
            if self._waiting and busy < BUSY:
                self._limit = min(self._most, 1 + int(self._limit / max(busy, 0.01)))
            elif CROWDED[0] < busy < CROWDED[1] and self._looks % LOOKS_BEFORE_LESS == 0:
                self._limit = max(1, int(min(self._limit, self._active) * LESS))
            started = []
            while self._waiting and self._active < self._limit:
                self._active += 1
                started.append(self._waiting.popleft())
            return started
