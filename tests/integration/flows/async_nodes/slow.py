import asyncio
from promptflow.core import tool

@tool
async def slow(mode: str) -> str:
    await asyncio.sleep(0)
    if mode == "raise":
        raise KeyError(mode)
    return mode * 2
