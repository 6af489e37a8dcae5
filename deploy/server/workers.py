"""Worker processes (by default one per processor), and the first process, which supervises them.

If the flow is loaded before the fork, workers share the memory of what was loaded, and start
immediately. The first process restarts workers that end, kills workers that are frozen (see
`watchdog`), and forwards signals.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from .watchdog import CHECK_SECONDS, Watchdog
from .worker_status import WorkerStatus

log = logging.getLogger("serve")

# The minimum time between two starts of a worker.
MIN_WORKER_SECONDS = 1.0
# A worker that is silent for this long when the grace period ends will not end by itself.
SILENT_SECONDS = 2.0
# The time that a worker has after the grace period to answer requests with 503 and to send
# telemetry (2 s).
LATE_SECONDS = 5.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def find_fork_obstacle(known_threads: set[str]) -> str:
    """Return why this process cannot be forked after the flow is loaded; empty if it can.

    A fork does not copy threads, and all workers would use a connection at the same time.
    """
    threads = [
        thread.name for thread in threading.enumerate() if thread is not threading.main_thread()
    ]
    own = [name for name in threads if name not in known_threads]
    if own:
        return f"the flow starts a thread while it is loaded ({own[0]})"
    return "the flow opens a connection while it is loaded" if _sockets() else ""


def _sockets() -> list[str]:
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except OSError:
            # The descriptor of the folder itself is already closed.
            continue
    return [link for link in links if link.startswith("socket:")]


@dataclass(frozen=True)
class TimeLimits:
    """The time limits of a worker in seconds."""

    # How long a worker may be frozen; 0 for no limit.
    frozen: float
    # How long a worker has for running requests after SIGTERM.
    grace: float


# The main function of a worker. It gets the worker's number and status, and returns an exit code.
WorkerMain = Callable[[int, WorkerStatus], int]


def run(
    count: int,
    work: WorkerMain,
    slots: int,
    fatal: int,
    limits: TimeLimits,
    closing: Callable[[], None],
) -> int:
    """Run `work` in `count` processes until SIGTERM, and return the exit code.

    A process that ends or freezes is restarted. All processes are stopped if one ends with the exit
    code `fatal`, or with an error before any has served. `slots` is the number of requests that a
    process can list in its status.

    `closing` is called before the workers get SIGTERM. It closes the listener that they share with
    this process: an open listener still accepts connections, which no process would answer.
    """
    return _Supervisor(count, work, slots, fatal, limits, closing).run()


@dataclass
class _Worker:
    number: int
    board: WorkerStatus
    watch: Watchdog
    began: float
    reason: str = ""


class _Supervisor:
    def __init__(
        self,
        count: int,
        work: WorkerMain,
        slots: int,
        fatal: int,
        limits: TimeLimits,
        closing: Callable[[], None],
    ) -> None:
        self._count = count
        self._work = work
        self._slots = slots
        self._fatal = fatal
        self._limits = limits
        self._closing = closing
        self._running: dict[int, _Worker] = {}
        self._served = False
        self._stopping = False
        # Seconds since the workers got SIGTERM. A pause of this process counts as one check.
        self._stopped = 0.0
        self._status = 0

    def run(self) -> int:
        self._woken, self._waking = os.pipe()
        for end in (self._woken, self._waking):
            os.set_blocking(end, False)
        # Python writes a byte for each signal, including one that arrives before `poll`.
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for stop_signal in SIGNALS:
            signal.signal(stop_signal, self._begin_shutdown)
        for number in range(self._count):
            self._fork_worker(number)
        last = time.monotonic()
        while self._running:
            self._wait_for_signal()
            self._reap()
            now = time.monotonic()
            if now - last >= CHECK_SECONDS / 2 or self._stopping:
                self._check_workers(now - last)
                last = now
        return self._status

    def _wait_for_signal(self) -> None:
        """Wait for a signal, at most until the next check of the workers."""
        seconds = CHECK_SECONDS
        if self._stopping and self._stopped < self._limits.grace:
            seconds = min(seconds, self._limits.grace - self._stopped)
        waiting = select.poll()
        waiting.register(self._woken, select.POLLIN)
        waiting.poll(math.ceil(seconds * 1000))
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _reap(self) -> None:
        """Handle all processes that have ended."""
        while self._running:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            if process in self._running:
                self._handle_exit(process, os.waitstatus_to_exitcode(status))

    def _check_workers(self, passed: float) -> None:
        """Check each worker, `passed` seconds after the last check, and kill those that hang."""
        if self._stopping:
            self._stopped += min(passed, CHECK_SECONDS)
        for process, worker in self._running.items():
            worker.watch.check(passed)
            self._served = self._served or worker.board.beats > 0
            problem = "" if worker.reason else self._describe_problem(worker.watch)
            if problem:
                worker.reason = f"{problem} with {worker.watch.describe_requests()}, and was killed"
                os.kill(process, signal.SIGKILL)

    def _describe_problem(self, watch: Watchdog) -> str:
        """Return why a worker must be killed; empty if it responds and has time left to end."""
        limits = self._limits
        if self._stopping:
            frozen = self._stopped >= limits.grace and watch.silent >= SILENT_SECONDS
        else:
            frozen = 0 < limits.frozen <= watch.silent
        if frozen:
            return f"did not respond for {watch.silent:.0f} s"
        late = self._stopping and self._stopped >= limits.grace + LATE_SECONDS
        return "did not end in time" if late else ""

    def _fork_worker(self, number: int) -> None:
        board = WorkerStatus(self._slots)
        # A signal between the fork and the entry in `_running` would not reach the new process.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        process = os.fork()
        if process == 0:
            signal.set_wakeup_fd(-1)
            os.close(self._woken)
            os.close(self._waking)
            for handled in (*SIGNALS, signal.SIGCHLD):
                signal.signal(handled, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            status = 1
            try:
                status = self._work(number, board)
            except Exception:
                log.critical("a worker failed", exc_info=True)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                # Threads of unfinished requests would keep the interpreter running.
                os._exit(status)
        self._running[process] = _Worker(number, board, Watchdog(process, board), time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _handle_exit(self, process: int, status: int) -> None:
        worker = self._running.pop(process)
        served = self._served or worker.board.beats > 0
        worker.board.close()
        if status == self._fatal or (status and not served and not self._stopping):
            # The exit code that a shell uses for a signal is 128 plus its number.
            self._status = status if status > 0 else 128 - status
            self._begin_shutdown(signal.SIGTERM, None)
        ended = f"ended with signal {-status}" if status < 0 else f"ended with status {status}"
        reason = worker.reason or ended
        if self._stopping:
            if worker.reason:
                log.error("a worker %s", reason)
            return
        log.error("a worker %s: starting another", reason)
        time.sleep(max(0.0, MIN_WORKER_SECONDS - (time.monotonic() - worker.began)))
        if not self._stopping:
            self._fork_worker(worker.number)

    def _begin_shutdown(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._closing()
        for process in self._running:
            os.kill(process, signal.SIGTERM)
