"""Claims of access tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any


def decode_claims(token: str) -> dict[str, Any]:
    """Return the claims of a token without verifying it: for messages and expiry only."""
    try:
        payload = token.split(".")[1]
        claims: dict[str, Any] = json.loads(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        )
        return claims
    except (IndexError, ValueError):
        return {}


def get_principal_name(claims: Mapping[str, Any]) -> str:
    """Return the name in these claims: of a person, or a client id."""
    names = (claims.get(key) for key in ("upn", "unique_name", "appid", "azp"))
    return next((str(name) for name in names if name), "")
