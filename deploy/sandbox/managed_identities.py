"""The managed identities of a resource: as requested in a body, and as assigned.

Documented: "What are managed identities for Azure resources?". Assumed: assigning an identity needs
no permission on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.identities import Directory, Identity
from deploy.sandbox.request_bodies import InvalidBodyError

IDENTITY_TYPES = {"SystemAssigned", "UserAssigned"}


class IdentityNotFoundError(Exception):
    """An identity to assign does not exist; the message is its resource id."""


@dataclass
class ManagedIdentities:
    """The system-assigned identity of a resource, and user-assigned ones by resource id."""

    system: Identity | None = None
    assigned: dict[str, Identity] = field(default_factory=dict)

    @property
    def all_identities(self) -> list[Identity]:
        """All identities, the system-assigned one first."""
        return [*([self.system] if self.system else []), *self.assigned.values()]

    def document(self, tenant: str) -> dict[str, Any]:
        """Return the identities in the form of a response's body."""
        kinds = ["SystemAssigned"] * bool(self.system) + ["UserAssigned"] * bool(self.assigned)
        body: dict[str, Any] = {"type": ",".join(kinds)}
        if self.system:
            body |= {"principalId": self.system.object_id, "tenantId": tenant}
        if self.assigned:
            body["userAssignedIdentities"] = {
                id: {"principalId": identity.object_id, "clientId": identity.client_id}
                for id, identity in self.assigned.items()
            }
        return body


def parse_identity_types(text: str) -> list[str]:
    """Return the types of identity in the `type` of a body. Raise `InvalidBodyError`."""
    types = [kind.strip() for kind in text.split(",")]
    if not set(types) <= IDENTITY_TYPES:
        raise InvalidBodyError(f"the identity {text}")
    return types


def resolve_assigned_identities(
    directory: Directory, body: Mapping[str, Any]
) -> dict[str, Identity]:
    """Return the identities that a body assigns, by resource id.

    Raise `IdentityNotFoundError` or `InvalidBodyError`.
    """
    identities = {}
    for id in body.get("userAssignedIdentities") or {}:
        identity = directory.find_by_name(id.rpartition("/")[2])
        if identity is None:
            raise IdentityNotFoundError(id)
        identities[id] = identity
    if not identities:
        raise InvalidBodyError("UserAssigned without an identity")
    return identities
