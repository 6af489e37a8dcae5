"""Wait for a condition in a test."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest


def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` returns True; fail the test after 30 s."""
    event = threading.Event()
    for _ in range(3000):
        if condition():
            return
        event.wait(0.01)
    pytest.fail("the condition did not become true within 30 s")
