"""The identities of the emulated tenant, their roles, and the tokens that prove who they are.

Documented: Microsoft Learn, "Azure Container Registry roles directory reference" and "Azure
built-in roles" for AI + machine learning, web and mobile, security (actions of the roles), "Access
token claims reference" (aud, iss, appid, oid, tid), "Workload identity federation", "Understand
scope for Azure RBAC".
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jwt
from ruamel.yaml import YAML

from deploy.sandbox.certificates import CertificateAuthority

PULL_ACTION = "Microsoft.ContainerRegistry/registries/pull/read"
PUSH_ACTION = "Microsoft.ContainerRegistry/registries/push/write"
READ_REGISTRY_ACTION = "Microsoft.ContainerRegistry/registries/read"
IMPORT_ACTION = "Microsoft.ContainerRegistry/registries/importImage/action"
GET_SECRET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
SET_SECRET = "Microsoft.KeyVault/vaults/secrets/setSecret/action"

ACR_PULL = "AcrPull"
ACR_PUSH = "AcrPush"
READER = "Reader"
CONTRIBUTOR = "Contributor"
IMPORTER = "Container Registry Data Importer and Data Reader"
DATA_SCIENTIST = "AzureML Data Scientist"
WEBSITE_CONTRIBUTOR = "Website Contributor"
CONTAINER_APPS_CONTRIBUTOR = "Container Apps Contributor"
IDENTITY_OPERATOR = "Managed Identity Operator"
SECRETS_USER = "Key Vault Secrets User"
SECRETS_OFFICER = "Key Vault Secrets Officer"

ROLES: dict[str, dict[str, Any]] = YAML(typ="safe").load(Path(__file__).with_name("roles.yaml"))

# Names in `Identity.roles` of the scopes that contain other scopes.
GROUP_SCOPE = "group"
SUBSCRIPTION_SCOPE = "subscription"

# The issuer of GitHub Actions ("About security hardening with OpenID Connect").
CI_ISSUER = "https://token.actions.githubusercontent.com"
FEDERATED_AUDIENCE = "api://AzureADTokenExchange"
# A token that expires while a request is on its way is still accepted (assumed; real services allow
# minutes).
GRACE_SECONDS = 3
# Entra's default is 60 to 90 minutes.
TOKEN_SECONDS = 3600.0


@dataclass
class Identity:
    """An application with one federated credential, or a managed identity."""

    name: str
    subject: str
    # Names of roles by scope: the name of a registry, workspace, site, plan or vault; or `group` or
    # `subscription`, whose roles apply to everything in them.
    roles: dict[str, set[str]] = field(default_factory=dict)
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def assign_roles(self, scope: str, *roles: str) -> None:
        """Assign roles on `scope`."""
        assert set(roles) <= set(ROLES), f"unknown roles: {roles}"
        self.roles.setdefault(scope, set()).update(roles)

    def remove_roles(self, scope: str, *roles: str) -> None:
        """Remove roles on `scope`. Tokens issued before keep their claims."""
        self.roles.get(scope, set()).difference_update(roles)

    def has_permission(self, action: str, scope: str) -> bool:
        """Return whether one of its roles on `scope`, or on a scope above, allows `action`."""
        return any(
            fnmatchcase(action, pattern)
            for place in list_scopes(scope)
            for role in self.roles.get(place, ())
            for pattern in ROLES[role]["actions"]
        )


def list_scopes(scope: str) -> list[str]:
    """Return `scope` and the scopes above it."""
    above = [GROUP_SCOPE, SUBSCRIPTION_SCOPE]
    return above[above.index(scope) :] if scope in above else [scope, *above]


class Directory:
    """A tenant: its identities, and the keys of its token service and of the trusted CI system."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self.tenant = str(uuid.uuid4())
        self._key = authority.signing_key(f"https://sts.windows.net/{self.tenant}/")
        self._ci = authority.signing_key(CI_ISSUER)
        self._identities: dict[str, Identity] = {}

    def add(self, name: str, subject: str = "repo:contoso/flows:environment:prod") -> Identity:
        """Register an application that CI may act as with a token for `subject`."""
        identity = Identity(name, subject)
        self._identities[identity.client_id] = identity
        return identity

    def clear(self) -> None:
        """Remove all identities."""
        self._identities.clear()

    def remove(self, identity: Identity) -> None:
        """Remove an identity: its tokens are no longer accepted."""
        self._identities.pop(identity.client_id, None)

    def find_by_name(self, name: str) -> Identity | None:
        """Return the identity with this name, None if there is none."""
        return next((who for who in self._identities.values() if who.name == name), None)

    def list_identities(self) -> list[Identity]:
        """Return all identities."""
        return list(self._identities.values())

    def find(self, client_id: str) -> Identity | None:
        """Return the application with this client id, None if there is none."""
        return self._identities.get(client_id)

    def issue_federated_token(
        self, identity: Identity, lifetime: float = 300, **claims: Any
    ) -> str:
        """Return the token that CI gives to a job of `identity`. `claims` override the defaults."""
        defaults = {"sub": identity.subject, "aud": FEDERATED_AUDIENCE}
        return self._ci.sign({**defaults, **claims}, lifetime)

    def verify_federated_token(self, token: str) -> dict[str, Any]:
        """Return the claims of a token of CI. Raise `jwt.InvalidTokenError`."""
        return self._ci.read(token, FEDERATED_AUDIENCE)

    def issue(self, identity: Identity, audience: str, lifetime: float = TOKEN_SECONDS) -> str:
        """Return an access token of Entra for `audience`."""
        claims = {
            "aud": audience,
            "appid": identity.client_id,
            "idtyp": "app",
            "oid": identity.object_id,
            "sub": identity.object_id,
            "tid": self.tenant,
            "ver": "1.0",
        }
        return self._key.sign(claims, lifetime)

    def read(self, token: str, audience: str) -> Identity:
        """Return the identity of an access token for `audience`. Raise `jwt.InvalidTokenError`."""
        claims = self._key.read(token, audience, GRACE_SECONDS)
        identity = self._identities.get(claims["appid"])
        if identity is None:
            raise jwt.InvalidTokenError("the application was removed")
        return identity
