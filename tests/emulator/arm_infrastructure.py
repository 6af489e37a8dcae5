"""What a deployment of Bicep leaves behind: resources that can be read, one by one.

Documented: Azure Resource Manager, "Resources - Get By Id"; REST API of Azure role-based access control
("Role Assignments - List For Scope", principalId eq: assignments at, above and below the scope); of
managed identities ("Federated Identity Credentials - List"). Assumed: that a resource says of itself what
was written.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.emulator.arm import ResourceManager
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.exchange import Exchange
from tests.emulator.identities import GROUP_SCOPE, Identity

GROUPS = re.compile(r"/resourceGroups/(?P<group>[^/]+)(?P<rest>/.*)?", re.IGNORECASE)
ROLES = "Microsoft.Authorization/roleAssignments"
ROLES_VERSION = "2022-04-01"
FEDERATED = "federatedIdentityCredentials"
BY_PRINCIPAL = re.compile(r"principalId eq '(?P<principal>[^']+)'")
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"


@dataclass
class Stored:
    """A resource as it is there; `version` is the one that it may be asked for with."""

    id: str
    kind: str
    version: str
    body: dict[str, Any]


class Infrastructure:
    """The provider of groups that were made from Bicep; `resources` are by their ids in lower case."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        self.resources: dict[str, Stored] = {}

    def deliver(self, resources: Iterable[Any]) -> None:
        """Let all of `resources` be there: what a deployment of Bicep makes (tests.bicep.evaluate)."""
        for one in resources:
            body = _filled(copy.deepcopy(dict(one.body)))
            if one.type == IDENTITY:
                body["properties"] = {
                    "principalId": principal_of(one.name),
                    "clientId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"client {one.name}")),
                }
            if one.type == ROLES:
                body["properties"]["scope"] = one.scope
            body |= {"id": one.id, "name": one.name.rpartition("/")[2], "type": one.type}
            self.resources[one.id.lower()] = Stored(one.id, one.type, one.version, body)
            self._arm.groups.add(one.id.split("/")[4].lower())

    def reset(self) -> None:
        """Be empty."""
        self.resources.clear()
        self._arm.groups.clear()

    def of(self, kind: str, part: str = "") -> Stored:
        """Return the one resource of `kind` whose id ends in `part`, to be spoilt by a test."""
        (found,) = [r for r in self.resources.values() if r.kind == kind and r.id.endswith(part)]
        return found

    def remove(self, stored: Stored) -> None:
        """Let a resource be gone."""
        del self.resources[stored.id.lower()]

    def serves(self, path: str) -> bool:
        """Whether `path` is in a group that was delivered."""
        found = GROUPS.fullmatch(path)
        group = (
            f"/subscriptions/{self._arm.subscription}/resourcegroups/{found['group']}"
            if found
            else ""
        )
        return any(
            id == group.lower() or id.startswith(f"{group}/".lower()) for id in self.resources
        )

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer. Raises `RefusedError`."""
        if exchange.method != "GET":
            raise self._arm.unknown(exchange)
        id = f"/subscriptions/{self._arm.subscription}{path}"
        action = "Microsoft.Resources/read"
        if not who.may(action, GROUP_SCOPE):
            raise unauthorized(who, action, id)
        owner, _, last = id.rpartition("/")
        if id.endswith(f"/providers/{ROLES}"):
            self._roles(exchange, id.removesuffix(f"/providers/{ROLES}"))
        elif last == FEDERATED and owner.lower() in self.resources:
            self._arm.version(exchange, self.resources[owner.lower()].version)
            exchange.answer(200, {"value": [one.body for one in self._below(id)]})
        elif id.lower() in self.resources:
            stored = self.resources[id.lower()]
            self._arm.version(exchange, stored.version)
            exchange.answer(200, stored.body)
        else:
            parts = owner.rpartition("/providers/")[2]
            raise not_found(parts, last, path.split("/")[2])

    def _roles(self, exchange: Exchange, scope: str) -> None:
        self._arm.version(exchange, ROLES_VERSION)
        text = exchange.query.get("$filter", [""])[0]
        chosen = BY_PRINCIPAL.fullmatch(text)
        if not chosen:
            self._arm.server.unexpected.append(f"ARM: the filter {text}")
            raise RefusedError(400, "UnsupportedQuery", f"The filter '{text}' is not supported.")
        found = [
            stored.body
            for stored in self.resources.values()
            if stored.kind == ROLES
            and stored.body["properties"]["principalId"] == chosen["principal"]
            and _related(stored.body["properties"]["scope"].lower(), scope.lower())
        ]
        exchange.answer(200, {"value": found})

    def _below(self, id: str) -> list[Stored]:
        return [one for key, one in self.resources.items() if key.startswith(f"{id}/".lower())]


def principal_of(name: str) -> str:
    """Return the object id of an identity that was made from Bicep."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"principal {name}"))


def _related(one: str, other: str) -> bool:
    """Whether one of two scopes is the other, or in it."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _filled(value: Any) -> Any:
    """Put real ids where the evaluated Bicep says whose they are."""
    if isinstance(value, dict):
        return {key: _filled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if isinstance(value, str) and value.startswith("principal of "):
        return principal_of(value.removeprefix("principal of "))
    return value
