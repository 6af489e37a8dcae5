"""Waiting that an interruption ends, but for the thread that puts right what it left."""

from __future__ import annotations

import threading

import pytest

from deploy.core import interrupts


def test_an_interruption_ends_every_pause_but_those_that_put_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupts, "_interrupted", threading.Event())
    interrupts.pause(0)
    interrupts.interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupts.pause(60)
    with interrupts.uninterruptible():
        interrupts.pause(0)
    with pytest.raises(KeyboardInterrupt):
        interrupts.pause(60)
