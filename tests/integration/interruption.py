"""Interrupt a task at one of its requests: by a signal, or by an action of the test."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from tests.integration import inv_process

# Within which a process must have ended.
SECONDS = 60
Which = Callable[[Exchange], bool]


@contextmanager
def once(
    server: HttpsServer,
    when: Callable[[Exchange], bool],
    action: Callable[[], None],
    after: bool = False,
) -> Iterator[None]:
    """Inside of the block, at the first request that is so, do `action` before it is served.

    Or `after` that, when it is unknown whether the request was accepted.
    """
    service, lock = server.service, threading.Lock()
    due = [True]

    def serve(exchange: Exchange) -> None:
        with lock:
            now = bool(due) and when(exchange)
            if now:
                due.clear()
        if now and not after:
            action()
        try:
            service(exchange)
        finally:
            if now and after:
                action()

    server.service = serve
    try:
        yield
    finally:
        server.service = service
    assert not due, "no request was so"


def nth(which: Which, number: int) -> Which:
    """Return what tells the request of this number, from now on, of those that are so."""
    seen: list[Exchange] = []

    def is_it(exchange: Exchange) -> bool:
        found = which(exchange)
        if found:
            seen.append(exchange)
        return found and len(seen) == number

    return is_it


def interrupt(
    server: HttpsServer, when: Which, with_: signal.Signals, root: Path, log: Path, *arguments: str
) -> ForkServerProcess:
    """Run `inv` in the project `root`, which gets a signal right after a request; return its end."""
    started: list[ForkServerProcess] = []

    def send() -> None:
        os.kill(int(started[0].pid or 0), with_)

    with once(server, when, send, after=True):
        started.append(inv_process.inv(root, log, *arguments))
        started[0].join(SECONDS)
    return started[0]
