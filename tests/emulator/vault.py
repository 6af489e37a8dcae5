"""Azure Key Vault: the secrets of one vault, as its own service answers for them.

Documented: REST API of Key Vault ("Get Secret", "Set Secret"), "Authentication, requests and responses"
(the 401 that tells where to log in and for which resource), "Azure RBAC for Key Vault data plane
operations" (actions). Recorded (issues of azure-sdk-for-python): the texts of 403 and 404.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt

from tests.emulator.bodies import UnknownError, only, read
from tests.emulator.certificates import Authority
from tests.emulator.exchange import Exchange
from tests.emulator.identities import GET_SECRET, SET_SECRET, Directory, Identity
from tests.emulator.server import Server

AUDIENCE = "https://vault.azure.net"
# Those that azure-keyvault-secrets 4.10 to 4.12 send.
VERSIONS = ("7.4", "7.5", "7.6", "2025-07-01", "2026-04-01")
PATH = re.compile(r"/secrets/(?P<name>[A-Za-z0-9-]{1,127})(?:/(?P<version>[0-9a-f]{32})?)?")
FIELDS = {"attributes", "contentType", "tags", "value"}


class RefusedError(Exception):
    """An answer that is an error: its status, its code, its message."""

    def __init__(self, status: int, code: str, message: str, inner: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.content: dict[str, Any] = {"error": {"code": code, "message": message}}
        if inner:
            self.content["error"]["innererror"] = {"code": inner}


@dataclass(frozen=True)
class Secret:
    """One version of a secret."""

    name: str
    value: str = field(repr=False)
    version: str = field(default_factory=lambda: uuid.uuid4().hex)
    tags: dict[str, str] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))


class Vault:
    """One vault with its secrets; roles are given on its name."""

    def __init__(self, name: str, authority: Authority, directory: Directory, entra: str) -> None:
        self.name = name
        self._directory = directory
        self._entra = entra
        self._secrets: dict[str, list[Secret]] = {}
        self.server = Server(authority, self._serve)

    def set(self, name: str, value: str) -> Secret:
        """Add a version of a secret, as somebody who may."""
        return self._add(Secret(name, value))

    def reference(self, name: str) -> str:
        """Return how a setting refers to a secret, whatever its version."""
        return f"@Microsoft.KeyVault(SecretUri={self.server.url}/secrets/{name})"

    def read(self, who: Identity, name: str, version: str = "") -> Secret:
        """Return a secret, the newest without a version. Raises `RefusedError`."""
        self._may(who, GET_SECRET, name)
        found = self._secrets.get(name.lower(), [])
        chosen = [one for one in found if version in ("", one.version)]
        if not chosen:
            text = (
                f"A secret with (name/id) {name} was not found in this key vault. If you recently "
                "deleted this secret you may be able to recover it using the correct recovery command. "
                "For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
            )
            raise RefusedError(404, "SecretNotFound", text)
        return chosen[-1]

    def reset(self) -> None:
        """Be empty, and forget what was seen."""
        self._secrets.clear()
        self.server.reset()

    def _serve(self, exchange: Exchange) -> None:
        found = PATH.fullmatch(exchange.path)
        version = exchange.query.get("api-version", [""])[0]
        if not found or version not in VERSIONS or exchange.method not in ("GET", "PUT"):
            self.server.unexpected.append(f"vault {self.name}: {exchange.method} {exchange.target}")
            exchange.answer(404, b"")
            return
        try:
            who = self._directory.read(exchange.bearer(), AUDIENCE)
        except jwt.InvalidTokenError:
            # Without a body of the request: the client sends it once it has a token.
            authorization = f'authorization="{self._entra}/{self._directory.tenant}"'
            challenge = f'Bearer {authorization}, resource="{AUDIENCE}"'
            text = "AKV10000: Request is missing a Bearer or PoP token."
            content = {"error": {"code": "Unauthorized", "message": text}}
            exchange.answer(401, content, [("WWW-Authenticate", challenge)])
            return
        try:
            if exchange.method == "GET":
                secret = self.read(who, found["name"], found["version"] or "")
            else:
                secret = self._put(exchange, who, found["name"])
        except RefusedError as refused:
            exchange.answer(refused.status, refused.content)
        except UnknownError as error:
            self.server.unexpected.append(f"vault {self.name}: {error}")
            exchange.answer(400, {"error": {"code": "BadParameter", "message": str(error)}})
        else:
            exchange.answer(200, self._document(secret))

    def _put(self, exchange: Exchange, who: Identity, name: str) -> Secret:
        self._may(who, SET_SECRET, name)
        body = read(exchange)
        only(body, FIELDS, "a secret")
        if not isinstance(body.get("value"), str):
            raise UnknownError("a secret without a value")
        return self._add(Secret(name, body["value"], tags=body.get("tags") or {}))

    def _add(self, secret: Secret) -> Secret:
        self._secrets.setdefault(secret.name.lower(), []).append(secret)
        return secret

    def _may(self, who: Identity, action: str, name: str) -> None:
        if not who.may(action, self.name):
            text = (
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny "
                "assignments or role definitions were changed recently, please observe propagation "
                f"time.\r\nCaller: appid={who.client_id};oid={who.object_id}\r\nAction: '{action}'\r\n"
                f"Resource: '/secrets/{name}'\r\nAssignment: (not found)\r\nVault: {self.name}"
            )
            raise RefusedError(403, "Forbidden", text, "ForbiddenByRbac")

    def _document(self, secret: Secret) -> dict[str, Any]:
        return {
            "id": f"{self.server.url}/secrets/{secret.name}/{secret.version}",
            "value": secret.value,
            "tags": secret.tags,
            "attributes": {
                "enabled": True,
                "created": secret.created,
                "updated": secret.created,
                "recoveryLevel": "Recoverable+Purgeable",
            },
        }
