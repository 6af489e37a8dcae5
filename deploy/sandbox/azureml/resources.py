"""Endpoints and deployments: their state, and its form in responses.

Recorded (tests of azure-sdk-for-python, `online_services`): the fields of both; that `scoringUri`
is null until the endpoint exists; `AzureAsyncOperationUri` among the properties.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from deploy.sandbox.azureml.errors import conflict
from deploy.sandbox.azureml.instance import Instance
from deploy.sandbox.azureml.operations import Operation, format_now
from deploy.sandbox.azureml.request_bodies import add_defaults
from deploy.sandbox.managed_identities import ManagedIdentities

PROVIDER = "Microsoft.MachineLearningServices"


def generate_key() -> str:
    """Return a new key for an endpoint."""
    return secrets.token_urlsafe(24)


@dataclass
class Resource:
    """The common part of endpoints and deployments."""

    kind: ClassVar[str]
    id: str
    name: str
    creator: str
    location: str
    state: str = "Creating"
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    operation: Operation | None = None
    operation_url: str = ""
    created: str = field(default_factory=format_now)
    modified: str = field(default_factory=format_now)

    @property
    def is_busy(self) -> bool:
        """Whether an operation on it is in progress."""
        return self.operation is not None and not self.operation.done.is_set()

    def check_idle(self) -> None:
        """Raise `ArmError` if an operation on it is in progress."""
        if self.is_busy:
            raise conflict(self.id)

    def begin(self, operation: Operation, url: str, state: str) -> None:
        """Record an operation that has started."""
        self.operation, self.operation_url, self.state = operation, url, state
        self.modified = format_now()

    def head(self, kind: str) -> dict[str, Any]:
        """Return the fields that the documents of all resources have."""
        return {
            "id": self.id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/{kind}",
            "location": self.location,
            "kind": "Managed",
            "tags": self.tags,
            "systemData": {
                "createdAt": self.created,
                "createdBy": self.creator,
                "createdByType": "Application",
                "lastModifiedAt": self.modified,
                "lastModifiedBy": self.creator,
                "lastModifiedByType": "Application",
            },
        }


@dataclass
class Deployment(Resource):
    """A deployment. `instances` serve; an update replaces them when the new ones are ready."""

    kind = "deployment"
    capacity: int = 1
    instances: list[Instance] = field(default_factory=list)
    logs: str = ""
    mirrored: int = 0
    _turn: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_instances(self) -> bool:
        """Whether any instance can answer."""
        return bool(self.instances)

    @property
    def in_flight(self) -> int:
        """The number of requests in progress."""
        return sum(instance.in_flight for instance in self.instances)

    @property
    def max_in_flight(self) -> int:
        """The number of requests that may be in progress (documented: status 429)."""
        settings = add_defaults(self.properties)["requestSettings"]
        return 2 * int(settings["maxConcurrentRequestsPerInstance"]) * self.capacity

    @contextlib.contextmanager
    def use(self) -> Iterator[Instance | None]:
        """Yield the next instance, or None if there are too many requests, inside the block."""
        with contextlib.ExitStack() as stack:
            with self._lock:
                free = self.instances and self.in_flight < self.max_in_flight
                chosen = self._choose_instance() if free else None
                if chosen:
                    stack.enter_context(chosen.mark_in_use())
            yield chosen

    def replace(self, instances: list[Instance]) -> list[Instance]:
        """Let `instances` serve from now on; return the previous others, to be drained."""
        with self._lock:
            previous, self.instances = self.instances, instances
        return [instance for instance in previous if instance not in instances]

    def close(self) -> None:
        """Remove all instances once their requests in progress are answered."""
        for instance in self.replace([]):
            instance.drain()

    def _choose_instance(self) -> Instance:
        ready = [instance for instance in self.instances if instance.ready] or self.instances
        self._turn += 1
        return ready[self._turn % len(ready)]

    def document(self) -> dict[str, Any]:
        """Return the deployment in the form of a response's body."""
        return {
            **self.head("onlineEndpoints/deployments"),
            "properties": {
                **add_defaults(self.properties),
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
    """An endpoint with its deployments."""

    kind = "endpoint"
    tenant: str = ""
    managed: ManagedIdentities = field(default_factory=ManagedIdentities)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    keys: list[str] = field(default_factory=lambda: [generate_key(), generate_key()])
    # The scoring address, once the endpoint exists.
    url: str = ""
    # All traffic splits and mirror shares so far, in order.
    history: list[tuple[dict[str, int], dict[str, int]]] = field(default_factory=list)

    @property
    def auth_mode(self) -> str:
        """Key, AMLToken or AADToken."""
        return str(self.properties["authMode"])

    @property
    def traffic(self) -> dict[str, int]:
        """The traffic split: the share of each deployment, in percent."""
        return dict(self.properties.get("traffic") or {})

    @property
    def mirror(self) -> dict[str, int]:
        """The share of requests that is copied to each deployment, in percent."""
        return dict(self.properties.get("mirrorTraffic") or {})

    @property
    def remaining_deployments(self) -> list[str]:
        """The names of deployments that are not being deleted."""
        return [
            name for name, deployment in self.deployments.items() if deployment.state != "Deleting"
        ]

    def remove_deployment(self, deployment: str) -> None:
        """Remove a deployment and its share of traffic (assumed)."""
        self.deployments.pop(deployment, None)
        for shares in ("traffic", "mirrorTraffic"):
            (self.properties.get(shares) or {}).pop(deployment, None)

    def document(self) -> dict[str, Any]:
        """Return the endpoint in the form of a response's body."""
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
