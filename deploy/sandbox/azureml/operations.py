"""Long-running operations: a first response, work in a thread, and polling until the end.

Recorded (tests of azure-sdk-for-python, `online_services`): the three headers, the status with
`percentComplete` and `Updating`, and the address of the result of a deletion. Assumed: that address
answers 202 until the end.
"""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox import background
from deploy.sandbox.arm_errors import ArmError
from deploy.sandbox.azureml.errors import operation_error
from deploy.sandbox.background import Tasks
from deploy.sandbox.time_scale import POLL_INTERVAL_MS, TimeScale

PREFIXES = {"endpoint": "oeidp", "deployment": "odidp"}

Commit = Callable[[], None]
OperationWork = Callable[[], Commit]
"""The work of an operation. It returns what to change at its end, or raises `ArmError`."""
OperationCallback = Callable[[ArmError | None], None]


def format_now() -> str:
    """Return the current time in the service's format."""
    return datetime.datetime.now(datetime.UTC).isoformat()


@dataclass(kw_only=True)
class Operation(background.Operation):
    """A long-running operation."""

    version: str
    started: str = field(default_factory=format_now)
    ended: str = ""

    def document(self, id: str) -> dict[str, Any]:
        """Return the status in the form of a response's body."""
        body: dict[str, Any] = {"id": id, "name": self.id, "startTime": self.started}
        if not self.done.is_set():
            return {**body, "percentComplete": 0.0, "status": "Updating"}
        body |= {"percentComplete": 100.0, "endTime": self.ended}
        if self.error:
            return {**body, "status": "Failed", **self.error.content}
        return {**body, "status": "Succeeded"}


class Operations:
    """The operations of one workspace, whose status is served at `address`."""

    def __init__(
        self, workspace: str, address: str, pace: TimeScale, lock: threading.RLock, tasks: Tasks
    ) -> None:
        self._workspace = workspace
        self._address = address
        self._pace = pace
        self._lock = lock
        self._tasks = tasks
        self._known: dict[str, Operation] = {}
        # The kind of resource and the error of each injected failure.
        self._injected: list[tuple[str, ArmError]] = []
        self._polled = threading.Condition()
        self._stopping = threading.Event()

    def fail_next(self, kind: str, code: str, message: str) -> None:
        """Make the next operation on a `kind` of resource fail after it has started."""
        self._injected.append((kind, operation_error(code, message)))

    @property
    def has_injected_all(self) -> bool:
        """Whether every injected failure has occurred."""
        return not self._injected

    def start(
        self, kind: str, version: str, work: OperationWork, end: OperationCallback
    ) -> Operation:
        """Start an operation. At its end, call `end` with its error, while holding the lock."""
        id = f"{PREFIXES[kind]}:{self._workspace}:{uuid.uuid4()}"
        operation = self._known[id] = Operation(id=id, version=version)
        injected = next((failure for failure in self._injected if failure[0] == kind), None)
        if injected:
            self._injected.remove(injected)
            operation.error = injected[1]

        def run() -> None:
            commit = None if operation.error else self._tasks.attempt(operation, work)
            self._wait_for_polls(operation)
            with self._lock:
                if commit:
                    self._tasks.attempt(operation, commit)
                operation.ended = format_now()
                end(operation.error)
                operation.done.set()

        self._tasks.spawn(run)
        return operation

    def find(self, name: str) -> Operation | None:
        """Return an operation by name, None if there is none."""
        return self._known.get(name)

    def poll(self, operation: Operation, id: str) -> dict[str, Any]:
        """Return the status of an operation, and count the poll.

        The status is read before counting, so that the polls an operation waits for find it
        running.
        """
        with self._polled:
            document = operation.document(id)
            operation.poll_count += 1
            self._polled.notify_all()
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
        return f"{self._address}/{kind}/{operation.id}?api-version={operation.version}"

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

    def release(self) -> None:
        """Let all operations end."""
        self._stopping.set()
        with self._polled:
            self._polled.notify_all()

    def clear(self) -> None:
        """Forget all operations, which have ended."""
        self._known.clear()
        self._injected.clear()
        self._stopping.clear()

    def _wait_for_polls(self, operation: Operation) -> None:
        polls = self._pace.pending_polls
        with self._polled:
            self._polled.wait_for(lambda: operation.poll_count >= polls or self._stopping.is_set())
        while not self._pace.completion_gate.wait(0.05) and not self._stopping.is_set():
            pass
