"""Receive the body of a request, and read its inputs, within the memory for requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request

from . import inputs, json_memory
from .memory_budget import MemoryShare
from .scorer import Field


class Body(NamedTuple):
    """A body, and the bytes that its values take beside their text."""

    content: bytearray
    structure: int


async def receive(
    request: Request, limit: int, share: MemoryShare, refuse_if_overloaded: Callable[[], None]
) -> Body:
    """Return the request's body, up to `limit` bytes.

    A length that a client claims is not believed. While a body arrives the request counts for
    nothing but its bytes: a slow client holds up no other.
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
        structure += json_memory.structure(chunk)
        _refuse_if_never_fitting(structure, share)
        refuse_if_overloaded()
    return Body(content, structure)


def read(body: Body, fields: Mapping[str, Field], share: MemoryShare) -> dict[str, Any]:
    """Return the inputs in `body`, which is empty afterwards, if there is memory for them."""
    needed = json_memory.estimate(*body)
    _refuse_if_never_fitting(needed.parsing, share)
    if not share.fits(needed.parsing):
        raise overloaded()
    values = inputs.read(body.content, fields)
    body.content.clear()
    share.resize(needed.parsed)
    return values


def overloaded() -> HTTPException:
    """Return the refusal of a request that may be sent again in a moment."""
    return HTTPException(503, "more requests wait than this server takes on; try again")


def _refuse_if_never_fitting(size: int, share: MemoryShare) -> None:
    if size > share.limit:
        message = (
            "the values in the body take more memory than the "
            f"{share.limit >> 20} MiB that this server has for requests: send fewer"
        )
        raise HTTPException(413, message)
