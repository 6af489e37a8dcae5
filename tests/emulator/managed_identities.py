"""The managed identities of a resource: those that a request asks for, and those that it has.

Documented: "What are managed identities for Azure resources?". Assumed: assigning an identity needs no
right on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.bodies import UnknownError
from tests.emulator.identities import Directory, Identity

KINDS = {"SystemAssigned", "UserAssigned"}


class MissingError(Exception):
    """An identity that is to be assigned does not exist; its resource id."""


@dataclass
class Managed:
    """Who a resource is: the identity that goes with it, and others by their resource ids."""

    system: Identity | None = None
    assigned: dict[str, Identity] = field(default_factory=dict)

    @property
    def everyone(self) -> list[Identity]:
        """All of them, its own first."""
        return [*([self.system] if self.system else []), *self.assigned.values()]

    def document(self, tenant: str) -> dict[str, Any]:
        """Return them as a body has them."""
        kinds = ["SystemAssigned"] * bool(self.system) + ["UserAssigned"] * bool(self.assigned)
        made: dict[str, Any] = {"type": ",".join(kinds)}
        if self.system:
            made |= {"principalId": self.system.object_id, "tenantId": tenant}
        if self.assigned:
            made["userAssignedIdentities"] = {
                id: {"principalId": one.object_id, "clientId": one.client_id}
                for id, one in self.assigned.items()
            }
        return made


def kinds(given: str) -> list[str]:
    """Return the kinds of identity in the `type` of a body. Raises `UnknownError`."""
    found = [kind.strip() for kind in given.split(",")]
    if not set(found) <= KINDS:
        raise UnknownError(f"the identity {given}")
    return found


def assigned(directory: Directory, given: Mapping[str, Any]) -> dict[str, Identity]:
    """Return the identities that a body assigns. Raises `MissingError`, `UnknownError`."""
    found = {}
    for id in given.get("userAssignedIdentities") or {}:
        name = id.rpartition("/")[2]
        identity = next((one for one in directory.everybody() if one.name == name), None)
        if identity is None:
            raise MissingError(id)
        found[id] = identity
    if not found:
        raise UnknownError("UserAssigned without an identity")
    return found
