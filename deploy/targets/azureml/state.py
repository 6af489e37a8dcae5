"""Observed state: workspace, endpoint and deployments, parsed from Azure's JSON. Values only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.targets.azureml import naming
from deploy.targets.azureml.settings import EndpointSpec

BUSY = frozenset({"Creating", "Updating", "Scaling", "Deleting", "Provisioning"})
BROKEN = frozenset({"Failed", "Canceled"})
READY = "Succeeded"
# The property with the URL of the last operation that changed a resource.
OPERATION_PROPERTY = "AzureAsyncOperationUri"
AUTH = {"key": "key", "aadtoken": "entra", "amltoken": "amltoken"}

ProbeTimings = tuple[float, float, float, int, int]
"""Initial delay, period and timeout in seconds; success and failure thresholds."""


@dataclass(frozen=True)
class Workspace:
    """A workspace."""

    id: str
    location: str
    # Resource ID of the workspace's own registry; empty if it has none.
    registry: str


@dataclass(frozen=True)
class Endpoint:
    """A managed online endpoint."""

    name: str
    state: str
    auth: str
    # SystemAssigned or UserAssigned.
    identity_type: str
    # Object IDs of its identities.
    principals: tuple[str, ...]
    # Client IDs of user-assigned identities, by resource ID in lower case.
    client_ids: Mapping[str, str]
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    tags: Mapping[str, str]
    url: str
    location: str
    description: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    public_access: str | None = None

    @property
    def base_url(self) -> str:
        """Return the endpoint's address without /score."""
        return self.url.removesuffix("/score")

    @property
    def operation(self) -> str:
        """Return the URL of the last operation; empty if the service does not provide one."""
        return self.properties.get(OPERATION_PROPERTY, "")


@dataclass(frozen=True)
class Version:
    """A deployment: one version of the flow on the endpoint."""

    name: str
    id: str
    state: str
    # The image that the deployment's environment refers to.
    image: str
    instance_type: str
    count: int
    variables: Mapping[str, str] = field(repr=False)
    # Seconds.
    timeout: float
    concurrency: int
    liveness: ProbeTimings
    readiness: ProbeTimings
    app_insights: bool
    tags: Mapping[str, str]
    operation: str = ""


@dataclass(frozen=True)
class Quota:
    """The quota for cores of a VM family in the region."""

    family: str
    cores_per_instance: int
    # None if unlimited.
    limit: int | None
    used: int


@dataclass(frozen=True)
class ObservedState:
    """The observed state that a plan is based on."""

    workspace: Workspace
    endpoint: Endpoint | None = None
    # All deployments of the endpoint.
    versions: tuple[Version, ...] = ()
    autoscale_rule: Mapping[str, Any] | None = None
    # Read only if a deployment is to be created or scaled.
    quota: Quota | None = None
    # Whether the endpoint's identity may pull the image; None if unknown. Read only if a deployment
    # is to be created.
    pull_permission: bool | None = None
    notes: tuple[str, ...] = ()

    def find_version(self, name: str) -> Version | None:
        """Return the deployment `name`, or None."""
        return next((version for version in self.versions if version.name == name), None)

    def managed_versions(self, spec: EndpointSpec) -> list[Version]:
        """Return the deployments that this tool created for `spec`."""
        return [version for version in self.versions if is_managed(version.tags, spec)]

    @property
    def traffic(self) -> dict[str, int]:
        """Return the traffic shares above 0, by deployment."""
        shares = self.endpoint.traffic if self.endpoint else {}
        return {name: share for name, share in shares.items() if share}

    @property
    def serving(self) -> str:
        """Return the name of the deployment with the most traffic; empty without any traffic."""
        return max(sorted(self.traffic), key=lambda name: self.traffic[name], default="")

    @property
    def is_settled(self) -> bool:
        """Return whether no operation on the endpoint is in progress."""
        return not (self.endpoint and self.endpoint.state in BUSY)


def parse_workspace(data: Mapping[str, Any]) -> Workspace:
    """Return the workspace in a response of Azure."""
    registry = data["properties"].get("containerRegistry") or ""
    return Workspace(str(data["id"]), str(data["location"]), str(registry))


def parse_endpoint(data: Mapping[str, Any]) -> Endpoint:
    """Return the endpoint in a response of Azure."""
    properties = data["properties"]
    identity = data.get("identity") or {}
    assigned: Mapping[str, Any] = identity.get("userAssignedIdentities") or {}
    principals = [identity.get("principalId"), *(a.get("principalId") for a in assigned.values())]
    return Endpoint(
        name=str(data["name"]),
        state=str(properties.get("provisioningState") or ""),
        auth=AUTH.get(str(properties.get("authMode")).lower(), str(properties.get("authMode"))),
        identity_type=str(identity.get("type") or ""),
        principals=tuple(str(item) for item in principals if item),
        client_ids={id.lower(): str(item.get("clientId") or "") for id, item in assigned.items()},
        traffic=dict(properties.get("traffic") or {}),
        mirror=dict(properties.get("mirrorTraffic") or {}),
        tags=dict(data.get("tags") or {}),
        url=str(properties.get("scoringUri") or ""),
        location=str(data.get("location") or ""),
        description=properties.get("description"),
        properties=dict(properties.get("properties") or {}),
        public_access=properties.get("publicNetworkAccess"),
    )


def parse_version(data: Mapping[str, Any], image: str) -> Version:
    """Return the deployment in a response of Azure; `image` is its environment's image."""
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
        timeout=parse_duration(request.get("requestTimeout")),
        concurrency=int(request.get("maxConcurrentRequestsPerInstance") or 0),
        liveness=_parse_probe(properties.get("livenessProbe")),
        readiness=_parse_probe(properties.get("readinessProbe")),
        app_insights=bool(properties.get("appInsightsEnabled")),
        tags=dict(data.get("tags") or {}),
        operation=str((properties.get("properties") or {}).get(OPERATION_PROPERTY) or ""),
    )


def is_managed(tags: Mapping[str, str], spec: EndpointSpec) -> bool:
    """Return whether this tool tagged a resource for the flow and environment of `spec`."""
    return naming.owner_tags(spec).items() <= tags.items()


def parse_duration(duration: str | None) -> float:
    """Return an ISO 8601 duration, such as PT1M30S, in seconds; 0 for None."""
    match = re.fullmatch(
        r"P(?:([\d.]+)D)?(?:T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?)?", duration or ""
    )
    if not match:
        return 0.0
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _parse_probe(data: Mapping[str, Any] | None) -> ProbeTimings:
    settings = data or {}
    return (
        parse_duration(settings.get("initialDelay")),
        parse_duration(settings.get("period")),
        parse_duration(settings.get("timeout")),
        int(settings.get("successThreshold") or 0),
        int(settings.get("failureThreshold") or 0),
    )
