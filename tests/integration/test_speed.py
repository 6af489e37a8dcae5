"""A loss of speed is seen here, in seconds; the figures themselves are in docs/benchmarks.md."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.sandbox.model_server import ModelServer
from tests.integration import load
from tests.integration.running_container import Running
from tests.projects import FIXTURE

pytestmark = pytest.mark.alone

Serving = Callable[[str], Running]
CLIENTS = 32
SECONDS = 3.0


def rate(running: Running, body: Any) -> float:
    """Return the good answers a second that CLIENTS clients get, after a warm-up."""
    to, data = load.address(running.container), load.request(body)
    _loaded(to, data, 0.5)
    return _loaded(to, data, SECONDS) / SECONDS


def _loaded(to: load.Address, data: bytes, seconds: float) -> int:
    end = time.monotonic() + seconds
    tally = load.Tally()
    asyncio.run(load.run(to, data, CLIENTS, lambda: time.monotonic() < end, tally))
    assert tally.lost == []
    return len(tally.seconds)


def sample(name: str) -> Any:
    return json.loads((FIXTURE / f"flows/{name}/sample.json").read_text(encoding="utf-8"))


def test_a_flow_without_a_model_is_answered_several_times_as_often_as_by_pf(
    pf: Serving, serving: Serving
) -> None:
    # Measured: 8 times, beside one process of pf's with four threads.
    assert rate(serving("faq"), sample("faq")) > 3 * rate(pf("faq"), sample("faq"))


def test_a_flow_that_waits_for_a_model_is_held_up_by_nothing_else(
    serving: Serving, model: ModelServer
) -> None:
    model.latency = 0.3
    assert rate(serving("chat"), sample("chat")) > 0.6 * CLIENTS / model.latency
