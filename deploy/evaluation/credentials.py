"""Collect the connections, tokens and variables of an evaluation.

They enter the container as a file that is deleted once it is read, never as an argument or as a
variable of the container, which `docker inspect` would show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from deploy.azure import clouds, jwt
from deploy.config.configuration import DEPLOY_FILE
from deploy.core.entities import Flow
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path
from deploy.server import connections

# The only service for which promptflow's connections use a token (promptflow-core 1.18.5,
# `_core/token_provider.py`).
COGNITIVE_SERVICES = "https://cognitiveservices.azure.com"
# Copied from this process; a container does not inherit them.
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# This machine, as a container sees it.
HOST_GATEWAY = "host.docker.internal"


@dataclass(frozen=True)
class Credentials:
    """The secrets and variables of an evaluation's container; no output may show the secrets."""

    connections: Mapping[str, Mapping[str, Any]] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    # By resource: the token and when it expires, in seconds since 1970.
    tokens: Mapping[str, tuple[str, int]] = field(repr=False)
    # Texts that no output may contain.
    secrets: tuple[str, ...] = field(repr=False)

    def to_json(self) -> bytes:
        """Return the credentials in the form that the container reads."""
        return json.dumps(
            {
                "connections": self.connections,
                "variables": self.variables,
                "tokens": self.tokens,
                "secrets": self.secrets,
            }
        ).encode()


def gather_credentials(
    flow: Flow, environ: Mapping[str, str], variables: Mapping[str, str], hidden: frozenset[str]
) -> Credentials:
    """Return the credentials that `flow` needs, from `environ` and `variables`.

    `hidden` are the names in `variables` whose values are secret. A connection without a key uses
    the identity that is signed in on this machine. Raise `DeployError` with everything that is not
    set.
    """
    # The placeholder marks that an identity is available, as it will be in the container.
    resolved = connections.resolve(
        flow.connections, {**environ, connections.IDENTITY_VARIABLES[0]: "-"}
    )
    location = display_path(flow.folder / DEPLOY_FILE)
    problems = [Problem(location, text, "set it, or add it to .env") for text in resolved.problems]
    tokens: dict[str, tuple[str, int]] = {}
    by_identity = [
        name
        for name, connection in resolved.connections.items()
        if connection["value"].get("auth_mode") == "meid_token"
    ]
    if by_identity and not problems:
        tokens[COGNITIVE_SERVICES] = _fetch_token(flow, by_identity[0])
    if problems:
        raise DeployError.from_problems(problems)
    proxies = _read_proxy_variables(environ)
    # As in a deployed container: the flow's code may create its own client.
    names = [
        name
        for connection in flow.connections.values()
        for name in connections.list_variables(connection)
    ]
    flow_variables = {name: environ[name] for name in names if environ.get(name)}
    secrets = [
        *resolved.secrets,
        *(token for token, _ in tokens.values()),
        *(variables[name] for name in hidden if name in variables),
        *(password for url in proxies.values() if (password := _parse_password(url))),
    ]
    return Credentials(
        resolved.connections,
        {**flow_variables, **variables, **proxies},
        tokens,
        tuple(dict.fromkeys(secrets)),
    )


def _fetch_token(flow: Flow, connection: str) -> tuple[str, int]:
    """Return a token of the identity that is signed in, and when it expires."""
    try:
        token = clouds.get_token(clouds.CLOUDS["public"], f"{COGNITIVE_SERVICES}/.default")
    except DeployError as error:
        variable = flow.connections[connection].get("api_key")
        key = f"; or set {variable}" if variable else ""
        problem = error.problems[0]
        message = f"connection {connection} uses an identity, but {problem.what}"
        raise DeployError(
            display_path(flow.folder / DEPLOY_FILE), message, f"{problem.hint}{key}"
        ) from None
    return token, int(jwt.decode_claims(token).get("exp") or time.time() + 3600)


def _read_proxy_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy's variables, in both spellings; this machine bypasses the proxy."""
    variables = {}
    for name in PROXY_VARIABLES:
        value = environ.get(name) or environ.get(name.lower())
        if value:
            variables[name] = value
    if variables:
        bypassed = [
            *filter(None, variables.get("NO_PROXY", "").split(",")),
            HOST_GATEWAY,
            "127.0.0.1",
        ]
        variables["NO_PROXY"] = ",".join(dict.fromkeys(bypassed))
    return {**variables, **{name.lower(): value for name, value in variables.items()}}


def _parse_password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
