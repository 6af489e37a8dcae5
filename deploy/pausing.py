"""Waiting that ends when the task is interrupted, in whichever thread it is."""

from __future__ import annotations

import threading

_interrupted = threading.Event()


def pause(seconds: float) -> None:
    """Wait. Raises `KeyboardInterrupt` once the task was interrupted: the thread must put right."""
    if _interrupted.wait(seconds):
        raise KeyboardInterrupt


def interrupt() -> None:
    """Let every thread know that the task was interrupted."""
    _interrupted.set()
