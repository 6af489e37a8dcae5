"""Detection of frozen workers: the event loop does not run, although it has processor time.

Code of a flow, or a C function such as a regular expression, that holds the interpreter blocks all
threads of its process. Other requests, time limits, probes and SIGTERM then have no effect.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .worker_status import EVENT_LOOP, RunningRequest, WorkerStatus

# Seconds between two checks.
CHECK_SECONDS = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")
# proc(5): D waits for a disk or for memory; T and t are stopped by a signal or by a debugger.
_BLOCKED_STATES = frozenset("DTt")
_MAX_LISTED_REQUESTS = 5


@dataclass(frozen=True)
class ThreadState:
    """The state of a thread."""

    # The letter of proc(5).
    state: str
    # Processor time since the thread started.
    cpu_seconds: float


@dataclass(frozen=True)
class Snapshot:
    """The threads of a worker at one time."""

    # By the kernel's number.
    threads: Mapping[int, ThreadState]

    @property
    def cpu_seconds(self) -> float:
        """Return the processor time of all threads in seconds."""
        return sum(thread.cpu_seconds for thread in self.threads.values())


def measure_silence(before: Snapshot, now: Snapshot, passed: float) -> float:
    """Return the seconds of silence between `before` and `now`, `passed` seconds later.

    Only time in which the worker could have sent a heartbeat counts. It could not while its
    container was paused, the machine slept, or a debugger had stopped it. If it waits for a
    processor that other programs use, only the processor time that it got counts.
    """
    # If more time has passed, this process was paused or had no processor, as well.
    passed = min(passed, CHECK_SECONDS)
    states = {thread.state for thread in now.threads.values()}
    if "R" in states:
        return max(0.0, min(passed, now.cpu_seconds - before.cpu_seconds))
    return 0.0 if states & _BLOCKED_STATES else passed


def find_busiest_thread(since: Snapshot, now: Snapshot) -> int:
    """Return the number of the thread that used the most processor time."""
    spent = {
        number: thread.cpu_seconds - since.threads.get(number, ThreadState("", 0.0)).cpu_seconds
        for number, thread in now.threads.items()
    }
    return max(spent, key=lambda number: spent[number], default=EVENT_LOOP)


def describe_requests(running: Iterable[RunningRequest], thread: int) -> str:
    """Return a phrase with the requests that `thread` runs, or with all running requests."""
    requests = list(running)
    ids = [request.request_id for request in requests if request.thread == thread]
    ids = ids or [request.request_id for request in requests]
    if not ids:
        return "no request"
    more = f" and {len(ids) - _MAX_LISTED_REQUESTS} more" if len(ids) > _MAX_LISTED_REQUESTS else ""
    return f"request {', '.join(ids[:_MAX_LISTED_REQUESTS])}{more}"


class Watchdog:
    """A check of one worker process by its status in shared memory."""

    def __init__(self, process: int, board: WorkerStatus) -> None:
        self._process = process
        self._board = board
        self._beats = 0
        # The first and the last snapshot of the current silence.
        self._looks: tuple[Snapshot, Snapshot] | None = None
        # Seconds of silence.
        self.silent = 0.0

    def check(self, passed: float) -> None:
        """Update `silent`, `passed` seconds after the last check."""
        beats = self._board.beats
        if not beats or beats != self._beats:
            self._beats, self._looks, self.silent = beats, None, 0.0
            return
        now = Snapshot(read_threads(self._process))
        first, last = self._looks or (now, now)
        if self._looks:
            self.silent += measure_silence(last, now, passed)
        self._looks = (first, now)

    def describe_requests(self) -> str:
        """Return a phrase with the requests that ran while the worker was silent."""
        thread = find_busiest_thread(*self._looks) if self._looks else EVENT_LOOP
        # A process has the number of its first thread, which runs the event loop.
        thread = EVENT_LOOP if thread == self._process else thread
        return describe_requests(self._board.list_running(), thread)


def read_threads(process: int) -> dict[int, ThreadState]:
    """Return the threads of `process` by number; only some of them if it ends meanwhile."""
    threads = {}
    try:
        for folder in Path(f"/proc/{process}/task").iterdir():
            # The name in field 2 may contain any character. Used here are the fields 3, 14 and 15
            # of proc_pid_stat(5).
            words = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            cpu_seconds = (int(words[11]) + int(words[12])) / _TICKS
            threads[int(folder.name)] = ThreadState(words[0], cpu_seconds)
    except OSError:
        pass
    return threads
