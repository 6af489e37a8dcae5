"""One process for each processor: forked from the one that has loaded the flow.

Workers share the pages of what was loaded, and start in a moment. The first process only starts
them again should one end, and passes signals on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

# A worker that ends sooner than this is not started again before it has passed.
SHORTEST_SECONDS = 1.0
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


def run(count: int, work: Callable[[int], int], fatal: int, closing: Callable[[], None]) -> int:
    """Run `work(number)` in `count` processes until SIGTERM; return the exit status.

    A process that ends by itself is started again; one that ends with `fatal` ends all. `closing`
    is called before they are told to end, to let go of what they share with this process: a
    listener that one process still holds accepts what nobody will answer.
    """
    return _Workers(count, work, fatal, closing).run()


class _Workers:
    def __init__(
        self, count: int, work: Callable[[int], int], fatal: int, closing: Callable[[], None]
    ) -> None:
        self._count = count
        self._work = work
        self._fatal = fatal
        self._closing = closing
        self._running: dict[int, tuple[int, float]] = {}
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        for each in SIGNALS:
            signal.signal(each, self._stop)
        for number in range(self._count):
            self._start(number)
        while self._running:
            process, status = os.waitpid(-1, 0)
            if process in self._running:
                self._ended(process, os.waitstatus_to_exitcode(status))
        return self._status

    def _start(self, number: int) -> None:
        # A signal between the fork and the note of it would not reach the new process.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        process = os.fork()
        if process == 0:
            for each in SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            status = 1
            try:
                status = self._work(number)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                # Threads of requests that outlived the grace period would keep the interpreter.
                os._exit(status)
        self._running[process] = (number, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _ended(self, process: int, status: int) -> None:
        number, began = self._running.pop(process)
        if status == self._fatal:
            self._status = status
            self._stop(signal.SIGTERM, None)
        if self._stopping:
            return
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        print(f"a worker ended with {reason}: starting another", file=sys.stderr, flush=True)
        time.sleep(max(0.0, SHORTEST_SECONDS - (time.monotonic() - began)))
        if not self._stopping:
            self._start(number)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._closing()
        for process in self._running:
            os.kill(process, signal.SIGTERM)
