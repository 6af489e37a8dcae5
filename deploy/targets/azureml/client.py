"""Read access to Azure Machine Learning, with plain HTTP requests.

They take about a second; importing the SDK alone takes several. Writes use the SDK (`mutations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.azure import clouds
from deploy.azure.resource_manager import ResourceManager
from deploy.core.entities import Spec
from deploy.core.errors import DeployError
from deploy.targets.azureml import errors, naming, state
from deploy.targets.azureml.settings import place_of
from deploy.targets.azureml.state import Endpoint, ObservedState, Version

# The API versions of azure-ai-ml 1.35, so that reads return what the SDK wrote.
WORKSPACE_API = "2024-10-01-preview"
API = "2023-04-01-preview"
ENDPOINT_API = "2022-02-01-preview"
PROVIDER = "Microsoft.MachineLearningServices"


class Client:
    """Client that reads one spec's endpoint."""

    def __init__(self, spec: Spec) -> None:
        place = place_of(spec)
        self._spec = spec
        self.arm = ResourceManager(clouds.resolve_cloud(place.cloud), errors.to_deploy_error)
        self.subscription = f"/subscriptions/{place.subscription}"
        self.group = f"{self.subscription}/resourceGroups/{place.resource_group}"
        self.workspace = f"{self.group}/providers/{PROVIDER}/workspaces/{place.workspace}"
        self.name = naming.endpoint_name(spec)
        self.where = f"endpoint {self.name}"
        self._images: dict[str, str] = {}

    @property
    def path(self) -> str:
        """Return the endpoint's resource ID."""
        return f"{self.workspace}/onlineEndpoints/{self.name}"

    def read_state(self) -> ObservedState:
        """Return workspace, endpoint and deployments. Raise `DeployError` without a workspace."""
        with ThreadPoolExecutor(2) as pool:
            workspace = pool.submit(self.arm.get, self.workspace, WORKSPACE_API)
            endpoint = pool.submit(self.read_endpoint)
            workspace_data, found_endpoint = workspace.result(), endpoint.result()
        if workspace_data is None:
            place = place_of(self._spec)
            message = f"there is no workspace {place.workspace} in the group {place.resource_group}"
            hint = "correct the environment in environments.yaml"
            raise DeployError(self._spec.environment, message, hint)
        versions = self.read_versions() if found_endpoint else ()
        return ObservedState(state.parse_workspace(workspace_data), found_endpoint, versions)

    def read_endpoint(self) -> Endpoint | None:
        """Return the endpoint, or None."""
        data = self.arm.get(self.path, API)
        return state.parse_endpoint(data) if data else None

    def read_versions(self) -> tuple[Version, ...]:
        """Return the endpoint's deployments, sorted by name."""
        versions = [
            self._parse_version(data) for data in self.arm.list_all(f"{self.path}/deployments", API)
        ]
        return tuple(sorted(versions, key=lambda version: version.name))

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
