"""Changing what is there, through azure-ai-ml. Nothing else writes endpoints and deployments.

Every function returns once Azure has accepted the change; `waiting.py` sees to its end.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deploy import cloud
from deploy.arm import errors as arm_errors
from deploy.arm.errors import Said
from deploy.cloud import CLOUDS, Cloud
from deploy.model import Spec
from deploy.targets.azureml import naming
from deploy.targets.azureml.settings import Probe, place_of, settings_of
from deploy.targets.azureml.state import Endpoint
from deploy.targets.azureml.wanted import Wanted

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

# Seconds between two looks of the SDK; it would take 30, or 5 where that is fixed.
POLLING = 5.0
PORT = 8080
SDK_NAMES = {
    "public": "AzureCloud",
    "usgovernment": "AzureUSGovernment",
    "china": "AzureChinaCloud",
}
# Of callers' tokens ("Authenticate clients for online endpoints"; azure-ai-ml).
AUDIENCES = {
    "public": "https://ml.azure.com",
    "usgovernment": "https://ml.azure.us",
    "china": "https://ml.azure.cn",
}
_importing = threading.Lock()


class RefusedError(Exception):
    """Azure did not accept a change, or nobody knows whether it did."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.text)
        self.said = said


class Writer:
    """Writes one spec's endpoint and its deployments."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._name = naming.endpoint_of(spec)

    @functools.cached_property
    def _client(self) -> MLClient:
        return _connect(self._spec)

    def create_endpoint(self, tags: Mapping[str, str]) -> None:
        """Make the endpoint, without traffic. Raises `RefusedError`."""
        settings, place = settings_of(self._spec), place_of(self._spec)
        refers = any(one.startswith("azureml:") for one in settings.env.secret_refs.values())
        # Only an identity of its own can be given the right by Azure.
        access = {"enforce_access_to_default_secret_stores": "enabled"}
        self._put_endpoint(
            Endpoint(
                name=self._name,
                state="",
                auth=settings.auth,
                kind="UserAssigned" if place.identity else "SystemAssigned",
                principals=(),
                clients={place.identity: ""} if place.identity else {},
                traffic={},
                mirror={},
                tags=tags,
                url="",
                location="",
                properties=access if refers and not place.identity else {},
            )
        )

    def change_endpoint(self, endpoint: Endpoint, **changes: Any) -> None:
        """Write `endpoint` with some of its fields changed. Raises `RefusedError`.

        The service has no entity tags: whoever calls this has just read `endpoint`.
        """
        self._put_endpoint(replace(endpoint, **changes))

    def put_deployment(
        self, name: str, wanted: Wanted, count: int, tags: Mapping[str, str]
    ) -> None:
        """Make or change a deployment. Raises `RefusedError`."""
        client = self._client
        from azure.ai.ml.entities import (
            Environment,
            ManagedOnlineDeployment,
            OnlineRequestSettings,
        )

        settings = settings_of(self._spec)

        def put() -> None:
            client.online_deployments.begin_create_or_update(
                ManagedOnlineDeployment(
                    name=name,
                    endpoint_name=self._name,
                    environment=Environment(
                        image=str(wanted.image),
                        inference_config={
                            "liveness_route": {"port": PORT, "path": "/health"},
                            "readiness_route": {"port": PORT, "path": "/health"},
                            "scoring_route": {"port": PORT, "path": "/score"},
                        },
                    ),
                    environment_variables=dict(wanted.variables),
                    instance_type=wanted.instance_type,
                    instance_count=count,
                    request_settings=OnlineRequestSettings(
                        request_timeout_ms=int(wanted.timeout * 1000),
                        max_concurrent_requests_per_instance=wanted.concurrency,
                    ),
                    liveness_probe=_probe(settings.probes.liveness),
                    readiness_probe=_probe(settings.probes.readiness),
                    app_insights_enabled=wanted.app_insights,
                    tags=dict(tags),
                )
            )

        _accepted(put)

    def delete_deployment(self, name: str) -> None:
        """Remove a deployment. Raises `RefusedError`."""
        _accepted(lambda: self._client.online_deployments.begin_delete(name, self._name))

    def delete_endpoint(self) -> None:
        """Remove the endpoint with all its deployments. Raises `RefusedError`."""
        _accepted(lambda: self._client.online_endpoints.begin_delete(self._name))

    def _put_endpoint(self, endpoint: Endpoint) -> None:
        client = self._client

        def put() -> None:
            from azure.ai.ml.entities import (
                IdentityConfiguration,
                ManagedIdentityConfiguration,
                ManagedOnlineEndpoint,
            )

            assigned = [ManagedIdentityConfiguration(resource_id=id) for id in endpoint.clients]
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
                        type="user_assigned" if assigned else "system_assigned",
                        user_assigned_identities=assigned or None,
                    ),
                    public_network_access=endpoint.public_access,
                )
            )

        _accepted(put)


def audience(where: Cloud) -> str:
    """Return whom a caller's token must be for, where an endpoint takes Entra's tokens."""
    return AUDIENCES[_known(where) or "public"]


def _known(where: Cloud) -> str | None:
    """Return the name of a cloud that everybody knows, or None."""
    for name, known in CLOUDS.items():
        if known.resource_manager == where.resource_manager.rstrip("/"):
            return name
    return None


def _accepted(action: Callable[[], object]) -> None:
    from azure.core.exceptions import AzureError

    try:
        action()
    except AzureError as error:
        raise RefusedError(arm_errors.of_error(error)) from None


def _connect(spec: Spec) -> MLClient:
    """Return the SDK's client, quiet.

    Importing it takes seconds, so nobody does before something is to be written.
    """
    place = place_of(spec)
    where = cloud.chosen(place.cloud)
    with _importing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.ai.ml import MLClient
        from azure.ai.ml._utils import _azureml_polling

        # It prints a dot to standard output, which is for results, with each look.
        vars(_azureml_polling)["print"] = _nothing
        client = MLClient(
            cloud.credential(where),
            place.subscription,
            place.resource_group,
            place.workspace,
            enable_telemetry=False,
            show_progress=False,
            polling_interval=where.polling or POLLING,
            **_addresses(where),
        )
        # Some of its loggers write to standard error by themselves.
        for name in list(logging.root.manager.loggerDict):
            if name == "azure" or name.startswith("azure."):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        return client


def _addresses(where: Cloud) -> dict[str, Any]:
    """Return the SDK's cloud. One of our own gets a name of its addresses: it keeps the first."""
    known = _known(where)
    if known:
        return {"cloud": SDK_NAMES[known]}
    unique = hashlib.sha256(f"{where.resource_manager} {where.authority}".encode()).hexdigest()[:12]
    return {
        "cloud": f"flow-deploy-{unique}",
        "cloud_metadata": {
            "azure_portal": "https://portal.azure.com/",
            "resource_manager": where.resource_manager,
            "active_directory": where.authority or "https://login.microsoftonline.com/",
            "aml_resource_id": AUDIENCES["public"],
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": where.resource_manager,
        },
    }


def _probe(given: Probe) -> Any:
    from azure.ai.ml.entities import ProbeSettings

    return ProbeSettings(**given.model_dump())


def _nothing(*_: object, **__: object) -> None:
    """Print nothing."""
