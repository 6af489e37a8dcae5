"""Who there is in the emulated tenant, what each may do, and the tokens that say so.

Documented: Microsoft Learn, "Azure Container Registry roles directory reference" (actions of the
roles), "Access token claims reference" (aud, iss, appid, oid, tid), "Workload identity federation".
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt

from tests.emulator.certificates import Authority

PULL = "Microsoft.ContainerRegistry/registries/pull/read"
PUSH = "Microsoft.ContainerRegistry/registries/push/write"
READ = "Microsoft.ContainerRegistry/registries/read"
IMPORT = "Microsoft.ContainerRegistry/registries/importImage/action"

ACR_PULL = "AcrPull"
ACR_PUSH = "AcrPush"
READER = "Reader"
CONTRIBUTOR = "Contributor"
IMPORTER = "Container Registry Data Importer and Data Reader"

ROLES = {
    ACR_PULL: {PULL},
    ACR_PUSH: {PULL, PUSH},
    READER: {READ, PULL},
    # Recorded: Azure/acr, issue 281.
    IMPORTER: {READ, PULL, IMPORT},
    CONTRIBUTOR: {READ, PULL, PUSH, IMPORT},
}

# Of GitHub Actions ("About security hardening with OpenID Connect").
CI_ISSUER = "https://token.actions.githubusercontent.com"
FEDERATED_AUDIENCE = "api://AzureADTokenExchange"
# Entra's default is 60 to 90 minutes.
TOKEN_SECONDS = 3600.0


@dataclass
class Identity:
    """An application with one federated credential.

    `roles` has the names of its roles for each registry's name.
    """

    name: str
    subject: str
    roles: dict[str, set[str]] = field(default_factory=dict)
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def give(self, registry: str, *roles: str) -> None:
        """Assign roles on `registry`."""
        for role in roles:
            ROLES[role]  # A role that there is not fails here, not as a denial.
        self.roles.setdefault(registry, set()).update(roles)

    def take(self, registry: str, *roles: str) -> None:
        """Remove roles on `registry`. Tokens that were issued keep what they say."""
        self.roles.get(registry, set()).difference_update(roles)

    def may(self, action: str, registry: str) -> bool:
        """Whether one of its roles on `registry` has `action`."""
        return any(action in ROLES[role] for role in self.roles.get(registry, ()))


class Directory:
    """A tenant: its identities, the keys of its token service, and of the CI that it trusts."""

    def __init__(self, authority: Authority) -> None:
        self.tenant = str(uuid.uuid4())
        self._key = authority.signing_key(f"https://sts.windows.net/{self.tenant}/")
        self._ci = authority.signing_key(CI_ISSUER)
        self._identities: dict[str, Identity] = {}

    def add(self, name: str, subject: str = "repo:contoso/flows:environment:prod") -> Identity:
        """Register an application that CI may act as where its token is for `subject`."""
        made = Identity(name, subject)
        self._identities[made.client_id] = made
        return made

    def clear(self) -> None:
        """Forget every identity."""
        self._identities.clear()

    def find(self, client_id: str) -> Identity | None:
        """Return the application of this id."""
        return self._identities.get(client_id)

    def federated_token(self, identity: Identity, lifetime: float = 300, **claims: Any) -> str:
        """Return what CI hands to a job that runs as `identity`. `claims` replace the right ones."""
        about = {"sub": identity.subject, "aud": FEDERATED_AUDIENCE}
        return self._ci.sign({**about, **claims}, lifetime)

    def read_federated(self, token: str) -> dict[str, Any]:
        """Return the claims of a token of CI. Raises `jwt.InvalidTokenError`."""
        return self._ci.read(token, FEDERATED_AUDIENCE)

    def issue(self, identity: Identity, audience: str, lifetime: float = TOKEN_SECONDS) -> str:
        """Return an access token of Entra for `audience`."""
        about = {
            "aud": audience,
            "appid": identity.client_id,
            "idtyp": "app",
            "oid": identity.object_id,
            "sub": identity.object_id,
            "tid": self.tenant,
            "ver": "1.0",
        }
        return self._key.sign(about, lifetime)

    def read(self, token: str, audience: str) -> Identity:
        """Return who an access token for `audience` is of. Raises `jwt.InvalidTokenError`."""
        claims = self._key.read(token, audience)
        found = self._identities.get(claims["appid"])
        if found is None:
            raise jwt.InvalidTokenError("the application was removed")
        return found
