"""Threads for flows that are not async: as few at work as keep the processor busy.

Python runs one thread at a time. Threads that wait, for a model say, cost nothing, so there may be
many. Threads that compute only take the interpreter from one another, and from the event loop: with
64 of them a request of a flow without a model costs twice the processor time. No one knows which
kind a flow is, and it may change; but whether the processor is busy can be seen.

A thread that a request has left behind at its time limit cannot be ended. It is lost: it counts for
none of those at work, and once all are lost nothing can be scored.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from . import vitals
from .vitals import Board

T = TypeVar("T")

LOOK_SECONDS = 0.01
# Below this share of a processor there is room for more threads.
BUSY = 0.8
# Above, and up to a little more than one processor, threads wait for one another. Still above, they
# run side by side in code that lets go of the interpreter.
CROWDED = (0.95, 1.05)
LOOKS_BEFORE_LESS = 10
LESS = 0.8
# Of a request's time limit: what comes back after its request's end, since a model was slow, is
# not lost yet.
LOST_AFTER = 2


class Lanes(ThreadPoolExecutor):
    """Run at most `most` functions at a time, and fewer while these use the processor up.

    `processor` is the share of one that this process may use. A function that runs for longer than
    `limit` seconds is lost; `all_lost` is called when there is no thread left. What runs is shown
    on `board`.
    """

    def __init__(
        self,
        most: int,
        loop: asyncio.AbstractEventLoop,
        processor: float = 1.0,
        limit: float = math.inf,
        board: Board | None = None,
        all_lost: Callable[[], None] = lambda: None,
    ) -> None:
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
        self._seconds = limit
        self._board = board or Board(0)
        self._all_lost = all_lost
        # When each function at work began, in that order; and those of them that are lost.
        self._began: dict[object, float] = {}
        self._lost: set[object] = set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Start nothing more. Never waits: what outlived the grace period would hold up the end."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` as soon as a lane is free."""
        future: Future[T] = Future()
        board, slot = self._board, vitals.slot()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                board.moved(slot, begins=True)
                try:
                    result = fn(*args, **kwargs)
                finally:
                    # Before the request can end, and its slot be another's.
                    board.moved(slot, begins=False)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            starts = self._active < min(self._limit, self._most - len(self._lost))
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
            run = object()
            self._began[run] = time.monotonic()
            job()
            job = self._next(run)

    def _next(self, run: object) -> Callable[[], None] | None:
        """Return what the lane that has done `run` does next; None ends it."""
        with self._lock:
            del self._began[run]
            if run in self._lost:
                # Another lane has taken its place.
                self._lost.discard(run)
                return None
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
        self.count_lost()
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
            while self._waiting and self._active < min(self._limit, self._most - len(self._lost)):
                self._active += 1
                started.append(self._waiting.popleft())
            return started

    def count_lost(self) -> bool:
        """Find lanes that have become lost; tell whether all are."""
        with self._lock:
            before = len(self._lost)
            last = time.monotonic() - self._seconds
            # A copy: lanes begin without the lock.
            for run, began in list(self._began.items()):
                if began > last:
                    break
                if run not in self._lost:
                    self._lost.add(run)
                    self._active -= 1
            all_lost = len(self._lost) >= self._most
            news = all_lost and before < self._most
        if news:
            self._all_lost()
        return all_lost
