"""Parts of an environment's infrastructure, as values: for the request and for the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.infra.resource_types import ResourceType


@dataclass(frozen=True)
class Setting:
    """A property that a resource must have, and why."""

    # The property's place in the resource's JSON, with dots: `properties.publicNetworkAccess`.
    path: str
    value: Any
    why: str


@dataclass(frozen=True)
class Resource:
    """A resource that the environment requires."""

    kind: ResourceType
    # The name, with the names of its parents before it, separated by slashes.
    name: str
    id: str
    sku: str
    why: str
    settings: tuple[Setting, ...] = ()
    # The id of the user-assigned identity that the resource must have; empty for none.
    identity: str = ""

    @property
    def title(self) -> str:
        """Return the type and the name, for messages: `registries crflows`."""
        return f"{self.kind.rpartition('/')[2]} {self.name}"


@dataclass(frozen=True)
class RoleAssignment:
    """A role of an identity on a resource, and why the identity needs it."""

    # The name of the identity.
    principal: str
    role: str
    # The id of a resource or of the resource group.
    scope: str
    why: str


@dataclass(frozen=True)
class NetworkFlow:
    """A connection that the network must allow, by TLS on port 443, and why."""

    source: str
    target: str
    why: str


@dataclass(frozen=True)
class Quota:
    """A quota of the subscription in the region."""

    name: str
    amount: int
    unit: str
    # How the amount was calculated.
    why: str


@dataclass(frozen=True)
class Secret:
    """A secret: its name, where it is stored, and the flow that reads it."""

    name: str
    store: str
    reader: str
