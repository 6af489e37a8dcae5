"""A flow that runs an agent of Microsoft Agent Framework."""

from __future__ import annotations

import functools
from typing import Any, TypedDict

from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient


class Answer(TypedDict):
    answer: str


@functools.cache
def agent(endpoint: str, key: str) -> Agent:
    """Return the agent, one for all requests, so that its connections to the model stay open."""
    client = OpenAIChatCompletionClient(
        "gpt-4o-mini", api_key=key, azure_endpoint=endpoint, api_version="2024-10-21"
    )
    return Agent(client, instructions="Answer in one sentence.")


async def flow(question: str, connections: dict[str, dict[str, Any]]) -> Answer:
    """Return the model's answer to `question`."""
    model = connections["model"]
    answer = await agent(model["api_base"], model["api_key"]).run(question)
    return {"answer": answer.text}
