"""Hostile clients: those beside them are served as before, and nothing of them stays."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.integration import footprint, hostile_clients, hostile_requests, load
from tests.integration.conftest import Start, built
from tests.integration.load import Address, Tally
from tests.integration.running_container import Running
from tests.integration.test_contract import sample

pytestmark = pytest.mark.alone

HEALTHY = 8
WINDOWS = 3
# Answers in a window: of less, the 99th percentile is a single bad one.
ANSWERS = 200
# Below this, noise of the machine is larger than what an attacker does (seconds).
FLOOR = 0.05
# MB by which the container may be larger afterwards: what the allocator keeps depends on how many
# of the connections were open at once. It levels off (docs/serving.md); connections must all be gone.
KEPT = 100

HEAD = b"POST /score HTTP/1.1\r\nHost: flow\r\nX-Slow: "
BODY = b"POST /score HTTP/1.1\r\nHost: flow\r\nContent-Length: 1000\r\n\r\n{"
Attack = Callable[[Address], AbstractContextManager[object]]

ATTACKS: dict[str, Attack] = {
    "256 never read": lambda to: hostile_clients.never_reading(to, 256),
    "100 heads, a byte a second": lambda to: hostile_clients.dribbling(to, 100, HEAD, b"x" * 60),
    "100 bodies, a byte a second": lambda to: hostile_clients.dribbling(to, 100, BODY, b" " * 60),
    # More than both workers keep open.
    "3,000 connections held": lambda to: hostile_clients.holding(to, 3000, HEAD),
    "10,000 connections dropped": lambda to: hostile_clients.dropping(to, 10_000),
}
# Clients that send each of the hostile requests before the healthy ones begin.
CLIENTS = 24
# MB that a container may take at most: half of its limit.
MOST = 256


@pytest.fixture(scope="module")
def faq(start: Start) -> Running:
    """A container for these tests alone, warm."""
    running = start(built("faq")[1])
    measure(load.address(running.container), 2)
    return running


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_healthy_clients_are_not_affected(attack: Attack, faq: Running) -> None:
    to = load.address(faq.container)
    # What the allocator keeps of a first attack is not what a second one adds.
    with attack(to):
        measure(to, 1)
    processes, memory = footprint.processes(faq.container), footprint.memory(faq.container)
    files = footprint.descriptors(faq.container)
    before = measure(to, WINDOWS)
    with attack(to):
        during = measure(to, WINDOWS)
    # Other work of the machine comes and goes: the quiet time on both sides is what counts.
    quiet = max(before, measure(to, WINDOWS))
    assert during < max(2 * quiet, FLOOR), f"{quiet=:.3f} s"
    assert footprint.settles(lambda: footprint.descriptors(faq.container), files)
    assert footprint.settles(lambda: footprint.memory(faq.container), memory + KEPT)
    assert footprint.processes(faq.container) == processes
    assert faq.post(sample("faq")).status_code == 200


@pytest.mark.slow  # One by one. All in turn, on each flow: test_hostile_inputs.py.
@pytest.mark.parametrize(
    "request_bytes", hostile_requests.REQUESTS.values(), ids=hostile_requests.REQUESTS.keys()
)
def test_hostile_requests_take_no_memory_and_no_time_from_others(
    request_bytes: bytes, faq: Running
) -> None:
    to = load.address(faq.container)
    processes = footprint.processes(faq.container)
    before = measure(to, WINDOWS)
    with hostile_requests.sending(to, CLIENTS, request_bytes):
        during = measure(to, WINDOWS)
        assert footprint.memory(faq.container) < MOST
    quiet = max(before, measure(to, WINDOWS))
    assert during < max(2 * quiet, FLOOR), f"{quiet=:.3f} s"
    assert footprint.processes(faq.container) == processes
    assert faq.post(sample("faq")).status_code == 200


def test_a_head_has_an_end(faq: Running) -> None:
    memory = footprint.memory(faq.container)
    most = 64 * 2**20
    assert hostile_clients.endless_head(load.address(faq.container), most) < most / 4
    assert footprint.settles(lambda: footprint.memory(faq.container), memory + KEPT)
    assert faq.post(sample("faq")).status_code == 200


def measure(to: Address, windows: int, body: Any = None) -> float:
    """Return the median of the p99 of `windows` of healthy clients, in seconds."""
    data = load.request(body or sample("faq"))
    return statistics.median(_window(to, data) for _ in range(windows))


def _window(to: Address, data: bytes) -> float:
    tally = Tally()
    asyncio.run(load.run(to, data, HEALTHY, lambda: len(tally.seconds) < ANSWERS, tally))
    assert tally.lost == [], f"{tally.lost} after {len(tally.seconds)} answers"
    assert tally.refused == 0
    return load.p99(tally.seconds)
