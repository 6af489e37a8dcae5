"""Looking at Azure: plain requests, which take a second where the SDK's import alone takes several.

What is written goes through the SDK (`writes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy import cloud
from deploy.arm.client import ResourceManager
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.azureml import errors, naming, state
from deploy.targets.azureml.settings import place_of
from deploy.targets.azureml.state import Endpoint, Version, World

# Those of azure-ai-ml 1.35: what is read is then what it wrote.
WORKSPACE_API = "2024-10-01-preview"
API = "2023-04-01-preview"
ENDPOINT_API = "2022-02-01-preview"
PROVIDER = "Microsoft.MachineLearningServices"


class Client:
    """Asks for one spec's endpoint."""

    def __init__(self, spec: Spec) -> None:
        place = place_of(spec)
        self._spec = spec
        self.arm = ResourceManager(cloud.chosen(place.cloud), errors.refused)
        self.subscription = f"/subscriptions/{place.subscription}"
        self.group = f"{self.subscription}/resourceGroups/{place.resource_group}"
        self.workspace = f"{self.group}/providers/{PROVIDER}/workspaces/{place.workspace}"
        self.name = naming.endpoint_of(spec)
        self.where = f"endpoint {self.name}"
        self._images: dict[str, str] = {}

    @property
    def path(self) -> str:
        """The endpoint's resource id."""
        return f"{self.workspace}/onlineEndpoints/{self.name}"

    def look(self) -> World:
        """Return workspace, endpoint and deployments. Raises `DeployError`."""
        with ThreadPoolExecutor(2) as pool:
            workspace = pool.submit(self.arm.get, self.workspace, WORKSPACE_API)
            endpoint = pool.submit(self.endpoint)
            data, found = workspace.result(), endpoint.result()
        if data is None:
            place = place_of(self._spec)
            what = f"there is no workspace {place.workspace} in the group {place.resource_group}"
            hint = "correct the environment in environments.yaml"
            raise DeployError(self._spec.environment, what, hint)
        versions = self.versions() if found else ()
        return World(state.workspace(data), found, versions)

    def endpoint(self) -> Endpoint | None:
        """Return the endpoint, or None."""
        data = self.arm.get(self.path, API)
        return state.endpoint(data) if data else None

    def versions(self) -> tuple[Version, ...]:
        """Return the endpoint's deployments, by name."""
        found = [self._version(data) for data in self.arm.every(f"{self.path}/deployments", API)]
        return tuple(sorted(found, key=lambda one: one.name))

    def version(self, name: str) -> Version | None:
        """Return the deployment `name`, or None."""
        data = self.arm.get(f"{self.path}/deployments/{name}", API)
        return self._version(data) if data else None

    def key(self) -> str:
        """Return the endpoint's first key. Show it nobody."""
        return str(self.arm.post(f"{self.path}/listKeys", ENDPOINT_API).json()["primaryKey"])

    def log(self, name: str, tail: int) -> list[str]:
        """Return the last lines that a deployment's container said."""
        answer = self.arm.post(f"{self.path}/deployments/{name}/getLogs", API, {"tail": tail})
        return str(answer.json().get("content") or "").splitlines()

    def _version(self, data: Mapping[str, Any]) -> Version:
        return state.version(data, self._image(str(data["properties"].get("environmentId") or "")))

    def _image(self, environment: str) -> str:
        """Return the image that an environment's version names; a version never changes."""
        # The service may write its ids with this in front.
        path = environment.removeprefix("azureml:")
        if path not in self._images:
            data = self.arm.get(path, API) if path.startswith("/subscriptions/") else None
            self._images[path] = str(((data or {}).get("properties") or {}).get("image") or "")
        return self._images[path]
