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
from deploy.sandbox.arm_errors import require_permission
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import (
    GROUP_SCOPE,
    ROLES,
    SUBSCRIPTION_SCOPE,
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
RESOURCE_TYPES = {
    "microsoft.containerregistry/registries",
    "microsoft.keyvault/vaults",
    "microsoft.machinelearningservices/workspaces",
    "microsoft.web/serverfarms",
    "microsoft.web/sites",
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
        require_permission(who, ACTION, scope, match["scope"])
        text = exchange.query.get("$filter", [""])[0]
        filters = FILTER.fullmatch(text)
        if not filters:
            raise self._arm.record_unknown_filter(text)
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
        definition = f"{subscription}{PROVIDER}/roleDefinitions/{ROLES[role]['id']}"
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
