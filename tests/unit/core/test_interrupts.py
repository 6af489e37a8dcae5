"""Pauses that an interrupt ends, except in the thread that cleans up."""

from __future__ import annotations

import threading

import pytest

from deploy.core import interrupts


def test_an_interrupt_ends_every_pause_except_in_cleanup(
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


def test_cleanup_inside_cleanup_stays_uninterruptible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_interrupted", threading.Event())
    interrupts.interrupt()
    with interrupts.uninterruptible():
        with interrupts.uninterruptible():
            interrupts.pause(0)
        interrupts.pause(0)
    with pytest.raises(KeyboardInterrupt):
        interrupts.pause(60)
