"""The bodies of requests: JSON objects, whose fields are all known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

from tests.emulator.exchange import Exchange


class UnknownError(ValueError):
    """A body that the real service is never sent: a mistake of the client's code."""


def read(exchange: Exchange) -> dict[str, Any]:
    """Return the JSON object of a request. Raises `UnknownError`."""
    try:
        body = json.loads(exchange.content())
    except ValueError as error:
        raise UnknownError(f"no JSON: {error}") from None
    if not isinstance(body, dict):
        raise UnknownError("no JSON object")
    return body


def only(body: Mapping[str, Any], known: Set[str], where: str) -> None:
    """Raise `UnknownError` where `body` has a field that is not `known`."""
    unknown = set(body) - known
    if unknown:
        raise UnknownError(f"{where} with {', '.join(sorted(unknown))}")
