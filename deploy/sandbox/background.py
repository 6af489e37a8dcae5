"""Work in the background of an emulated service: threads, and long-running operations."""

from __future__ import annotations

import threading
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from deploy.sandbox.arm_errors import ArmError

T = TypeVar("T")
AnyOperation = TypeVar("AnyOperation", bound="Operation")


@dataclass(kw_only=True)
class Operation:
    """A long-running operation: its result, and how often clients polled it."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    # Why it failed, as a response to the client.
    error: ArmError | None = None
    poll_count: int = 0
    done: threading.Event = field(default_factory=threading.Event)


class Tasks:
    """The threads of a service. `failures` receives errors of the emulator itself."""

    def __init__(self, failures: list[str]) -> None:
        self.failures = failures
        self._threads: list[threading.Thread] = []

    def spawn(self, work: Callable[[], object]) -> None:
        """Run `work` in a thread."""

        def run() -> None:
            try:
                work()
            except Exception:
                self.failures.append(traceback.format_exc())

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def begin(self, operation: AnyOperation, work: Callable[[], object]) -> AnyOperation:
        """Run the work of an operation in a thread; it fails with the `ArmError` that is raised."""

        def run() -> None:
            try:
                self.attempt(operation, work)
            finally:
                operation.done.set()

        self.spawn(run)
        return operation

    def attempt(self, operation: Operation, work: Callable[[], T]) -> T | None:
        """Return the result of `work`; if it fails, set the operation's error instead."""
        try:
            return work()
        except ArmError as error:
            operation.error = error
        except Exception:
            self.failures.append(traceback.format_exc())
            operation.error = ArmError(500, "InternalServerError", "the emulator failed")
        return None

    def join(self) -> None:
        """Wait for all threads, including those that start meanwhile."""
        while self._threads:
            self._threads.pop().join()
