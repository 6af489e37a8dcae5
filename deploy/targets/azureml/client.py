"""Read access to Azure Machine Learning, with plain HTTP requests.

They take about a second; importing the SDK alone takes several. Writes use the SDK (`writer`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.azure import clouds, pull_permission
from deploy.azure.resource_manager import ResourceManager
from deploy.core.errors import DeployError
from deploy.targets.azureml import autoscale, errors, naming, state
from deploy.targets.azureml.settings import EndpointSpec
from deploy.targets.azureml.state import Endpoint, ObservedState, Quota, Version

# The API versions of azure-ai-ml 1.35, so that reads return what the SDK wrote.
WORKSPACE_API = "2024-10-01-preview"
API = "2023-04-01-preview"
ENDPOINT_API = "2022-02-01-preview"
PROVIDER = "Microsoft.MachineLearningServices"
POLL_SECONDS = 5.0


class Client:
    """Client that reads one spec's endpoint."""

    def __init__(self, spec: EndpointSpec) -> None:
        place = spec.place
        self._spec = spec
        self.arm = ResourceManager(clouds.resolve_cloud(place.cloud), errors.to_deploy_error)
        self.poll_seconds = self.arm.cloud.polling_interval or POLL_SECONDS
        self.subscription = f"/subscriptions/{place.subscription}"
        self.group = f"{self.subscription}/resourceGroups/{place.resource_group}"
        self.workspace = f"{self.group}/providers/{PROVIDER}/workspaces/{place.workspace}"
        self.name = naming.endpoint_name(spec)
        self.where = f"endpoint {self.name}"
        # The endpoint's resource ID.
        self.path = f"{self.workspace}/onlineEndpoints/{self.name}"
        self._images: dict[str, str] = {}

    def read_state(self) -> ObservedState:
        """Return workspace, endpoint and deployments. Raise `DeployError` without a workspace."""
        with ThreadPoolExecutor(2) as pool:
            workspace = pool.submit(self.arm.get, self.workspace, WORKSPACE_API)
            endpoint = pool.submit(self.read_endpoint)
            workspace_data, found_endpoint = workspace.result(), endpoint.result()
        if workspace_data is None:
            place = self._spec.place
            message = f"there is no workspace {place.workspace} in the group {place.resource_group}"
            hint = "correct the environment in environments.yaml"
            raise DeployError(self._spec.environment, message, hint)
        versions = self._read_versions() if found_endpoint else ()
        return ObservedState(state.parse_workspace(workspace_data), found_endpoint, versions)

    def read_endpoint(self) -> Endpoint | None:
        """Return the endpoint, or None."""
        data = self.arm.get(self.path, API)
        return state.parse_endpoint(data) if data else None

    def read_version(self, name: str) -> Version | None:
        """Return the deployment `name`, or None."""
        data = self.arm.get(f"{self.path}/deployments/{name}", API)
        return self._parse_version(data) if data else None

    def read_key(self) -> str:
        """Return the endpoint's primary key. The key is secret: never print it."""
        return str(self.arm.post(f"{self.path}/listKeys", ENDPOINT_API).json()["primaryKey"])

    def read_log(self, name: str, tail: int) -> list[str]:
        """Return the last `tail` log lines of a deployment's container."""
        response = self.arm.post(f"{self.path}/deployments/{name}/getLogs", API, {"tail": tail})
        return str(response.json().get("content") or "").splitlines()

    def read_autoscale_rule(self, name: str) -> Mapping[str, Any] | None:
        """Return the autoscale rule of the deployment `name`, or None if none is readable."""
        try:
            return self.arm.get(self._autoscale_rule_id(name), autoscale.API)
        except DeployError:
            return None

    def put_autoscale_rule(self, name: str, body: Mapping[str, Any]) -> None:
        """Create or update the autoscale rule of the deployment `name`. Raise `DeployError`."""
        self.arm.put(self._autoscale_rule_id(name), autoscale.API, body)

    def delete_autoscale_rule(self, name: str) -> None:
        """Delete the autoscale rule of the deployment `name`, if any. Raise `DeployError`."""
        if self.read_autoscale_rule(name):
            self.arm.delete(self._autoscale_rule_id(name), autoscale.API)

    def read_quota(self, location: str, instance_type: str) -> tuple[Quota | None, str]:
        """Return the quota for `instance_type`; if it is unknown, None and the reason."""
        path = f"{self.subscription}/providers/{PROVIDER}/locations/{location}"
        try:
            sizes = self.arm.get(f"{path}/vmSizes", API) or {}
            usages = self.arm.list_all(f"{path}/usages", API)
        except DeployError:
            return None, "the quota was not checked: it needs the role Reader on the subscription"
        listed: Iterable[Mapping[str, Any]] = sizes.get("value") or sizes.get("amlCompute") or ()
        size = next((s for s in listed if s["name"].lower() == instance_type.lower()), None)
        if size is None:
            return None, f"{instance_type} is not in the list of {location}: check the spelling"
        family = str(size["family"])
        for usage in usages:
            is_family = _normalize(str(usage["name"]["value"])).startswith(_normalize(family))
            if is_family and str(usage.get("type", "")).endswith("/vmFamily/usages"):
                limit, used = int(usage["limit"]), int(usage["currentValue"])
                return Quota(family, int(size["vCPUs"]), None if limit < 0 else limit, used), ""
        return None, f"the quota was not checked: Azure lists none for {family}"

    def can_pull(self, observed: ObservedState) -> bool | None:
        """Return whether the endpoint's identity may pull from the registry; None if unknown."""
        registry = self._read_registry_id()
        principals = observed.endpoint.principals if observed.endpoint else ()
        if not registry or not principals:
            return None
        if self.is_role_automatic(observed):
            return True
        permissions = {pull_permission.can_pull(self.arm, registry, p) for p in principals}
        return True if True in permissions else None if None in permissions else False

    def is_role_automatic(self, observed: ObservedState) -> bool:
        """Return whether Azure itself assigns the pull role to the endpoint's identity.

        The assignment takes minutes. Azure makes it for a system-assigned identity on the
        workspace's own registry ("Online endpoints and deployments", Authorization).
        """
        endpoint = observed.endpoint
        if endpoint is None or not endpoint.identity_type.startswith("SystemAssigned"):
            return False
        registry = self._read_registry_id()
        return bool(registry) and observed.workspace.registry.lower() == registry.lower()

    def _read_versions(self) -> tuple[Version, ...]:
        """Return the endpoint's deployments, sorted by name."""
        versions = [
            self._parse_version(data) for data in self.arm.list_all(f"{self.path}/deployments", API)
        ]
        return tuple(sorted(versions, key=lambda version: version.name))

    def _parse_version(self, data: Mapping[str, Any]) -> Version:
        return state.parse_version(
            data, self._read_image(str(data["properties"].get("environmentId") or ""))
        )

    def _read_image(self, environment: str) -> str:
        """Return the image of an environment version; cached, as a version never changes."""
        # The service may add this prefix to its IDs.
        path = environment.removeprefix("azureml:")
        if path not in self._images:
            data = self.arm.get(path, API) if path.startswith("/subscriptions/") else None
            self._images[path] = str(((data or {}).get("properties") or {}).get("image") or "")
        return self._images[path]

    def _read_registry_id(self) -> str:
        """Return the resource ID of the environment's registry; empty if it cannot be read."""
        place = self._spec.place
        server = (place.registry or "").partition("/")[0]
        return pull_permission.find_registry_id(self.arm, place.subscription, server)

    def _autoscale_rule_id(self, name: str) -> str:
        return autoscale.rule_id(self.group, self.name, name)


def _normalize(family: str) -> str:
    """Return a family's name in a form that is equal in both lists: `standarddasv4family…`."""
    return re.sub(r"[^a-z0-9]", "", family.lower())
