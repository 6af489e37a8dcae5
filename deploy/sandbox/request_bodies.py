"""Parse request bodies: JSON objects without unknown fields, which `fields.yaml` files list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.sandbox.http_exchange import Exchange


class InvalidBodyError(ValueError):
    """A body that no correct client sends: a bug in the client's code."""


def load_fields(module: str) -> dict[str, frozenset[str]]:
    """Return the fields of each kind of body, from the file beside a module."""
    content = YAML(typ="safe").load(Path(module).with_name("fields.yaml"))
    return {name: frozenset(fields) for name, fields in content.items()}


def read_json_object(exchange: Exchange) -> dict[str, Any]:
    """Return the JSON object in the request's body. Raise `InvalidBodyError`."""
    try:
        body = json.loads(exchange.content())
    except ValueError as error:
        raise InvalidBodyError(f"no JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidBodyError("no JSON object")
    return body


def reject_unknown_fields(body: Mapping[str, Any], known: Set[str], where: str) -> None:
    """Raise `InvalidBodyError` if `body` has a field that is not in `known`."""
    unknown = set(body) - known
    if unknown:
        raise InvalidBodyError(f"{where} with {', '.join(sorted(unknown))}")
