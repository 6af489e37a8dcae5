"""The memory that requests take of a worker: bodies, inputs, responses until they are read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.types import Message

from deploy.server import app, limits, settings
from deploy.server.memory_budget import MemoryBudget
from deploy.server.responses import PIECE_BYTES
from deploy.server.settings import Settings
from tests.unit.server.fake_scorers import ABOUT, FakeScorer, asked, client, echo
from tests.unit.server.test_app_failures import SlowScorer

MEGABYTE = 2**20


def application(scorer: FakeScorer, memory: int) -> app.Application:
    return app.Application(scorer, ABOUT, Settings(request_memory=memory))


async def post(to: app.Application, content: bytes) -> httpx.Response:
    transport = httpx.ASGITransport(app=to)
    async with httpx.AsyncClient(transport=transport, base_url="http://flow") as requests:
        return await requests.post("/score", content=content)


def test_a_body_whose_values_take_too_much_is_413_before_it_is_parsed() -> None:
    body = b'{"question": "a", "unknown": [' + b",".join([b"{}"] * 100_000) + b"]}"
    response = asyncio.run(post(application(FakeScorer(echo), 10 * MEGABYTE), body))
    assert response.status_code == 413
    error = response.json()["error"]
    assert error["code"] == "BodyTooLarge"
    assert error["message"] == (
        "the values in the body take more memory than the 10 MiB that this server has for requests: "
        "send fewer"
    )


def test_requests_over_the_shared_memory_are_503() -> None:
    large = json.dumps({"question": "a" * 3_000_000}).encode()

    async def scenario() -> list[int]:
        scorer = SlowScorer()
        to = application(scorer, 10 * MEGABYTE)
        first = asyncio.ensure_future(post(to, large))
        await scorer.begun.wait()
        refused = await post(to, large)
        small = asyncio.ensure_future(asked(to))
        scorer.may_answer.set()
        answered = [await first, await small, await post(to, large)]
        return [response.status_code for response in (refused, *answered)]

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == [503, 200, 200, 200]


def test_an_answer_counts_until_the_client_has_read_it() -> None:
    async def scenario() -> None:
        to = application(FakeScorer(lambda i, s: {"answer": "a" * 5_000_000}), 10 * MEGABYTE)
        reading = asyncio.Event()
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b'{"question": "a"}', "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                await reading.wait()

        scope: Any = {"type": "http", "method": "POST", "path": "/score", "headers": []}
        unread = [asyncio.ensure_future(to(scope, receive, send)) for _ in range(3)]
        while len(sent) < 6:
            await asyncio.sleep(0)
        assert (await asked(to)).status_code == 503
        reading.set()
        await asyncio.gather(*unread)
        assert (await asked(to)).status_code == 200
        bodies = [message["body"] for message in sent if message["type"] == "http.response.body"]
        assert max(map(len, bodies)) == PIECE_BYTES

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_long_answer_arrives_whole() -> None:
    text = "äöü" * 100_000
    response = client(lambda i, s: {"answer": text}).post("/score", json={"question": "a"})
    assert response.json() == {"answer": text}
    assert int(response.headers["content-length"]) == len(response.content)


def test_reserved_memory_is_released() -> None:
    budget = MemoryBudget(100)
    with pytest.raises(ValueError, match="a"), budget.share() as first, budget.share() as second:
        first.resize(60)
        assert second.has_room(40)
        assert not second.has_room(41)
        second.resize(30)
        assert second.has_room(40)
        raise ValueError("a")
    assert budget.used == 0


@pytest.mark.parametrize(
    ("threads", "files", "connections"), [(128, 1 << 20, 1280), (8, 1 << 20, 256), (128, 1024, 512)]
)
def test_connections_are_more_than_requests_and_fewer_than_files(
    threads: int, files: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "read_open_files_limit", lambda: files)
    assert Settings(threads=threads, queue=4 * threads).connections == connections


@pytest.mark.parametrize(
    ("memory", "body", "together"),
    [(8192, 10, 1024), (512, 10, 64), (128, 8, 32)],
)
def test_the_limits_fit_the_memory(
    memory: int, body: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "read_memory_limit", lambda: memory * MEGABYTE)
    monkeypatch.setattr(limits, "count_processors", lambda: 2)
    read = settings.read({})
    assert read.body_limit == body * MEGABYTE
    assert read.request_memory == together * MEGABYTE
    larger = settings.read({"SERVE_BODY_LIMIT": str(400 * MEGABYTE)})
    assert larger.request_memory >= 1600 * MEGABYTE
