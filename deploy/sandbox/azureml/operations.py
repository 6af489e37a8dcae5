"""Long-running operations: a first response, work in a thread, and polling until the end.

Recorded (tests of azure-sdk-for-python, `online_services`): the three headers, the status with
`percentComplete` and `Updating`, and the address of the result of a deletion. Assumed: that address
answers 202 until the end.
"""

from __future__ import annotations

import datetime
import threading
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.azureml.errors import OperationError
from deploy.sandbox.time_scale import POLL_INTERVAL_MS, TimeScale

Commit = Callable[[], None]
OperationWork = Callable[[], Commit]
"""What an operation does. It returns what to change at its end, or raises `FailedError`."""
OperationCallback = Callable[[OperationError | None], None]


def format_now() -> str:
    """Return the current time in the service's format."""
    return datetime.datetime.now(datetime.UTC).isoformat()


@dataclass
class Operation:
    """A long-running operation."""

    name: str
    version: str
    started: str = field(default_factory=format_now)
    ended: str = ""
    error: OperationError | None = None
    # How often its status was requested.
    poll_count: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def document(self, id: str) -> dict[str, Any]:
        """Return the status in the form of a response's body."""
        body: dict[str, Any] = {"id": id, "name": self.name, "startTime": self.started}
        if not self.done.is_set():
            return {**body, "percentComplete": 0.0, "status": "Updating"}
        body |= {"percentComplete": 100.0, "endTime": self.ended}
        if self.error:
            return {**body, "status": "Failed", "error": self.error.content}
        return {**body, "status": "Succeeded"}


@dataclass
class _InjectedFailure:
    kind: str
    error: OperationError


class Operations:
    """The operations of one workspace, whose status is served at `address`."""

    def __init__(
        self,
        workspace: str,
        address: str,
        pace: TimeScale,
        lock: threading.RLock,
        failures: list[str],
    ) -> None:
        self._workspace = workspace
        self._address = address
        self._pace = pace
        self._lock = lock
        self._failures = failures
        self._known: dict[str, Operation] = {}
        self._orders: list[_InjectedFailure] = []
        self._looked = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def fail_next(self, kind: str, code: str, message: str) -> None:
        """Make the next operation on a `kind` of resource fail after it has started."""
        self._orders.append(_InjectedFailure(kind, OperationError(code, message)))

    @property
    def has_injected_all(self) -> bool:
        """Whether every injected failure has occurred."""
        return not self._orders

    def start(
        self, kind: str, version: str, work: OperationWork, end: OperationCallback
    ) -> Operation:
        """Start an operation. At its end, call `end` with its error, while holding the lock."""
        prefix = {"endpoint": "oeidp", "deployment": "odidp"}[kind]
        operation = Operation(f"{prefix}:{self._workspace}:{uuid.uuid4()}", version)
        self._known[operation.name] = operation
        injected = next((candidate for candidate in self._orders if candidate.kind == kind), None)
        if injected:
            self._orders.remove(injected)
            injected_error = injected.error

            def work() -> Commit:
                raise injected_error

        thread = threading.Thread(target=self._run, args=(operation, work, end), daemon=True)
        self._threads.append(thread)
        thread.start()
        return operation

    def find(self, name: str) -> Operation | None:
        """Return an operation by name, None if there is none."""
        return self._known.get(name)

    def poll(self, operation: Operation, id: str) -> dict[str, Any]:
        """Return the status of an operation, and count the poll.

        The status is read before counting, so that the polls an operation waits for find it
        running.
        """
        with self._looked:
            document = operation.document(id)
            operation.poll_count += 1
            self._looked.notify_all()
        return document

    def list_time_spans(self) -> list[tuple[datetime.datetime, datetime.datetime]]:
        """Return the start and end of each operation that has ended."""
        parse = datetime.datetime.fromisoformat
        return [
            (parse(operation.started), parse(operation.ended))
            for operation in self._known.values()
            if operation.ended
        ]

    def url(self, operation: Operation, kind: str = "mfeOperationsStatus") -> str:
        """Return the address of an operation's status or result."""
        return f"{self._address}/{kind}/{operation.name}?api-version={operation.version}"

    def headers(self, operation: Operation, location: str) -> list[tuple[str, str]]:
        """Return the headers of the response that starts an operation."""
        return [
            ("Azure-AsyncOperation", self.url(operation)),
            ("Location", location or self.url(operation, "mfeOperationResults")),
            ("x-ms-async-operation-timeout", "PT30M"),
            *self.retry_headers(),
        ]

    def retry_headers(self) -> list[tuple[str, str]]:
        """Return the header that makes a client poll again soon."""
        return [] if self._pace.real_time else [("x-ms-retry-after-ms", str(POLL_INTERVAL_MS))]

    def stop(self) -> None:
        """End and forget all operations."""
        self._stopping.set()
        with self._looked:
            self._looked.notify_all()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._known.clear()
        self._orders.clear()
        self._stopping.clear()

    def _run(self, operation: Operation, work: OperationWork, end: OperationCallback) -> None:
        error: OperationError | None = None

        def commit() -> None:
            pass

        try:
            commit = work()
        except OperationError as operation_error:
            error = operation_error
        except Exception:
            error = self._record_internal_error()
        self._wait_for_polls(operation)
        with self._lock:
            try:
                if not error:
                    commit()
            except Exception:
                error = self._record_internal_error()
            operation.error = error
            operation.ended = format_now()
            end(error)
            operation.done.set()

    def _record_internal_error(self) -> OperationError:
        self._failures.append(traceback.format_exc())
        return OperationError("InternalServerError", "the emulator failed")

    def _wait_for_polls(self, operation: Operation) -> None:
        polls = self._pace.pending_polls
        with self._looked:
            self._looked.wait_for(lambda: operation.poll_count >= polls or self._stopping.is_set())
        while not self._pace.completion_gate.wait(0.05) and not self._stopping.is_set():
            pass
