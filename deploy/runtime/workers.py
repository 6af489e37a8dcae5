"""One process for each processor: forked from the one that has loaded the flow.

Workers share the pages of what was loaded, and start in a moment. The first process starts them
again should one end, ends one that is frozen (`watchdog`), and passes signals on.
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

from .vitals import Board
from .watchdog import LOOK_SECONDS, Watch

log = logging.getLogger("serve")

# A worker that ends sooner than this is not started again before it has passed.
SHORTEST_SECONDS = 1.0
# At the end of the grace period, a worker that is silent for so long will not end by itself; and
# none takes so long after it: requests are answered with 503, and telemetry is sent (2 s).
SILENT_SECONDS = 2.0
LATE_SECONDS = 5.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def obstacle(known_threads: set[str]) -> str:
    """Return why this process must not be forked once the flow is loaded, or nothing.

    A thread is not copied, and a connection would be used by all workers at once.
    """
    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
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
            # The folder's own descriptor is closed by now.
            continue
    return [link for link in links if link.startswith("socket:")]


@dataclass(frozen=True)
class Limits:
    """Seconds: how long a worker may be frozen (0: for ever), and how long it has to end."""

    frozen: float
    grace: float


# What a worker does: it gets its number, and where to show that it lives. Returns an exit status.
Work = Callable[[int, Board], int]


def run(
    count: int, work: Work, slots: int, fatal: int, limits: Limits, closing: Callable[[], None]
) -> int:
    """Run `work` in `count` processes until SIGTERM; return the exit status.

    A process that ends by itself, or freezes, is started again; one that ends with `fatal`, or
    before any has served, ends all. Each shows up to `slots` requests. `closing` is called before
    they get SIGTERM, to close what they share with this process: a listener that one process
    still holds accepts connections that no process answers.
    """
    return _Workers(count, work, slots, fatal, limits, closing).run()


@dataclass
class _Worker:
    number: int
    board: Board
    watch: Watch
    began: float
    reason: str = ""


class _Workers:
    def __init__(
        self,
        count: int,
        work: Work,
        slots: int,
        fatal: int,
        limits: Limits,
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
        # Seconds since the workers got SIGTERM; of a pause only a look's.
        self._stopped = 0.0
        self._status = 0

    def run(self) -> int:
        self._woken, self._waking = os.pipe()
        for end in (self._woken, self._waking):
            os.set_blocking(end, False)
        # Python writes a byte for each signal, also for one that came before poll.
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for each in SIGNALS:
            signal.signal(each, self._stop)
        for number in range(self._count):
            self._start(number)
        last = time.monotonic()
        while self._running:
            self._wait()
            self._reap()
            now = time.monotonic()
            if now - last >= LOOK_SECONDS / 2 or self._stopping:
                self._look(now - last)
                last = now
        return self._status

    def _wait(self) -> None:
        """Wait for a signal, a look's time at most."""
        seconds = LOOK_SECONDS
        if self._stopping and self._stopped < self._limits.grace:
            seconds = min(seconds, self._limits.grace - self._stopped)
        waiting = select.poll()
        waiting.register(self._woken, select.POLLIN)
        waiting.poll(math.ceil(seconds * 1000))
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _reap(self) -> None:
        """Take note of all processes that have ended."""
        while self._running:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            if process in self._running:
                self._ended(process, os.waitstatus_to_exitcode(status))

    def _look(self, passed: float) -> None:
        """Look at each worker, `passed` seconds after the last time; end those that are frozen."""
        if self._stopping:
            self._stopped += min(passed, LOOK_SECONDS)
        for process, worker in self._running.items():
            worker.watch.look(passed)
            self._served = self._served or worker.board.beats > 0
            trouble = "" if worker.reason else self._trouble(worker.watch)
            if trouble:
                worker.reason = f"{trouble} with {worker.watch.suspects()}, and was killed"
                os.kill(process, signal.SIGKILL)

    def _trouble(self, watch: Watch) -> str:
        """Return why a worker will not go on, or not end, by itself; nothing if it may."""
        limits = self._limits
        if self._stopping:
            frozen = self._stopped >= limits.grace and watch.silent >= SILENT_SECONDS
        else:
            frozen = 0 < limits.frozen <= watch.silent
        if frozen:
            return f"did not respond for {watch.silent:.0f} s"
        late = self._stopping and self._stopped >= limits.grace + LATE_SECONDS
        return "did not end in time" if late else ""

    def _start(self, number: int) -> None:
        board = Board(self._slots)
        # A signal between the fork and the note of it would not reach the new process.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        process = os.fork()
        if process == 0:
            signal.set_wakeup_fd(-1)
            os.close(self._woken)
            os.close(self._waking)
            for each in (*SIGNALS, signal.SIGCHLD):
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            status = 1
            try:
                status = self._work(number, board)
            except Exception:
                log.critical("a worker failed", exc_info=True)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                # Threads of requests that outlived the grace period would keep the interpreter.
                os._exit(status)
        self._running[process] = _Worker(number, board, Watch(process, board), time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _ended(self, process: int, status: int) -> None:
        worker = self._running.pop(process)
        served = self._served or worker.board.beats > 0
        worker.board.close()
        if status == self._fatal or (status and not served and not self._stopping):
            # As a shell has it for a signal.
            self._status = status if status > 0 else 128 - status
            self._stop(signal.SIGTERM, None)
        ended = f"ended with signal {-status}" if status < 0 else f"ended with status {status}"
        reason = worker.reason or ended
        if self._stopping:
            if worker.reason:
                log.error("a worker %s", reason)
            return
        log.error("a worker %s: starting another", reason)
        time.sleep(max(0.0, SHORTEST_SECONDS - (time.monotonic() - worker.began)))
        if not self._stopping:
            self._start(worker.number)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._closing()
        for process in self._running:
            os.kill(process, signal.SIGTERM)
