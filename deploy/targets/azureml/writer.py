"""Writes to endpoints and deployments, through azure-ai-ml. No other module writes them.

Each method returns once Azure has accepted the change; `operations` waits for its completion.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deploy.azure import clouds, writes
from deploy.azure.clouds import CLOUDS, Cloud
from deploy.targets.azureml import naming
from deploy.targets.azureml.desired import DesiredState
from deploy.targets.azureml.settings import EndpointSpec, Probe
from deploy.targets.azureml.state import Endpoint

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

# Seconds between two polls of the SDK. Its own values are 30, and 5 for some operations.
POLL_SECONDS = 5.0
PORT = 8080
SDK_NAMES = {
    "public": "AzureCloud",
    "usgovernment": "AzureUSGovernment",
    "china": "AzureChinaCloud",
}
# Audiences of clients' tokens ("Authenticate clients for online endpoints"; azure-ai-ml).
TOKEN_AUDIENCES = {
    "public": "https://ml.azure.com",
    "usgovernment": "https://ml.azure.us",
    "china": "https://ml.azure.cn",
}
_import_lock = threading.Lock()


class Writer:
    """Writer for one spec's endpoint and its deployments. Its methods raise `WriteRejected`."""

    def __init__(self, spec: EndpointSpec) -> None:
        self._spec = spec
        self._name = naming.endpoint_name(spec)

    @functools.cached_property
    def _client(self) -> MLClient:
        return _create_client(self._spec)

    def create_endpoint(self, tags: Mapping[str, str]) -> None:
        """Create the endpoint, without traffic."""
        settings, place = self._spec.settings, self._spec.place
        has_references = any(
            reference.startswith("azureml:") for reference in settings.env.secret_refs.values()
        )
        # Azure can grant this permission only to a system-assigned identity.
        secret_access = {"enforce_access_to_default_secret_stores": "enabled"}
        self._put_endpoint(
            Endpoint(
                name=self._name,
                state="",
                auth=settings.auth,
                identity_type="UserAssigned" if place.identity else "SystemAssigned",
                principals=(),
                client_ids={place.identity: ""} if place.identity else {},
                traffic={},
                mirror={},
                tags=tags,
                url="",
                location="",
                properties=secret_access if has_references and not place.identity else {},
            )
        )

    def update_endpoint(self, endpoint: Endpoint, **changes: Any) -> None:
        """Write `endpoint` with some of its fields changed.

        The service has no entity tags, so read `endpoint` immediately before you call this.
        """
        self._put_endpoint(replace(endpoint, **changes))

    def put_deployment(
        self, name: str, desired_state: DesiredState, count: int, tags: Mapping[str, str]
    ) -> None:
        """Create or update a deployment."""
        client = self._client
        from azure.ai.ml.entities import (
            Environment,
            ManagedOnlineDeployment,
            OnlineRequestSettings,
        )

        settings = self._spec.settings

        def put() -> None:
            client.online_deployments.begin_create_or_update(
                ManagedOnlineDeployment(
                    name=name,
                    endpoint_name=self._name,
                    environment=Environment(
                        image=str(desired_state.image),
                        inference_config={
                            "liveness_route": {"port": PORT, "path": "/health"},
                            "readiness_route": {"port": PORT, "path": "/health"},
                            "scoring_route": {"port": PORT, "path": "/score"},
                        },
                    ),
                    environment_variables=dict(desired_state.variables),
                    instance_type=desired_state.instance_type,
                    instance_count=count,
                    request_settings=OnlineRequestSettings(
                        request_timeout_ms=int(desired_state.timeout * 1000),
                        max_concurrent_requests_per_instance=desired_state.concurrency,
                    ),
                    liveness_probe=_probe_settings(settings.probes.liveness),
                    readiness_probe=_probe_settings(settings.probes.readiness),
                    app_insights_enabled=desired_state.app_insights,
                    tags=dict(tags),
                )
            )

        writes.submit(put)

    def delete_deployment(self, name: str) -> None:
        """Delete a deployment."""
        writes.submit(lambda: self._client.online_deployments.begin_delete(name, self._name))

    def delete_endpoint(self) -> None:
        """Delete the endpoint and all its deployments."""
        writes.submit(lambda: self._client.online_endpoints.begin_delete(self._name))

    def _put_endpoint(self, endpoint: Endpoint) -> None:
        client = self._client

        def put() -> None:
            from azure.ai.ml.entities import (
                IdentityConfiguration,
                ManagedIdentityConfiguration,
                ManagedOnlineEndpoint,
            )

            identities = [
                ManagedIdentityConfiguration(resource_id=id) for id in endpoint.client_ids
            ]
            client.online_endpoints.begin_create_or_update(
                ManagedOnlineEndpoint(
                    name=endpoint.name,
                    auth_mode={"entra": "aad_token"}.get(endpoint.auth, endpoint.auth),
                    description=endpoint.description,
                    tags=dict(endpoint.tags),
                    properties=dict(endpoint.properties),
                    traffic=dict(endpoint.traffic),
                    mirror_traffic=dict(endpoint.mirror),
                    identity=IdentityConfiguration(
                        type="user_assigned" if identities else "system_assigned",
                        user_assigned_identities=identities or None,
                    ),
                    public_network_access=endpoint.public_access,
                )
            )

        writes.submit(put)


def token_audience(cloud: Cloud) -> str:
    """Return the audience of clients' tokens for endpoints with Microsoft Entra sign-in."""
    return TOKEN_AUDIENCES[_known_cloud_name(cloud) or "public"]


def _known_cloud_name(cloud: Cloud) -> str | None:
    """Return the name of a cloud in `CLOUDS`, or None."""
    for name, known in CLOUDS.items():
        if known.resource_manager == cloud.resource_manager.rstrip("/"):
            return name
    return None


def _create_client(spec: EndpointSpec) -> MLClient:
    """Return the SDK's client, with its output suppressed.

    The import takes seconds, so it happens only before a write.
    """
    place = spec.place
    cloud = clouds.resolve_cloud(place.cloud)
    with _import_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.ai.ml import MLClient
        from azure.ai.ml._utils import _azureml_polling

        # The SDK prints a dot to standard output at each poll; standard output is for results.
        vars(_azureml_polling)["print"] = _discard_output
        client = MLClient(
            clouds.get_credential(cloud),
            place.subscription,
            place.resource_group,
            place.workspace,
            enable_telemetry=False,
            show_progress=False,
            polling_interval=cloud.polling_interval or POLL_SECONDS,
            **_cloud_options(cloud),
        )
        # Some of the SDK's loggers write to standard error.
        for name in list(logging.root.manager.loggerDict):
            if name == "azure" or name.startswith("azure."):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        return client


def _cloud_options(cloud: Cloud) -> dict[str, Any]:
    """Return the SDK's options for a cloud.

    The SDK keeps the first definition of a name, so a custom cloud gets a name derived from its
    addresses.
    """
    known_name = _known_cloud_name(cloud)
    if known_name:
        return {"cloud": SDK_NAMES[known_name]}
    unique = hashlib.sha256(f"{cloud.resource_manager} {cloud.authority}".encode()).hexdigest()[:12]
    return {
        "cloud": f"flow-deploy-{unique}",
        "cloud_metadata": {
            "azure_portal": "https://portal.azure.com/",
            "resource_manager": cloud.resource_manager,
            "active_directory": cloud.authority or "https://login.microsoftonline.com/",
            "aml_resource_id": TOKEN_AUDIENCES["public"],
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": cloud.resource_manager,
        },
    }


def _probe_settings(probe: Probe) -> Any:
    from azure.ai.ml.entities import ProbeSettings

    return ProbeSettings(**probe.model_dump())


def _discard_output(*_: object, **__: object) -> None:
    """Do nothing; replaces the SDK's `print`."""
