"""Azure Key Vault: the service of one vault and its secrets.

Documented: REST API of Key Vault ("Get Secret", "Set Secret"), "Authentication, requests and
responses" (the 401 that names the sign-in address and the resource), "Azure RBAC for Key Vault data
plane operations" (actions). Recorded (issues of azure-sdk-for-python): the texts of 403 and 404.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt

from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.identities import GET_SECRET, SET_SECRET, Directory, Identity
from deploy.sandbox.request_bodies import InvalidBodyError, read_json_object, reject_unknown_fields

AUDIENCE = "https://vault.azure.net"
# API versions that azure-keyvault-secrets 4.10 to 4.12 send.
VERSIONS = ("7.4", "7.5", "7.6", "2025-07-01", "2026-04-01")
PATH = re.compile(r"/secrets/(?P<name>[A-Za-z0-9-]{1,127})(?:/(?P<version>[0-9a-f]{32})?)?")
FIELDS = {"attributes", "contentType", "tags", "value"}


class VaultError(Exception):
    """An error response with its status, code and message."""

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
    """A vault with its secrets; the scope of its roles is its name."""

    def __init__(
        self, name: str, authority: CertificateAuthority, directory: Directory, entra: str
    ) -> None:
        self.name = name
        self._directory = directory
        self._entra = entra
        self._secrets: dict[str, list[Secret]] = {}
        self.server = HttpsServer(authority, self._serve)

    def set(self, name: str, value: str) -> Secret:
        """Add a version of a secret without a permission check."""
        return self._add(Secret(name, value))

    def reference(self, name: str) -> str:
        """Return the reference to a secret's newest version for an app setting."""
        return f"@Microsoft.KeyVault(SecretUri={self.server.url}/secrets/{name})"

    def read(self, identity: Identity, name: str, version: str = "") -> Secret:
        """Return a secret, by default its newest version. Raise `VaultError`."""
        self._may(identity, GET_SECRET, name)
        versions = self._secrets.get(name.lower(), [])
        matches = [secret for secret in versions if version in ("", secret.version)]
        if not matches:
            text = (
                f"A secret with (name/id) {name} was not found in this key vault. If you recently "
                "deleted this secret you may be able to recover it using the correct recovery "
                "command. For help resolving this issue, please see "
                "https://go.microsoft.com/fwlink/?linkid=2125182"
            )
            raise VaultError(404, "SecretNotFound", text)
        return matches[-1]

    def reset(self) -> None:
        """Remove all secrets, and forget recorded requests."""
        self._secrets.clear()
        self.server.reset()

    def _serve(self, exchange: Exchange) -> None:
        match = PATH.fullmatch(exchange.path)
        version = exchange.query.get("api-version", [""])[0]
        if not match or version not in VERSIONS or exchange.method not in ("GET", "PUT"):
            self.server.reject_unknown(exchange, f"vault {self.name}")
            return
        try:
            identity = self._directory.read(exchange.bearer_token(), AUDIENCE)
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
                secret = self.read(identity, match["name"], match["version"] or "")
            else:
                secret = self._write_secret(exchange, identity, match["name"])
        except VaultError as refused:
            exchange.answer(refused.status, refused.content)
        except InvalidBodyError as error:
            self.server.unexpected.append(f"vault {self.name}: {error}")
            exchange.answer(400, {"error": {"code": "BadParameter", "message": str(error)}})
        else:
            exchange.answer(200, self._document(secret))

    def _write_secret(self, exchange: Exchange, identity: Identity, name: str) -> Secret:
        self._may(identity, SET_SECRET, name)
        body = read_json_object(exchange)
        reject_unknown_fields(body, FIELDS, "a secret")
        if not isinstance(body.get("value"), str):
            raise InvalidBodyError("a secret without a value")
        return self._add(Secret(name, body["value"], tags=body.get("tags") or {}))

    def _add(self, secret: Secret) -> Secret:
        self._secrets.setdefault(secret.name.lower(), []).append(secret)
        return secret

    def _may(self, identity: Identity, action: str, name: str) -> None:
        if not identity.has_permission(action, self.name):
            text = (
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, "
                "deny assignments or role definitions were changed recently, please observe "
                "propagation time.\r\nCaller: "
                f"appid={identity.client_id};oid={identity.object_id}\r\nAction: '{action}'\r\n"
                f"Resource: '/secrets/{name}'\r\nAssignment: (not found)\r\nVault: {self.name}"
            )
            raise VaultError(403, "Forbidden", text, "ForbiddenByRbac")

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
