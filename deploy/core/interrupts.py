"""Waiting that ends when the task is interrupted, in any thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

_interrupted = threading.Event()
_thread = threading.local()


def pause(seconds: float) -> None:
    """Wait for `seconds`.

    Raises `KeyboardInterrupt` once the task is interrupted, so that the thread can clean up.
    """
    if getattr(_thread, "cleans_up", False):
        time.sleep(seconds)
    elif _interrupted.wait(seconds):
        raise KeyboardInterrupt


@contextlib.contextmanager
def uninterruptible() -> Iterator[None]:
    """Keep waits inside the block from being interrupted: this thread is already cleaning up."""
    before = getattr(_thread, "cleans_up", False)
    _thread.cleans_up = True
    try:
        yield
    finally:
        _thread.cleans_up = before


def interrupt() -> None:
    """Interrupt the waits of all threads."""
    _interrupted.set()
