"""Clients that score the scripted flow, once or all the time, and the colours of its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager

import requests

from deploy.core import http_requests
from deploy.sandbox import scoring_clients
from deploy.sandbox.scoring_clients import ClientResults

BODY = {"question": "why?"}
# In seconds: dense enough to meet every moment, and leaves the processors to the containers.
PAUSE = 0.02


def ask(url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """Score once."""
    with http_requests.new_session() as http:
        http.trust_env = False
        return http.post(f"{url}/score", json=BODY, headers=dict(headers or {}), timeout=60)


def bearer(key: str) -> dict[str, str]:
    """Return the headers of a client with this key."""
    return {"Authorization": f"Bearer {key}"}


def run_clients(
    url: str, headers: Mapping[str, str], count: int = 2
) -> AbstractContextManager[ClientResults]:
    """Score all the time inside the block, with `count` clients."""
    verify = http_requests.new_session().verify
    bundle = verify if isinstance(verify, str) else True
    send = scoring_clients.build_request(url, BODY, dict(headers))
    return scoring_clients.run_clients(send, bundle, count, PAUSE)


def colour(answer: str) -> str:
    """Return the colour in an answer's body."""
    return str(json.loads(answer)["answer"]).partition(" ")[0]


def colours(results: ClientResults) -> list[str]:
    """Return the colours in the order in which clients first received them."""
    return list(dict.fromkeys(colour(answer) for answer in list(results.answered)))
