"""What tokens say of themselves."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any


def claims(token: str) -> dict[str, Any]:
    """Return what a token says of itself, unchecked: for messages and expiry only."""
    try:
        part = token.split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return found
    except (IndexError, ValueError):
        return {}


def name_of(claims: Mapping[str, Any]) -> str:
    """Return the name of whom a token with these claims is for: a person's, or a client id."""
    names = (claims.get(key) for key in ("upn", "unique_name", "appid", "azp"))
    return next((str(name) for name in names if name), "")
