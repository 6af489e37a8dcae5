"""Run a slot's container, and start the next one beside it.

Documented: "Environment variables and app settings" (a failed start is retried, and answers 503
meanwhile). Assumed: the running container answers until the next one has started or failed to; a
start begins a moment after the request for it; a retry comes with the first request after a while;
a request that finds a container exited starts it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from deploy.sandbox.appservice.instance import Instance, StartError
from deploy.sandbox.background import Tasks
from deploy.sandbox.time_scale import TimeScale

# Seconds between a failed start and the next try, in time of the real service.
RETRY_SECONDS = 60
# Seconds from the request to the start, so that several changes in a row cause one start.
DEBOUNCE_SECONDS = 3
SUPERSEDED = "something else is to be started"

InstanceFactory = Callable[[], Instance | None]
"""Makes an instance that is not started yet; None where there is nothing to run."""


class Worker:
    """Runs the container of one slot."""

    def __init__(self, make: InstanceFactory, pace: TimeScale, failures: list[str]) -> None:
        self._make = make
        self._tasks = Tasks(failures)
        self._pace = pace
        self._changed = threading.Condition()
        # Held during a start: one at a time.
        self._turn = threading.Lock()
        self._cancelled = threading.Event()
        self._pending = 0
        self._retry_at = 0.0
        # The container that answers.
        self.current: Instance | None = None
        # The number of containers started.
        self.starts = 0

    @property
    def is_starting(self) -> bool:
        """Whether a start is in progress."""
        return bool(self._pending)

    def restart(self) -> None:
        """Start the slot's current state in the background; cancel a start in progress."""
        with self._changed:
            cancelled = self._supersede()
        self._tasks.spawn(lambda: self._restart(cancelled))

    def replace(self, make: InstanceFactory) -> None:
        """Start another container and wait. Raise `StartError`, in which case nothing changes."""
        with self._changed:
            cancelled = self._supersede()
        try:
            self._start(make, cancelled)
        finally:
            self._finish_start()

    def wait(self) -> None:
        """Wait until no start is in progress."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending)

    def stop(self) -> None:
        """Stop the container once its requests in progress are answered; start no other."""
        with self._changed:
            self._cancelled.set()
            self._changed.wait_for(lambda: not self._pending)
            self._retry_at = 0.0
            self._set_current(None)

    def close(self) -> None:
        """Stop, and wait until every container is removed."""
        self.stop()
        self._tasks.join()

    def swap_instances(self, other: Worker) -> None:
        """Exchange the running containers with another worker; cancel starts in progress."""
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
        """Yield the container that answers, kept in use inside the block; wait for a start."""
        if self.current is None and not self._pending and 0 < self._retry_at < time.monotonic():
            self.restart()
        with ExitStack() as stack:
            with self._changed:
                self._changed.wait_for(lambda: self.current or not self._pending, seconds)
                instance = self.current
                if instance:
                    stack.enter_context(instance.mark_in_use())
            yield instance

    def restart_if_exited(self, instance: Instance) -> None:
        """Restart if the container has exited."""
        if instance.exit_code():
            with self._changed:
                if instance is self.current:
                    self._set_current(None)
                    self.restart()

    def _supersede(self) -> threading.Event:
        self._cancelled.set()
        self._cancelled = threading.Event()
        self._pending += 1
        return self._cancelled

    def _restart(self, cancelled: threading.Event) -> None:
        cancelled.wait(self._pace.scale_seconds(DEBOUNCE_SECONDS))
        try:
            self._start(self._make, cancelled)
        except StartError:
            with self._changed:
                if not cancelled.is_set():
                    self._set_current(None)
                    self._retry_at = time.monotonic() + self._pace.scale_seconds(RETRY_SECONDS)
        finally:
            self._finish_start()

    def _start(self, make: InstanceFactory, cancelled: threading.Event) -> None:
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
                    self._set_current(instance)
            except BaseException:
                if instance:
                    instance.close()
                raise

    def _set_current(self, instance: Instance | None) -> None:
        with self._changed:
            previous, self.current = self.current, instance
            self._changed.notify_all()
        if previous:
            self._tasks.spawn(previous.drain)

    def _finish_start(self) -> None:
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()
