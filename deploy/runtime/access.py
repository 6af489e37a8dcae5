"""Who is let in: everybody, or whoever sends one of the container's keys as a bearer token.

RFC 6750, "The OAuth 2.0 Authorization Framework: Bearer Token Usage": the form of a token, and of
the challenge in an answer with 401.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence

from .scorer import CannotStart

# The second is there so that keys can be changed without a moment in which callers are shut out.
KEY = "SERVE_KEY"
SECONDARY_KEY = "SERVE_SECONDARY_KEY"
NAMES = (KEY, SECONDARY_KEY)
# The header could not carry others, such as the line break that a file often ends with.
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")
MISSING = "a key is needed: send the header Authorization: Bearer ‹key›"
WRONG = "this is not the key"


def keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys in `environ`; none where no variable asks for one.

    Raises `CannotStart` for what is no key. A variable that is empty asks for one all the same: an
    unset secret must not open the door.
    """
    named = {name: environ[name] for name in NAMES if name in environ}
    for name, key in named.items():
        if not TOKEN.fullmatch(key):
            raise CannotStart(
                f"{name} is no key: set 16 characters or more of letters, digits and -._~+/, such "
                "as `openssl rand -base64 32` makes"
            )
    return tuple(named.values())


def refusal(keys: Sequence[str], given: Sequence[str]) -> str:
    """Return why a request with these Authorization headers is not let in; empty if it is."""
    if not keys:
        return ""
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        return MISSING
    # As bytes, since texts that are not ASCII cannot be compared in constant time; and with every
    # key, so that the time tells nothing of which it was.
    sent = token.strip().encode()
    found = [hmac.compare_digest(sent, key.encode()) for key in keys]
    return "" if any(found) else WRONG


def challenge(why: str) -> str:
    """Return the header WWW-Authenticate for a refusal."""
    return "Bearer" if why == MISSING else 'Bearer error="invalid_token"'
