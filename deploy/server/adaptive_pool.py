"""A thread pool for flows that are not async, with just enough threads to keep the processor busy.

Python runs one thread at a time. Threads that wait, for example for a model, cost nothing, so many
of them may run. Threads that compute only take the interpreter from each other and from the event
loop: with 64 of them, a request of a flow without a model takes twice the processor time. It is not
known in advance which kind a flow is, and it may change. But the load of the processor is known.

A thread that still runs after its request's time limit cannot be stopped. After twice that limit it
is lost: it no longer counts as active. When all threads are lost, no request can be scored.
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

from . import worker_status
from .worker_status import WorkerStatus

T = TypeVar("T")

SAMPLE_SECONDS = 0.01
# Below this share of a processor, more threads can run.
BUSY_SHARE = 0.8
# In this range around one processor, threads wait for each other. Above it, they run in parallel in
# code that releases the interpreter.
CONTENTION_RANGE = (0.95, 1.05)
SAMPLES_BEFORE_SHRINKING = 10
SHRINK_FACTOR = 0.8
# Multiple of a request's time limit: a thread that returns after the end of its request, because a
# model was slow, is not lost yet.
LOST_AFTER_TIMEOUTS = 2


class AdaptivePool(ThreadPoolExecutor):
    """A pool of at most `most` threads, of which fewer run while they use the whole processor.

    `processor` is the share of one processor that this process may use. A function that runs for
    longer than `limit` seconds is lost; `all_lost` is called when no thread is left. `board` gets
    the thread of each running request.
    """

    def __init__(
        self,
        most: int,
        loop: asyncio.AbstractEventLoop,
        processor: float = 1.0,
        limit: float = math.inf,
        board: WorkerStatus | None = None,
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
        self._board = board or WorkerStatus(0)
        self._all_lost = all_lost
        # The start time of each running function, in that order, and those of them that are lost.
        self._began: dict[object, float] = {}
        self._lost: set[object] = set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Start no more functions. Never wait for those that have outlived the grace period."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` as soon as a thread is free."""
        future: Future[T] = Future()
        board, slot = self._board, worker_status.current_slot()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                board.set_thread(slot, begins=True)
                try:
                    result = fn(*args, **kwargs)
                finally:
                    # Before the request can end, and another request can get its slot.
                    board.set_thread(slot, begins=False)
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
            super().submit(self._run_jobs, job)
        if watch:
            self._loop.call_soon_threadsafe(self._start_sampling)
        return future

    def _run_jobs(self, job: Callable[[], None] | None) -> None:
        """Run `job`, and then the jobs that wait."""
        while job is not None:
            run = object()
            self._began[run] = time.monotonic()
            job()
            job = self._take_job(run)

    def _take_job(self, run: object) -> Callable[[], None] | None:
        """Return the next job for the thread that has finished `run`, or None."""
        with self._lock:
            del self._began[run]
            if run in self._lost:
                # Another thread has taken its place.
                self._lost.discard(run)
                return None
            if self._waiting and self._active <= self._limit:
                return self._waiting.popleft()
            self._active -= 1
            return None

    def _start_sampling(self) -> None:
        if not self._watched:
            self._watched = True
            self._seen = (time.monotonic(), time.process_time())
            self._loop.call_later(SAMPLE_SECONDS, self._sample)

    def _sample(self) -> None:
        """Adjust the limit of threads to the processor's load, and schedule the next sample."""
        now = (time.monotonic(), time.process_time())
        load = (now[1] - self._seen[1]) / max(now[0] - self._seen[0], 1e-6)
        self._seen = now
        self.count_lost_threads()
        jobs = self._adjust_limit(load / self._processor)
        for job in jobs:
            super().submit(self._run_jobs, job)
        self._watched = self._active > 1 or bool(self._waiting)
        if self._watched:
            self._loop.call_later(SAMPLE_SECONDS, self._sample)

    def _adjust_limit(self, busy: float) -> list[Callable[[], None]]:
        """Set the limit for the share `busy` of the processor, and return the jobs to start."""
        with self._lock:
            self._looks += 1
            if self._waiting and busy < BUSY_SHARE:
                self._limit = min(self._most, 1 + int(self._limit / max(busy, 0.01)))
            elif (
                CONTENTION_RANGE[0] < busy < CONTENTION_RANGE[1]
                and self._looks % SAMPLES_BEFORE_SHRINKING == 0
            ):
                self._limit = max(1, int(min(self._limit, self._active) * SHRINK_FACTOR))
            jobs = []
            while self._waiting and self._active < min(self._limit, self._most - len(self._lost)):
                self._active += 1
                jobs.append(self._waiting.popleft())
            return jobs

    def count_lost_threads(self) -> bool:
        """Find threads that are lost, and return whether all are."""
        with self._lock:
            before = len(self._lost)
            cutoff = time.monotonic() - self._seconds
            # A copy: threads start functions without the lock.
            for run, began in list(self._began.items()):
                if began > cutoff:
                    break
                if run not in self._lost:
                    self._lost.add(run)
                    self._active -= 1
            all_lost = len(self._lost) >= self._most
            newly_lost = all_lost and before < self._most
        if newly_lost:
            self._all_lost()
        return all_lost
