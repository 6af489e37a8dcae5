"""What is there: a workspace, an endpoint, its deployments. Values only, read from Azure's JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.targets.azureml import naming

BUSY = frozenset({"Creating", "Updating", "Scaling", "Deleting", "Provisioning"})
BROKEN = frozenset({"Failed", "Canceled"})
READY = "Succeeded"
# Where the service tells what became of the operation that changed a resource last.
OPERATION = "AzureAsyncOperationUri"
AUTH = {"key": "key", "aadtoken": "entra", "amltoken": "amltoken"}

Probe = tuple[float, float, float, int, int]
"""Initial delay, period, timeout; successes and failures that count."""


@dataclass(frozen=True)
class Workspace:
    """`registry` is the id of the registry that belongs to it, empty where it has none."""

    id: str
    location: str
    registry: str


@dataclass(frozen=True)
class Endpoint:
    """`kind` is the identity's: SystemAssigned, UserAssigned; `principals` its object ids.

    `clients` maps the ids of user-assigned identities, in lower case, to their client ids.
    """

    name: str
    state: str
    auth: str
    kind: str
    principals: tuple[str, ...]
    clients: Mapping[str, str]
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    tags: Mapping[str, str]
    url: str
    location: str
    description: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    public_access: str | None = None

    @property
    def operation(self) -> str:
        """Where the service tells of the last operation; empty where it does not."""
        return self.properties.get(OPERATION, "")


@dataclass(frozen=True)
class Version:
    """A deployment: one version of the flow on the endpoint.

    `image` is what its environment names; `timeout` is in seconds.
    """

    name: str
    id: str
    state: str
    image: str
    instance_type: str
    count: int
    variables: Mapping[str, str] = field(repr=False)
    timeout: float
    concurrency: int
    liveness: Probe
    readiness: Probe
    app_insights: bool
    tags: Mapping[str, str]
    operation: str = ""


@dataclass(frozen=True)
class Room:
    """Cores of a size's family in the region: those of one instance, the limit, those in use.

    `limit` is None where there is none.
    """

    family: str
    cores: int
    limit: int | None
    used: int


@dataclass(frozen=True)
class World:
    """All that a plan needs to know.

    `versions` are the endpoint's deployments; `room` and `puller` are asked only where a deployment
    is to be made: the quota, and whether the identity may pull the image (None: nobody can tell).
    """

    workspace: Workspace
    endpoint: Endpoint | None = None
    versions: tuple[Version, ...] = ()
    scaling: Mapping[str, Any] | None = None
    room: Room | None = None
    puller: bool | None = None
    notes: tuple[str, ...] = ()

    def version(self, name: str) -> Version | None:
        """Return the deployment `name`, or None."""
        return next((one for one in self.versions if one.name == name), None)

    @property
    def traffic(self) -> dict[str, int]:
        """Shares above 0, by deployment."""
        given = self.endpoint.traffic if self.endpoint else {}
        return {name: share for name, share in given.items() if share}


def workspace(data: Mapping[str, Any]) -> Workspace:
    """Read a workspace."""
    registry = data["properties"].get("containerRegistry") or ""
    return Workspace(str(data["id"]), str(data["location"]), str(registry))


def endpoint(data: Mapping[str, Any]) -> Endpoint:
    """Read an endpoint."""
    properties = data["properties"]
    identity = data.get("identity") or {}
    assigned: Mapping[str, Any] = identity.get("userAssignedIdentities") or {}
    principals = [identity.get("principalId"), *(a.get("principalId") for a in assigned.values())]
    return Endpoint(
        name=str(data["name"]),
        state=str(properties.get("provisioningState") or ""),
        auth=AUTH.get(str(properties.get("authMode")).lower(), str(properties.get("authMode"))),
        kind=str(identity.get("type") or ""),
        principals=tuple(str(one) for one in principals if one),
        clients={id.lower(): str(one.get("clientId") or "") for id, one in assigned.items()},
        traffic=dict(properties.get("traffic") or {}),
        mirror=dict(properties.get("mirrorTraffic") or {}),
        tags=dict(data.get("tags") or {}),
        url=str(properties.get("scoringUri") or ""),
        location=str(data.get("location") or ""),
        description=properties.get("description"),
        properties=dict(properties.get("properties") or {}),
        public_access=properties.get("publicNetworkAccess"),
    )


def version(data: Mapping[str, Any], image: str) -> Version:
    """Read a deployment whose environment names `image`."""
    properties = data["properties"]
    request = properties.get("requestSettings") or {}
    return Version(
        name=str(data["name"]),
        id=str(data.get("id") or ""),
        state=str(properties.get("provisioningState") or ""),
        image=image,
        instance_type=str(properties.get("instanceType") or ""),
        count=int((data.get("sku") or {}).get("capacity") or 0),
        variables=dict(properties.get("environmentVariables") or {}),
        timeout=seconds(request.get("requestTimeout")),
        concurrency=int(request.get("maxConcurrentRequestsPerInstance") or 0),
        liveness=_probe(properties.get("livenessProbe")),
        readiness=_probe(properties.get("readinessProbe")),
        app_insights=bool(properties.get("appInsightsEnabled")),
        tags=dict(data.get("tags") or {}),
        operation=str((properties.get("properties") or {}).get(OPERATION) or ""),
    )


def ours(tags: Mapping[str, str], flow: str, environment: str) -> bool:
    """Whether what carries `tags` was made by a deploy of this flow in this environment."""
    return tags.get(naming.FLOW) == flow and tags.get(naming.ENVIRONMENT) == environment


def seconds(duration: str | None) -> float:
    """Return the seconds of an ISO 8601 duration, such as PT1M30S; 0 for none."""
    found = re.fullmatch(
        r"P(?:([\d.]+)D)?(?:T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?)?", duration or ""
    )
    if not found:
        return 0.0
    days, hours, minutes, rest = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _probe(data: Mapping[str, Any] | None) -> Probe:
    given = data or {}
    return (
        seconds(given.get("initialDelay")),
        seconds(given.get("period")),
        seconds(given.get("timeout")),
        int(given.get("successThreshold") or 0),
        int(given.get("failureThreshold") or 0),
    )
