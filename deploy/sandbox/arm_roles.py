"""Role assignments, read-only: which roles identities have on a resource.

Documented: REST API of Azure role-based access control ("Role Assignments - List For Scope": the
filters atScope(), principalId eq and assignedTo()), "Azure built-in roles" (ids), "List Azure role
assignments using the REST API".
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from deploy.sandbox.arm import GROUP, ResourceManager
from deploy.sandbox.arm_errors import ArmError, authorization_error
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import (
    ACR_PULL,
    ACR_PUSH,
    CONTRIBUTOR,
    DATA_SCIENTIST,
    GROUP_SCOPE,
    IMPORTER,
    READER,
    SECRETS_OFFICER,
    SECRETS_USER,
    SUBSCRIPTION_SCOPE,
    WEBSITE_CONTRIBUTOR,
    Directory,
    Identity,
    list_scopes,
)

PROVIDER = "/providers/Microsoft.Authorization"
ACTION = "Microsoft.Authorization/roleAssignments/read"
VERSIONS = ("2022-04-01",)
LIST = re.compile(rf"(?P<scope>.*){PROVIDER}/roleAssignments", re.IGNORECASE)
RESOURCE = re.compile(
    rf"/resourceGroups/{GROUP}(?:/providers/(?P<kind>[^/]+/[^/]+)/(?P<name>[^/]+))?", re.IGNORECASE
)
FILTER = re.compile(
    r"(?P<at>atScope\(\))?(?: and )?"
    r"(?:principalId eq '(?P<principal>[^']+)'|assignedTo\('(?P<assigned>[^']+)'\))?"
)
ROLE_IDS = {
    ACR_PULL: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    ACR_PUSH: "8311e382-0749-4cb8-b61a-304f252e45ec",
    CONTRIBUTOR: "b24988ac-6180-42a0-ab88-20f7382dd24c",
    READER: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    DATA_SCIENTIST: "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    WEBSITE_CONTRIBUTOR: "de139f84-1756-47ae-9be6-808fbbe84772",
    SECRETS_USER: "4633458b-17de-408a-b874-0445c86b69e6",
    SECRETS_OFFICER: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    # Assumed: the emulator's own.
    IMPORTER: "577a9874-89fd-4f24-9dbd-b5034d0ad23a",
}
RESOURCE_TYPES = {
    "microsoft.containerregistry/registries": "Microsoft.ContainerRegistry/registries",
    "microsoft.keyvault/vaults": "Microsoft.KeyVault/vaults",
    "microsoft.machinelearningservices/workspaces": "Microsoft.MachineLearningServices/workspaces",
    "microsoft.web/serverfarms": "Microsoft.Web/serverfarms",
    "microsoft.web/sites": "Microsoft.Web/sites",
}


class RoleAssignments:
    """The provider of role assignments."""

    def __init__(self, arm: ResourceManager, directory: Directory) -> None:
        self._arm = arm
        self._directory = directory

    def can_serve(self, path: str) -> bool:
        """Return whether `path` belongs to this provider."""
        return PROVIDER.lower() in path.lower()

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer the request of the identity `who`. Raise `ArmError`."""
        self._arm.version(exchange, *VERSIONS)
        match = LIST.fullmatch(path)
        scope = _parse_scope(match["scope"]) if match else None
        if exchange.method != "GET" or not match or scope is None:
            raise self._arm.record_unknown_request(exchange)
        if not who.has_permission(ACTION, scope):
            raise authorization_error(who, ACTION, match["scope"])
        text = exchange.query.get("$filter", [""])[0]
        filters = FILTER.fullmatch(text)
        if not filters:
            self._arm.server.unexpected.append(f"ARM: the filter {text}")
            raise ArmError(400, "UnsupportedQuery", f"The filter '{text}' is not supported.")
        principal = filters["principal"] or filters["assigned"]
        rows = [
            self._assignment_document(identity, role, role_scope, match["scope"])
            for identity in self._directory.list_identities()
            for role_scope in list_scopes(scope)
            for role in sorted(identity.roles.get(role_scope, ()))
            if principal in (None, identity.object_id)
        ]
        exchange.answer(200, {"value": rows})

    def _assignment_document(
        self, identity: Identity, role: str, role_scope: str, requested_scope: str
    ) -> dict[str, Any]:
        subscription = f"/subscriptions/{self._arm.subscription}"
        parent_scopes = {SUBSCRIPTION_SCOPE: "", GROUP_SCOPE: f"/resourceGroups/{GROUP}"}
        scope = subscription + parent_scopes.get(role_scope, requested_scope)
        name = str(uuid.uuid5(uuid.UUID(identity.object_id), f"{scope} {role}"))
        definition = f"{subscription}{PROVIDER}/roleDefinitions/{ROLE_IDS[role]}"
        return {
            "id": f"{scope}{PROVIDER}/roleAssignments/{name}",
            "name": name,
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "scope": scope,
                "roleDefinitionId": definition,
                "principalId": identity.object_id,
                "principalType": "ServicePrincipal",
            },
        }


def _parse_scope(path: str) -> str | None:
    """Return the name of a scope, None for a resource that is not emulated."""
    if not path:
        return SUBSCRIPTION_SCOPE
    match = RESOURCE.fullmatch(path)
    if not match:
        return None
    if not match["name"]:
        return GROUP_SCOPE
    return str(match["name"]) if match["kind"].lower() in RESOURCE_TYPES else None
