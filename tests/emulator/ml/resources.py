"""Endpoints and deployments: what is known of them, and how they are written down.

Recorded (tests of azure-sdk-for-python, `online_services`): the fields of both, that `scoringUri` is
null until the endpoint is there, `AzureAsyncOperationUri` among the properties.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.managed_identities import Managed
from tests.emulator.ml.bodies import with_defaults
from tests.emulator.ml.instance import Instance
from tests.emulator.ml.operations import Operation, now

PROVIDER = "Microsoft.MachineLearningServices"
DRAIN_SECONDS = 30


def new_key() -> str:
    """Return a key of an endpoint."""
    return secrets.token_urlsafe(24)


@dataclass
class Resource:
    """What endpoints and deployments have in common."""

    id: str
    name: str
    creator: str
    location: str
    state: str = "Creating"
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    operation: Operation | None = None
    operation_url: str = ""
    created: str = field(default_factory=now)
    modified: str = field(default_factory=now)

    @property
    def is_busy(self) -> bool:
        """Whether an operation on it is under way."""
        return self.operation is not None and not self.operation.done.is_set()

    def begin(self, operation: Operation, url: str, state: str) -> None:
        """Note an operation that has begun."""
        self.operation, self.operation_url, self.state = operation, url, state
        self.modified = now()

    def head(self, kind: str) -> dict[str, Any]:
        """Return what the document of any resource has."""
        by = {"createdBy": self.creator, "createdByType": "Application"}
        changed = {"lastModifiedBy": self.creator, "lastModifiedByType": "Application"}
        return {
            "id": self.id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/{kind}",
            "location": self.location,
            "kind": "Managed",
            "tags": self.tags,
            "systemData": {
                "createdAt": self.created,
                **by,
                "lastModifiedAt": self.modified,
                **changed,
            },
        }


@dataclass
class Deployment(Resource):
    """A deployment; `instances` are those that serve, which an update replaces when it is ready."""

    capacity: int = 1
    instances: list[Instance] = field(default_factory=list)
    logs: str = ""
    mirrored: int = 0
    in_flight: int = 0
    _turn: int = 0
    _idle: threading.Condition = field(default_factory=threading.Condition)

    @property
    def serves(self) -> bool:
        """Whether there is anything that could answer."""
        return bool(self.instances)

    @property
    def most_in_flight(self) -> int:
        """How many requests may be in work at a time (documented: status 429)."""
        settings = with_defaults(self.properties)["requestSettings"]
        return 2 * int(settings["maxConcurrentRequestsPerInstance"]) * self.capacity

    @contextmanager
    def use(self) -> Iterator[Instance | None]:
        """Take the next instance inside of the block; None if there are too many requests."""
        with self._idle:
            if self.in_flight >= self.most_in_flight:
                chosen = None
            else:
                ready = [one for one in self.instances if one.ready] or self.instances
                self._turn += 1
                chosen = ready[self._turn % len(ready)]
                chosen.in_flight += 1
                self.in_flight += 1
        try:
            yield chosen
        finally:
            if chosen:
                with self._idle:
                    chosen.in_flight -= 1
                    self.in_flight -= 1
                    self._idle.notify_all()

    def replace(self, instances: list[Instance]) -> list[Instance]:
        """Let `instances` serve from now on; return those that did, for `retire`."""
        with self._idle:
            before, self.instances = self.instances, instances
        return [one for one in before if one not in instances]

    def retire(self, instances: list[Instance]) -> None:
        """Remove instances once they have answered what they were asked."""
        with self._idle:
            self._idle.wait_for(lambda: not any(one.in_flight for one in instances), DRAIN_SECONDS)
        for instance in instances:
            instance.close()

    def document(self) -> dict[str, Any]:
        """Return it as a body."""
        return {
            **self.head("onlineEndpoints/deployments"),
            "properties": {
                **with_defaults(self.properties),
                "properties": {
                    **(self.properties.get("properties") or {}),
                    "AzureAsyncOperationUri": self.operation_url,
                },
                "provisioningState": self.state,
            },
            "sku": {"name": "Default", "tier": "Standard", "capacity": self.capacity},
        }


@dataclass
class Endpoint(Resource):
    """An endpoint, with its deployments; `url` is where it is scored, once it is there."""

    tenant: str = ""
    managed: Managed = field(default_factory=Managed)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    keys: list[str] = field(default_factory=lambda: [new_key(), new_key()])
    url: str = ""
    # The shares and the copies that it was given, in their order.
    history: list[tuple[dict[str, int], dict[str, int]]] = field(default_factory=list)

    @property
    def auth_mode(self) -> str:
        """Key, AMLToken or AADToken."""
        return str(self.properties["authMode"])

    @property
    def traffic(self) -> dict[str, int]:
        """The share of each deployment, in percent."""
        return dict(self.properties.get("traffic") or {})

    @property
    def mirror(self) -> dict[str, int]:
        """The share that each deployment gets a copy of, in percent."""
        return dict(self.properties.get("mirrorTraffic") or {})

    @property
    def lasting(self) -> list[str]:
        """The deployments that are not being deleted."""
        return [name for name, one in self.deployments.items() if one.state != "Deleting"]

    def forget(self, deployment: str) -> None:
        """Have a deployment no more, nor a share for it (assumed)."""
        self.deployments.pop(deployment, None)
        for shares in ("traffic", "mirrorTraffic"):
            (self.properties.get(shares) or {}).pop(deployment, None)

    def document(self) -> dict[str, Any]:
        """Return it as a body."""
        return {
            **self.head("onlineEndpoints"),
            "identity": self.managed.document(self.tenant),
            "properties": {
                "description": self.properties.get("description"),
                "authMode": self.auth_mode,
                "traffic": self.traffic,
                "mirrorTraffic": self.mirror,
                "publicNetworkAccess": self.properties.get("publicNetworkAccess") or "Enabled",
                "compute": None,
                "provisioningState": self.state,
                "scoringUri": f"{self.url}/score" if self.url else None,
                "swaggerUri": f"{self.url}/swagger.json" if self.url else None,
                "properties": {
                    **(self.properties.get("properties") or {}),
                    "azureml.onlineendpointid": self.id.lower(),
                    "AzureAsyncOperationUri": self.operation_url,
                },
            },
        }
