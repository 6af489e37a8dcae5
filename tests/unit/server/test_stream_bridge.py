"""Iterators that block are read in threads: in order, to the end, no further than wanted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import anyio.to_thread
import pytest

from deploy.server.promptflow.stream_bridge import READ_AHEAD, read_in_threads


class Counted:
    """Numbers, which fail or wait where they are told to; `begun` once the first is asked for."""

    def __init__(self, count: int, fail: BaseException | None = None) -> None:
        self.read = 0
        self.closed = 0
        self.begun = threading.Event()
        self.gate: threading.Event | None = None
        self._count = count
        self._fail = fail

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.begun.set()
        if self.gate:
            self.gate.wait(10)
        if self.read == self._count:
            raise self._fail or StopIteration
        self.read += 1
        return self.read - 1

    def close(self) -> None:
        self.closed += 1


async def taken(chunks: Iterator[Any]) -> list[Any]:
    return [chunk async for chunk in read_in_threads(chunks)]


async def settled(chunks: Counted) -> int:
    """Return how many were read once no more are."""
    before = -1
    while before != chunks.read:
        before = chunks.read
        await asyncio.sleep(0.05)
    return before


@pytest.mark.parametrize("count", [0, 1, READ_AHEAD - 1, READ_AHEAD, READ_AHEAD + 1, 5000])
def test_items_arrive_in_order(count: int) -> None:
    chunks = Counted(count)
    assert asyncio.run(taken(chunks)) == list(range(count))
    assert chunks.closed == 1


def test_a_failure_comes_after_what_was_read() -> None:
    async def run() -> list[int]:
        found = []
        with pytest.raises(KeyError):
            async for chunk in read_in_threads(chunks):
                found.append(chunk)
        return found

    chunks = Counted(3, KeyError("x"))
    assert asyncio.run(run()) == [0, 1, 2]
    assert chunks.closed == 1


def test_an_item_is_delivered_before_the_next_one_is_read() -> None:
    async def run() -> None:
        items = read_in_threads(one_by_one())
        for number in range(20):
            assert await asyncio.wait_for(anext(items), 5) == number
            gate.set()

    def one_by_one() -> Iterator[int]:
        for number in range(20):
            yield number
            gate.wait(10)
            gate.clear()

    gate = threading.Event()
    asyncio.run(run())


def test_a_slow_reader_is_waited_for() -> None:
    async def run() -> None:
        items = read_in_threads(chunks)
        assert await anext(items) == 0
        assert await settled(chunks) <= READ_AHEAD + 1
        limiter = anyio.to_thread.current_default_thread_limiter()
        assert limiter.borrowed_tokens == 0
        assert [await anext(items) for _ in range(30)] == list(range(1, 31))
        await items.aclose()  # type: ignore[attr-defined]

    chunks = Counted(1000)
    asyncio.run(run())
    assert chunks.closed == 1
    assert chunks.read < 100


def test_a_disconnected_reader_closes_the_iterator_after_the_current_item() -> None:
    async def run() -> None:
        task = asyncio.create_task(taken(chunks))
        assert await asyncio.to_thread(chunks.begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0.05)
        assert chunks.closed == 0
        assert chunks.gate
        chunks.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    chunks = Counted(1000)
    chunks.gate = threading.Event()
    asyncio.run(run())
    assert (chunks.read, chunks.closed) == (1, 1)


def test_more_streams_than_threads_all_come_on() -> None:
    last = 999

    def counting(number: int) -> Iterator[int]:
        begun.add(number)
        for step in range(last + 1):
            # How far one comes before another is the threads' matter, but not to its end.
            assert step < last or len(begun) == 20
            yield step

    async def run() -> list[list[int]]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2
        return list(await asyncio.gather(*[taken(counting(number)) for number in range(20)]))

    begun: set[int] = set()
    assert asyncio.run(run()) == [list(range(last + 1))] * 20
