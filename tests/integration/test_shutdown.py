"""SIGTERM under load: accepted requests are answered, and the container exits cleanly."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest
from docker.models.containers import Container

from deploy.sandbox.model_server import ModelServer
from tests.integration import load
from tests.integration.conftest import Start, built
from tests.integration.load import Tally
from tests.integration.test_contract import sample

pytestmark = pytest.mark.alone

# A race shows itself in one of many runs: SIGTERM_RUNS=50 looks harder.
RUNS = int(os.environ.get("SIGTERM_RUNS", "3"))
CLIENTS = 32
SECONDS = 30.0


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize(("name", "latency", "answers"), [("faq", 0.0, 1000), ("chat", 0.05, 500)])
def test_no_accepted_request_is_lost(
    name: str,
    latency: float,
    answers: int,
    run: int,
    start: Start,
    variables: dict[str, str],
    model: ModelServer,
) -> None:
    model.latency = latency
    running = start(built(name)[1], **variables)
    tally = Tally()
    asyncio.run(_stop_under_load(running.container, load.request(sample(name)), answers, tally))
    assert running.exit_status() == 0
    assert tally.lost == []
    assert len(tally.seconds) >= answers
    # Every client came to its end by a connection that was closed, or refused, in time.
    assert tally.refused == CLIENTS


async def _stop_under_load(container: Container, data: bytes, answers: int, tally: Tally) -> None:
    """Send SIGTERM after so many answers, and go on until no client has a connection."""
    to = load.address(container)
    clients = asyncio.create_task(load.run(to, data, CLIENTS, lambda: True, tally))
    await _until(lambda: len(tally.seconds) >= answers or clients.done())
    await asyncio.to_thread(container.kill, "SIGTERM")
    await asyncio.wait_for(clients, SECONDS)


async def _until(condition: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(poll(), SECONDS)
