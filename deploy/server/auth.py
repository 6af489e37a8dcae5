"""Authentication of clients with the container's keys, which are sent as bearer tokens.

Without keys, no authentication is required. The form of a token, and of the challenge in a response
with status 401: RFC 6750, "The OAuth 2.0 Authorization Framework: Bearer Token Usage".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence

from .scorer import StartupError

# With a second key, keys can be changed without locking out clients in the meantime.
KEY_VARIABLE = "SERVE_KEY"
SECONDARY_KEY_VARIABLE = "SERVE_SECONDARY_KEY"
KEY_VARIABLES = (KEY_VARIABLE, SECONDARY_KEY_VARIABLE)
# The header cannot carry other characters, such as the line break at the end of a file.
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")
MISSING_KEY = "a key is required: send the header Authorization: Bearer ‹key›"
WRONG_KEY = "the key is wrong"


def read_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys in `environ`; none if neither variable exists.

    Raises `StartupError` for a value that is not a valid key. That includes an empty variable: a
    missing secret must not turn off authentication.
    """
    named = {name: environ[name] for name in KEY_VARIABLES if name in environ}
    for name, key in named.items():
        if not TOKEN.fullmatch(key):
            raise StartupError(
                f"{name} is not a valid key: set 16 characters or more of letters, digits and "
                "-._~+/, such as `openssl rand -base64 32` makes"
            )
    return tuple(named.values())


def check_key(keys: Sequence[str], authorization: Sequence[str]) -> str:
    """Return why a request with these Authorization headers is rejected; empty if it is not."""
    if not keys:
        return ""
    scheme, _, token = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        return MISSING_KEY
    # As bytes, since text that is not ASCII cannot be compared in constant time. With every key, so
    # that the time does not reveal which key matched.
    sent = token.strip().encode()
    matches = [hmac.compare_digest(sent, key.encode()) for key in keys]
    return "" if any(matches) else WRONG_KEY


def format_challenge(reason: str) -> str:
    """Return the value of the header WWW-Authenticate for a rejected request."""
    return "Bearer" if reason == MISSING_KEY else 'Bearer error="invalid_token"'
