"""Waiting that ends when the task is interrupted, in whichever thread it is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

_interrupted = threading.Event()
_thread = threading.local()


def pause(seconds: float) -> None:
    """Wait. Raises `KeyboardInterrupt` once the task was interrupted: the thread must put right."""
    if getattr(_thread, "puts_right", False):
        time.sleep(seconds)
    elif _interrupted.wait(seconds):
        raise KeyboardInterrupt


@contextlib.contextmanager
def putting_right() -> Iterator[None]:
    """Inside of the block this thread has been told, and waits for as long as it takes."""
    _thread.puts_right = True
    try:
        yield
    finally:
        _thread.puts_right = False


def interrupt() -> None:
    """Let every thread know that the task was interrupted."""
    _interrupted.set()
