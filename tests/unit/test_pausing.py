"""Waiting that an interruption ends, but for the thread that puts right what it left."""

from __future__ import annotations

import threading

import pytest

from deploy import pausing


def test_an_interruption_ends_every_pause_but_those_that_put_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pausing, "_interrupted", threading.Event())
    pausing.pause(0)
    pausing.interrupt()
    with pytest.raises(KeyboardInterrupt):
        pausing.pause(60)
    with pausing.putting_right():
        pausing.pause(0)
    with pytest.raises(KeyboardInterrupt):
        pausing.pause(60)
