"""Scoring what runs as its callers do, once or all the time; and the colours of an obedient flow's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager

import requests

from deploy.core import http_requests
from deploy.sandbox import scoring_clients
from deploy.sandbox.scoring_clients import Calls

BODY = {"question": "why?"}
# In seconds: dense enough to meet every moment, and leaves the processors to the containers.
PAUSE = 0.02


def ask(url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """Score once."""
    with http_requests.new_session() as http:
        http.trust_env = False
        return http.post(f"{url}/score", json=BODY, headers=dict(headers or {}), timeout=60)


def bearer(key: str) -> dict[str, str]:
    """Return the headers of a caller with this key."""
    return {"Authorization": f"Bearer {key}"}


def calling(url: str, headers: Mapping[str, str], count: int = 2) -> AbstractContextManager[Calls]:
    """Score all the time inside of the block, with `count` callers at once."""
    verify = http_requests.new_session().verify
    bundle = verify if isinstance(verify, str) else True
    return scoring_clients.calling(
        scoring_clients.scoring(url, BODY, dict(headers)), bundle, count, PAUSE
    )


def colour(answer: str) -> str:
    """Return the colour in an answer's body."""
    return str(json.loads(answer)["answer"]).partition(" ")[0]


def colours(calls: Calls) -> list[str]:
    """Return the colours that callers were answered with, each where it came first."""
    return list(dict.fromkeys(colour(answer) for answer in list(calls.answered)))
