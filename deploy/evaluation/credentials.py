"""What an evaluation may use and nobody may see: connections, tokens, variables.

It goes into the container as a file that is gone once it is read, never as an argument or as a
variable of the container, which `docker inspect` would show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from deploy import cloud, tokens
from deploy.config import DEPLOY
from deploy.documents import show
from deploy.errors import DeployError, Problem
from deploy.model import Flow
from deploy.runtime import connections

# The one service that promptflow's connections ask for by a token (promptflow-core 1.18.5,
# `_core/token_provider.py`).
RESOURCE = "https://cognitiveservices.azure.com"
# Of whoever starts the evaluation; a container does not have them by itself.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# This machine, as a container sees it.
HOST = "host.docker.internal"


@dataclass(frozen=True)
class Credentials:
    """`tokens` are by resource, each with when it expires (seconds since 1970).

    `secrets` are the texts that no output may have.
    """

    connections: Mapping[str, Mapping[str, Any]] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    tokens: Mapping[str, tuple[str, int]] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def as_file(self) -> bytes:
        """Return all of it as the container reads it."""
        return json.dumps(
            {
                "connections": self.connections,
                "variables": self.variables,
                "tokens": self.tokens,
                "secrets": self.secrets,
            }
        ).encode()


def gather(
    flow: Flow, environ: Mapping[str, str], variables: Mapping[str, str], hidden: frozenset[str]
) -> Credentials:
    """Return what `flow` needs, from `environ`, and with `variables`, of which some are `hidden`.

    A connection without a key is one for an identity: that of whoever is logged in here. Raises
    `DeployError` with everything that is not set.
    """
    # A sign that there is an identity, as there is one in the container.
    resolved = connections.resolve(
        flow.connections, {**environ, connections.IDENTITY_SIGNS[0]: "-"}
    )
    where = show(flow.folder / DEPLOY)
    problems = [Problem(where, text, "set it, or put it into .env") for text in resolved.problems]
    tokens: dict[str, tuple[str, int]] = {}
    by_identity = [
        name
        for name, one in resolved.connections.items()
        if one["value"].get("auth_mode") == "meid_token"
    ]
    if by_identity and not problems:
        tokens[RESOURCE] = _token(flow, by_identity[0])
    if problems:
        raise DeployError.of(problems)
    proxies = _proxies(environ)
    # As the flow's container has them: its code may make a client by itself.
    named = [name for one in flow.connections.values() for name in connections.variables(one)]
    given = {name: environ[name] for name in named if environ.get(name)}
    secrets = [
        *resolved.secrets,
        *(token for token, _ in tokens.values()),
        *(variables[name] for name in hidden if name in variables),
        *(word for url in proxies.values() if (word := _password(url))),
    ]
    return Credentials(
        resolved.connections,
        {**given, **variables, **proxies},
        tokens,
        tuple(dict.fromkeys(secrets)),
    )


def _token(flow: Flow, connection: str) -> tuple[str, int]:
    """Return a token of whoever is logged in, and when it expires."""
    try:
        token = cloud.token(cloud.CLOUDS["public"], f"{RESOURCE}/.default")
    except DeployError as error:
        variable = flow.connections[connection].get("api_key")
        key = f"; or set {variable}" if variable else ""
        problem = error.problems[0]
        what = f"connection {connection} takes an identity, and {problem.what}"
        raise DeployError(show(flow.folder / DEPLOY), what, f"{problem.hint}{key}") from None
    return token, int(tokens.claims(token).get("exp") or time.time() + 3600)


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a proxy, in both spellings; this machine is reached without it."""
    found = {}
    for name in PROXIES:
        value = environ.get(name) or environ.get(name.lower())
        if value:
            found[name] = value
    if found:
        past = [*filter(None, found.get("NO_PROXY", "").split(",")), HOST, "127.0.0.1"]
        found["NO_PROXY"] = ",".join(dict.fromkeys(past))
    return {**found, **{name.lower(): value for name, value in found.items()}}


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
