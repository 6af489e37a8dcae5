"""Threads of a worker."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest

from deploy.server.adaptive_pool import AdaptivePool


def test_the_pool_grows_for_functions_that_wait() -> None:
    async def scenario() -> int:
        lanes = AdaptivePool(16, asyncio.get_running_loop())
        together = threading.Barrier(16, timeout=10)
        # All sixteen must be inside at once, or the barrier breaks.
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(lanes, together.wait) for _ in range(16)))
        return threading.active_count()

    assert asyncio.run(scenario()) >= 16


def test_the_pool_stays_small_for_functions_that_compute() -> None:
    inside: list[int] = []
    most: list[int] = []

    def compute() -> None:
        inside.append(1)
        most.append(len(inside))
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        inside.pop()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lanes = AdaptivePool(64, loop)
        await asyncio.gather(*(loop.run_in_executor(lanes, compute) for _ in range(200)))

    asyncio.run(scenario())
    assert len(most) == 200
    # Where other programs use the processors too, a few more than one are seen.
    assert sorted(most)[100] <= 16


def test_a_failing_function_raises_and_frees_its_thread() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lanes = AdaptivePool(1, loop)
        with pytest.raises(SystemExit):
            await loop.run_in_executor(lanes, sys.exit, 3)
        assert await loop.run_in_executor(lanes, lambda: 5) == 5

    asyncio.run(scenario())


def test_a_lost_thread_frees_its_place_in_the_pool() -> None:
    """Else one endless loop, which keeps the processor busy, would hold up all that wait."""
    ended = threading.Event()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        news: list[str] = []
        lanes = AdaptivePool(2, loop, limit=0.05, all_lost=lambda: news.append("all"))
        first = loop.run_in_executor(lanes, ended.wait)
        assert await loop.run_in_executor(lanes, lambda: 1) == 1
        second = loop.run_in_executor(lanes, ended.wait)
        waiting = loop.run_in_executor(lanes, lambda: 2)
        while not lanes.count_lost_threads():
            await asyncio.sleep(0.01)
        assert not waiting.done()
        assert lanes.count_lost_threads()
        assert news == ["all"]
        # They come back after all.
        ended.set()
        assert [await first, await second, await waiting] == [True, True, 2]
        assert not lanes.count_lost_threads()
        assert await loop.run_in_executor(lanes, lambda: 3) == 3

    try:
        asyncio.run(scenario())
    finally:
        ended.set()


def test_busy_threads_are_not_lost() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        ended = threading.Event()
        lanes = AdaptivePool(2, loop, limit=3600)
        both = [loop.run_in_executor(lanes, ended.wait) for _ in range(2)]
        assert not lanes.count_lost_threads()
        ended.set()
        await asyncio.gather(*both)

    asyncio.run(scenario())
