"""Who there is in the emulated tenant, what each may do, and the tokens that say so.

Documented: Microsoft Learn, "Azure Container Registry roles directory reference" and "Azure built-in
roles" for AI + machine learning, web and mobile, security (actions of the roles), "Access token claims reference" (aud, iss,
appid, oid, tid), "Workload identity federation", "Understand scope for Azure RBAC".
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import jwt

from tests.emulator.certificates import Authority

PULL = "Microsoft.ContainerRegistry/registries/pull/read"
PUSH = "Microsoft.ContainerRegistry/registries/push/write"
READ = "Microsoft.ContainerRegistry/registries/read"
IMPORT = "Microsoft.ContainerRegistry/registries/importImage/action"
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

# The actions of each role, as patterns.
ROLES = {
    ACR_PULL: {PULL},
    ACR_PUSH: {PULL, PUSH},
    READER: {"*/read"},
    # Recorded: Azure/acr, issue 281.
    IMPORTER: {READ, PULL, IMPORT},
    # Without those on the workspace itself.
    DATA_SCIENTIST: {
        "Microsoft.MachineLearningServices/workspaces/read",
        *(
            f"Microsoft.MachineLearningServices/workspaces/*/{verb}"
            for verb in ("read", "write", "action", "delete")
        ),
    },
    WEBSITE_CONTRIBUTOR: {
        "Microsoft.Web/serverfarms/join/action",
        "Microsoft.Web/serverfarms/read",
        "Microsoft.Web/sites/*",
    },
    CONTAINER_APPS_CONTRIBUTOR: {
        "Microsoft.App/containerApps/*",
        "Microsoft.App/managedEnvironments/join/action",
        "Microsoft.App/managedEnvironments/read",
    },
    IDENTITY_OPERATOR: {
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    },
    SECRETS_USER: {GET_SECRET},
    SECRETS_OFFICER: {"Microsoft.KeyVault/vaults/secrets/*"},
    # Not the secrets in a vault, nor who may what.
    CONTRIBUTOR: {
        "*/read",
        PUSH,
        IMPORT,
        "Microsoft.MachineLearningServices/*",
        "Microsoft.Insights/*",
        "Microsoft.Web/*",
        "Microsoft.App/*",
        "Microsoft.ManagedIdentity/*",
    },
}

# What the scopes that have others below them are called in `Identity.roles`.
GROUP_SCOPE = "group"
SUBSCRIPTION_SCOPE = "subscription"

# Of GitHub Actions ("About security hardening with OpenID Connect").
CI_ISSUER = "https://token.actions.githubusercontent.com"
FEDERATED_AUDIENCE = "api://AzureADTokenExchange"
# A token that ends while a request is on its way still holds (assumed; real services give minutes).
GRACE_SECONDS = 3
# Entra's default is 60 to 90 minutes.
TOKEN_SECONDS = 3600.0


@dataclass
class Identity:
    """An application with one federated credential, or a managed identity.

    `roles` has the names of its roles for each scope: the name of a registry, workspace, site, plan or
    vault, `group` and `subscription`, whose roles go down to all that is in them.
    """

    name: str
    subject: str
    roles: dict[str, set[str]] = field(default_factory=dict)
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def give(self, scope: str, *roles: str) -> None:
        """Assign roles on `scope`."""
        for role in roles:
            ROLES[role]  # A role that there is not fails here, not as a denial.
        self.roles.setdefault(scope, set()).update(roles)

    def take(self, scope: str, *roles: str) -> None:
        """Remove roles on `scope`. Tokens that were issued keep what they say."""
        self.roles.get(scope, set()).difference_update(roles)

    def may(self, action: str, scope: str) -> bool:
        """Whether one of its roles on `scope`, or above it, has `action`."""
        return any(
            fnmatchcase(action, pattern)
            for place in scopes(scope)
            for role in self.roles.get(place, ())
            for pattern in ROLES[role]
        )


def scopes(scope: str) -> list[str]:
    """Return `scope` and those above it."""
    above = [GROUP_SCOPE, SUBSCRIPTION_SCOPE]
    return above[above.index(scope) :] if scope in above else [scope, *above]


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

    def remove(self, identity: Identity) -> None:
        """Forget one identity: its tokens hold no more."""
        self._identities.pop(identity.client_id, None)

    def find_object(self, object_id: str) -> Identity | None:
        """Return the identity of this object id."""
        every = list(self._identities.values())
        return next((one for one in every if one.object_id == object_id), None)

    def everybody(self) -> list[Identity]:
        """Return every identity."""
        return list(self._identities.values())

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
        claims = self._key.read(token, audience, GRACE_SECONDS)
        found = self._identities.get(claims["appid"])
        if found is None:
            raise jwt.InvalidTokenError("the application was removed")
        return found
