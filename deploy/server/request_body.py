"""Receive the body of a request and parse its inputs, within the memory budget for requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request

from . import inputs, json_memory
from .memory_budget import MemoryShare
from .scorer import Field


class Body(NamedTuple):
    """The body of a request."""

    content: bytearray
    # Estimated bytes of the parsed values in addition to their text.
    structure: int


async def receive(
    request: Request, limit: int, share: MemoryShare, refuse_if_overloaded: Callable[[], None]
) -> Body:
    """Return the body of `request`. Raise `HTTPException` (413, 503) if it exceeds a limit.

    `limit` is in bytes. The bytes that arrive are counted, because the length that a client
    announces may be wrong. While a body arrives, only its bytes count, so a slow client does not
    block others.
    """
    too_large = HTTPException(413, f"the body is larger than {limit} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    content, structure = bytearray(), 0
    async for chunk in request.stream():
        content += chunk
        share.resize(len(content))
        if len(content) > limit:
            raise too_large
        structure += json_memory.estimate_structure(chunk)
        _reject_oversized(structure, share)
        refuse_if_overloaded()
    return Body(content, structure)


def read(body: Body, fields: Mapping[str, Field], share: MemoryShare) -> dict[str, Any]:
    """Return the inputs in `body`, and clear it. Raise `HTTPException` if memory is short."""
    needed = json_memory.estimate_memory(*body)
    _reject_oversized(needed.peak, share)
    if not share.has_room(needed.peak):
        raise overload_error()
    values = inputs.read(body.content, fields)
    body.content.clear()
    share.resize(needed.retained)
    return values


def overload_error() -> HTTPException:
    """Return the error (503) for a request that the client can retry soon."""
    return HTTPException(503, "too many requests are waiting; try again later")


def _reject_oversized(size: int, share: MemoryShare) -> None:
    if size > share.limit:
        message = (
            "the values in the body take more memory than the "
            f"{share.limit >> 20} MiB that this server has for requests: send fewer"
        )
        raise HTTPException(413, message)
