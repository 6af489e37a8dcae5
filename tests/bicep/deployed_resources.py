"""An emulated Azure with the resources that a deployment of Bicep creates, to be read one at a time.

Documented: Azure Resource Manager, "Resources - Get By Id"; REST API of Azure role-based access
control ("Role Assignments - List For Scope", principalId eq: assignments at, above and below the
scope); of managed identities ("Federated Identity Credentials - List"). Assumed: a resource is read
as it was written.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.sandbox.arm import ResourceManager
from deploy.sandbox.arm_errors import not_found_error, require_permission
from deploy.sandbox.azure import Azure
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import GROUP_SCOPE, Identity
from tests.bicep.evaluate import Made

GROUP_PATH = re.compile(r"/resourceGroups/(?P<group>[^/]+)(?P<rest>/.*)?", re.IGNORECASE)
ROLE_ASSIGNMENT_TYPE = "Microsoft.Authorization/roleAssignments"
ROLES_VERSION = "2022-04-01"
FEDERATED = "federatedIdentityCredentials"
PRINCIPAL_FILTER = re.compile(r"principalId eq '(?P<principal>[^']+)'")
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"


@dataclass
class StoredResource:
    """An existing resource."""

    id: str
    kind: str
    # The API version to read it with.
    version: str
    body: dict[str, Any]


class BicepResources:
    """The provider of resource groups created from Bicep."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        # By resource id in lower case.
        self.resources: dict[str, StoredResource] = {}

    def add_resources(self, resources: Iterable[Made]) -> None:
        """Add the resources of an evaluated deployment."""
        for resource in resources:
            body = _resolve_principals(copy.deepcopy(dict(resource.body)))
            if resource.type == IDENTITY:
                body["properties"] = {
                    "principalId": derive_principal_id(resource.name),
                    "clientId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"client {resource.name}")),
                }
            if resource.type == ROLE_ASSIGNMENT_TYPE:
                body["properties"]["scope"] = resource.scope
            body |= {
                "id": resource.id,
                "name": resource.name.rpartition("/")[2],
                "type": resource.type,
            }
            self.resources[resource.id.lower()] = StoredResource(
                resource.id, resource.type, resource.version, body
            )
            self._arm.groups.add(resource.id.split("/")[4].lower())

    def reset(self) -> None:
        """Remove all resources."""
        self.resources.clear()
        self._arm.groups.clear()

    def get_resource(self, kind: str, part: str = "") -> StoredResource:
        """Return the only resource of `kind` whose id ends in `part`, for a test to modify."""
        (stored,) = [
            candidate
            for candidate in self.resources.values()
            if candidate.kind == kind and candidate.id.endswith(part)
        ]
        return stored

    def remove(self, stored: StoredResource) -> None:
        """Remove a resource."""
        del self.resources[stored.id.lower()]

    def can_serve(self, path: str) -> bool:
        """Return whether `path` is in a group that was added."""
        match = GROUP_PATH.fullmatch(path)
        return match is not None and match["group"].lower() in self._arm.groups

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer the request of the identity `who`. Raise `ArmError`."""
        if exchange.method != "GET":
            raise self._arm.record_unknown_request(exchange)
        id = f"/subscriptions/{self._arm.subscription}{path}"
        require_permission(who, "Microsoft.Resources/read", GROUP_SCOPE, id)
        owner, _, last = id.rpartition("/")
        if id.endswith(f"/providers/{ROLE_ASSIGNMENT_TYPE}"):
            self._roles(exchange, id.removesuffix(f"/providers/{ROLE_ASSIGNMENT_TYPE}"))
        elif last == FEDERATED and owner.lower() in self.resources:
            self._arm.version(exchange, self.resources[owner.lower()].version)
            exchange.answer(200, {"value": [child.body for child in self._list_children(id)]})
        elif id.lower() in self.resources:
            stored = self.resources[id.lower()]
            self._arm.version(exchange, stored.version)
            exchange.answer(200, stored.body)
        else:
            parts = owner.rpartition("/providers/")[2]
            raise not_found_error(parts, last, path.split("/")[2])

    def _roles(self, exchange: Exchange, scope: str) -> None:
        self._arm.version(exchange, ROLES_VERSION)
        text = exchange.query.get("$filter", [""])[0]
        match = PRINCIPAL_FILTER.fullmatch(text)
        if not match:
            raise self._arm.record_unknown_filter(text)
        assignments = [
            stored.body
            for stored in self.resources.values()
            if stored.kind == ROLE_ASSIGNMENT_TYPE
            and stored.body["properties"]["principalId"] == match["principal"]
            and _is_related_scope(stored.body["properties"]["scope"].lower(), scope.lower())
        ]
        exchange.answer(200, {"value": assignments})

    def _list_children(self, id: str) -> list[StoredResource]:
        return [
            resource for key, resource in self.resources.items() if key.startswith(f"{id}/".lower())
        ]


class BicepAzure(Azure):
    """An emulated Azure whose `infrastructure` comes from Bicep."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.infrastructure = BicepResources(self.arm)
        self.arm.providers.insert(0, self.infrastructure)

    def reset(self) -> None:
        """Remove the infrastructure as well."""
        super().reset()
        self.infrastructure.reset()


def derive_principal_id(name: str) -> str:
    """Return the object id of an identity created from Bicep."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"principal {name}"))


def _is_related_scope(scope: str, other_scope: str) -> bool:
    """Return whether two scopes are equal or one contains the other."""
    return (
        scope == other_scope
        or scope.startswith(f"{other_scope}/")
        or other_scope.startswith(f"{scope}/")
    )


def _resolve_principals(value: Any) -> Any:
    """Replace references to identities in evaluated Bicep by object ids."""
    if isinstance(value, dict):
        return {key: _resolve_principals(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolve_principals(inner) for inner in value]
    if isinstance(value, str) and value.startswith("principal of "):
        return derive_principal_id(value.removeprefix("principal of "))
    return value
