"""Runs a slot: its container, and beside it the next one until that has started.

Documented: "Environment variables and app settings" (what does not start is tried again, and answers 503
in the meantime). Assumed: the container that runs answers until the next one has started, or has failed
to; it begins a moment after the request; a further try comes with the first request after a while; a container that ended is started anew by
the request that finds it so.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.emulator.pace import Pace
from tests.emulator.web.instance import Instance, StartError

# Between a start that failed and the next try, in seconds of the service.
RETRY_SECONDS = 60
# From the request to the start, so that changes that follow each other are one start.
BEGIN_SECONDS = 3
SUPERSEDED = "something else is to be started"

Make = Callable[[], Instance | None]
"""Makes an instance that is not started yet; None where there is nothing to run."""


class Worker:
    """`current` is what answers; `starts` counts the containers that were started here.

    `failures` gets the emulator's own errors.
    """

    def __init__(self, make: Make, pace: Pace, failures: list[str]) -> None:
        self._make = make
        self._failures = failures
        self._pace = pace
        self._changed = threading.Condition()
        # One start at a time.
        self._turn = threading.Lock()
        self._cancelled = threading.Event()
        self._pending = 0
        self._retry_at = 0.0
        self._threads: list[threading.Thread] = []
        self.current: Instance | None = None
        self.starts = 0

    @property
    def is_starting(self) -> bool:
        """Whether a start is under way."""
        return bool(self._pending)

    def restart(self) -> None:
        """Start what the slot is now, in the background, instead of what is being started."""
        with self._changed:
            cancelled = self._supersede()
            thread = threading.Thread(target=self._restart, args=(cancelled,), daemon=True)
            self._threads.append(thread)
        thread.start()

    def replace(self, make: Make) -> None:
        """Start something else here, and wait. Raises `StartError`; then all stays as it was."""
        with self._changed:
            cancelled = self._supersede()
        try:
            self._start(make, cancelled)
        finally:
            self._done()

    def wait(self) -> None:
        """Wait until no start is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending)

    def stop(self) -> None:
        """Run nothing more; what is in work is answered."""
        with self._changed:
            self._cancelled.set()
            self._changed.wait_for(lambda: not self._pending)
            self._retry_at = 0.0
            self._put(None)

    def close(self) -> None:
        """Stop, and return once every container is gone."""
        self.stop()
        for thread in list(self._threads):
            thread.join()
        self._threads.clear()

    def exchange(self, other: Worker) -> None:
        """Swap what runs with another worker, between two requests; what is being started is not to be."""
        with ExitStack() as stack:
            for worker in sorted((self, other), key=id):
                stack.enter_context(worker._changed)
            self.current, other.current = other.current, self.current
            self._retry_at, other._retry_at = other._retry_at, self._retry_at
            for worker in (self, other):
                worker._cancelled.set()
                worker._changed.notify_all()

    @contextmanager
    def use(self, seconds: float) -> Iterator[Instance | None]:
        """Take what answers inside of the block, waiting for a start that is under way."""
        if self.current is None and not self._pending and 0 < self._retry_at < time.monotonic():
            self.restart()
        with ExitStack() as stack:
            with self._changed:
                self._changed.wait_for(lambda: self.current or not self._pending, seconds)
                instance = self.current
                if instance:
                    stack.enter_context(instance.held())
            yield instance

    def look_after(self, instance: Instance) -> None:
        """Start anew if the container has ended."""
        if instance.exit_code():
            with self._changed:
                if instance is self.current:
                    self._put(None)
                    self.restart()

    def _supersede(self) -> threading.Event:
        self._cancelled.set()
        self._cancelled = threading.Event()
        self._pending += 1
        return self._cancelled

    def _restart(self, cancelled: threading.Event) -> None:
        cancelled.wait(self._pace.seconds(BEGIN_SECONDS))
        try:
            self._start(self._make, cancelled)
        except StartError:
            with self._changed:
                if not cancelled.is_set():
                    self._put(None)
                    self._retry_at = time.monotonic() + self._pace.seconds(RETRY_SECONDS)
        except Exception:
            self._failures.append(traceback.format_exc())
        finally:
            self._done()

    def _start(self, make: Make, cancelled: threading.Event) -> None:
        with self._turn:
            if cancelled.is_set():
                raise StartError(SUPERSEDED)
            instance = make()
            try:
                if instance:
                    instance.start(cancelled)
                    self.starts += 1
                with self._changed:
                    if cancelled.is_set():
                        raise StartError(SUPERSEDED)
                    self._retry_at = 0.0
                    self._put(instance)
            except BaseException:
                if instance:
                    instance.close()
                raise

    def _put(self, instance: Instance | None) -> None:
        with self._changed:
            before, self.current = self.current, instance
            self._changed.notify_all()
        if before:
            thread = threading.Thread(target=before.retire, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _done(self) -> None:
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()
