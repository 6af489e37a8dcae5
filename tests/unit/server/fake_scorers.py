"""Scorers without a flow, and a server around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

import httpx
from starlette.testclient import TestClient

from deploy.server import app
from deploy.server.scorer import Field, Stream
from deploy.server.settings import Settings

ABOUT = {
    "flow": "hello",
    "tag": "abc123",
    "commit": "0" * 40,
    "connections": {"secret": "stays inside"},
}


class FakeScorer:
    """A flow whose answer a test decides."""

    def __init__(self, answer: Callable[[dict[str, Any], bool], Any]) -> None:
        self.inputs: Mapping[str, Field] = {
            "question": Field("string", description="What to ask"),
            "limit": Field("integer", required=False, default=3),
        }
        self.outputs: Mapping[str, Field] = {"answer": Field("string")}
        self._answer = answer

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        return self._answer(inputs, stream)


async def chunks(*texts: str, fail: bool = False) -> AsyncIterator[str]:
    for text in texts:
        await asyncio.sleep(0)
        yield text
    if fail:
        raise RuntimeError("the key is sk-123")


def client(answer: Callable[[dict[str, Any], bool], Any], limit: int = 1000) -> TestClient:
    application = app.Application(FakeScorer(answer), ABOUT, Settings(body_limit=limit))
    return TestClient(application, raise_server_exceptions=False)


def echo(inputs: dict[str, Any], stream: bool) -> Any:
    if stream:
        return Stream({"sources": ["a"]}, "answer", chunks("you ", "asked"))
    return {"answer": inputs["question"]}


def asked(application: app.Application) -> Coroutine[Any, Any, httpx.Response]:
    transport = httpx.ASGITransport(app=application)
    return httpx.AsyncClient(transport=transport, base_url="http://flow").post(
        "/score", json={"question": "a"}
    )
