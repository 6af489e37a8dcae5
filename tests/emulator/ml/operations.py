"""Long operations: they begin with an answer, go on in a thread, and are looked at until they end.

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

from tests.emulator.ml.errors import FailedError
from tests.emulator.pace import POLL_MS, Pace

Commit = Callable[[], None]
Work = Callable[[], Commit]
"""What an operation does. It returns what to change at its end, or raises `FailedError`."""
End = Callable[[FailedError | None], None]


def now() -> str:
    """Return the time, as the service writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat()


@dataclass
class Operation:
    """One operation; `looks` counts how often its status was asked."""

    name: str
    version: str
    started: str = field(default_factory=now)
    ended: str = ""
    error: FailedError | None = None
    looks: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def document(self, id: str) -> dict[str, Any]:
        """Return its status as a body."""
        made: dict[str, Any] = {"id": id, "name": self.name, "startTime": self.started}
        if not self.done.is_set():
            return {**made, "percentComplete": 0.0, "status": "Updating"}
        made |= {"percentComplete": 100.0, "endTime": self.ended}
        if self.error:
            return {**made, "status": "Failed", "error": self.error.content}
        return {**made, "status": "Succeeded"}


@dataclass
class _Failure:
    kind: str
    error: FailedError


class Operations:
    """The operations of one workspace, whose status is found at `address`."""

    def __init__(
        self, workspace: str, address: str, pace: Pace, lock: threading.RLock, failures: list[str]
    ) -> None:
        self._workspace = workspace
        self._address = address
        self._pace = pace
        self._lock = lock
        self._failures = failures
        self._known: dict[str, Operation] = {}
        self._orders: list[_Failure] = []
        self._looked = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def fail_next(self, kind: str, code: str, message: str) -> None:
        """Let the next operation on a `kind` of resource fail after it has begun."""
        self._orders.append(_Failure(kind, FailedError(code, message)))

    @property
    def are_met(self) -> bool:
        """Whether every failure that was ordered has happened."""
        return not self._orders

    def start(self, kind: str, version: str, work: Work, end: End) -> Operation:
        """Begin an operation. At its end `end` is called, under the lock, with how it failed."""
        prefix = {"endpoint": "oeidp", "deployment": "odidp"}[kind]
        operation = Operation(f"{prefix}:{self._workspace}:{uuid.uuid4()}", version)
        self._known[operation.name] = operation
        order = next((one for one in self._orders if one.kind == kind), None)
        if order:
            self._orders.remove(order)
            failing = order.error

            def work() -> Commit:
                raise failing

        thread = threading.Thread(target=self._run, args=(operation, work, end), daemon=True)
        self._threads.append(thread)
        thread.start()
        return operation

    def find(self, name: str) -> Operation | None:
        """Return an operation."""
        return self._known.get(name)

    def look(self, operation: Operation, id: str) -> dict[str, Any]:
        """Return the status of an operation, and count the look.

        It is read first: the looks that an operation waits for find it under way.
        """
        with self._looked:
            found = operation.document(id)
            operation.looks += 1
            self._looked.notify_all()
        return found

    def spans(self) -> list[tuple[datetime.datetime, datetime.datetime]]:
        """Return from when to when each operation went on that has ended."""
        read = datetime.datetime.fromisoformat
        return [(read(one.started), read(one.ended)) for one in self._known.values() if one.ended]

    def url(self, operation: Operation, what: str = "mfeOperationsStatus") -> str:
        """Return where an operation's status or result is found."""
        return f"{self._address}/{what}/{operation.name}?api-version={operation.version}"

    def headers(self, operation: Operation, location: str) -> list[tuple[str, str]]:
        """Return the headers of the answer that begins an operation."""
        return [
            ("Azure-AsyncOperation", self.url(operation)),
            ("Location", location or self.url(operation, "mfeOperationResults")),
            ("x-ms-async-operation-timeout", "PT30M"),
            *self.hurry(),
        ]

    def hurry(self) -> list[tuple[str, str]]:
        """Return the header by which a client looks again soon."""
        return [] if self._pace.native else [("x-ms-retry-after-ms", str(POLL_MS))]

    def stop(self) -> None:
        """End every operation, and forget them."""
        self._stopping.set()
        with self._looked:
            self._looked.notify_all()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._known.clear()
        self._orders.clear()
        self._stopping.clear()

    def _run(self, operation: Operation, work: Work, end: End) -> None:
        error: FailedError | None = None

        def commit() -> None:
            pass

        try:
            commit = work()
        except FailedError as failed:
            error = failed
        except Exception:
            error = self._own_failure()
        self._hold(operation)
        with self._lock:
            try:
                if not error:
                    commit()
            except Exception:
                error = self._own_failure()
            operation.error = error
            operation.ended = now()
            end(error)
            operation.done.set()

    def _own_failure(self) -> FailedError:
        self._failures.append(traceback.format_exc())
        return FailedError("InternalServerError", "the emulator failed")

    def _hold(self, operation: Operation) -> None:
        looks = self._pace.polls
        with self._looked:
            self._looked.wait_for(lambda: operation.looks >= looks or self._stopping.is_set())
        while not self._pace.gate.wait(0.05) and not self._stopping.is_set():
            pass
