"""Looking at Azure: plain requests, which take a second where the SDK's import alone takes several.

What is written goes through the SDK (`writes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from deploy import cloud
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.registry import wire
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
        self.cloud = cloud.chosen(place.cloud)
        self._http = wire.session()
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
            workspace = pool.submit(self.get, self.workspace, WORKSPACE_API)
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
        data = self.get(self.path, API)
        return state.endpoint(data) if data else None

    def versions(self) -> tuple[Version, ...]:
        """Return the endpoint's deployments, by name."""
        found = [self._version(data) for data in self.every(f"{self.path}/deployments", API)]
        return tuple(sorted(found, key=lambda one: one.name))

    def version(self, name: str) -> Version | None:
        """Return the deployment `name`, or None."""
        data = self.get(f"{self.path}/deployments/{name}", API)
        return self._version(data) if data else None

    def key(self) -> str:
        """Return the endpoint's first key. Show it nobody."""
        return str(self.post(f"{self.path}/listKeys", ENDPOINT_API).json()["primaryKey"])

    def log(self, name: str, tail: int) -> list[str]:
        """Return the last lines that a deployment's container said."""
        answer = self.post(f"{self.path}/deployments/{name}/getLogs", API, {"tail": tail})
        return str(answer.json().get("content") or "").splitlines()

    def get(self, path: str, version: str, **query: str) -> dict[str, Any] | None:
        """Return a resource, or None where there is none. Raises `DeployError`."""
        answer = self.send("GET", path, version, query=query)
        if answer.status_code == 404 and errors.code_of(answer) not in errors.WRONG_PLACE:
            return None
        data: dict[str, Any] = self._checked(answer, path).json()
        return data

    def every(self, path: str, version: str, **query: str) -> list[dict[str, Any]]:
        """Return all resources of a list, page by page. Raises `DeployError`."""
        answer = self.send("GET", path, version, query=query)
        found: list[dict[str, Any]] = []
        while True:
            data = self._checked(answer, path).json()
            found += data.get("value") or []
            following = data.get("nextLink")
            if not following:
                return found
            answer = self._request("GET", str(following), {}, None)

    def post(self, path: str, version: str, body: Any = None) -> requests.Response:
        """Ask for something that reading alone does not give. Raises `DeployError`."""
        return self._checked(self.send("POST", path, version, body), path)

    def put(self, path: str, version: str, body: Any) -> None:
        """Write a resource that the SDK knows nothing of. Raises `DeployError`."""
        self._checked(self.send("PUT", path, version, body), path)

    def delete(self, path: str, version: str) -> None:
        """Remove such a resource, if it is there. Raises `DeployError`."""
        answer = self.send("DELETE", path, version)
        if answer.status_code != 404:
            self._checked(answer, path)

    def send(
        self,
        method: str,
        path: str,
        version: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request to the resource manager; what is busy is asked again."""
        url = self.cloud.resource_manager.rstrip("/") + path
        return self._request(method, url, {"api-version": version, **(query or {})}, body)

    def operation(self, url: str) -> dict[str, Any]:
        """Return what the service tells of a long operation; empty where it forgot it."""
        answer = self._request("GET", url, {}, None)
        if answer.status_code != 200:
            return {}
        data: dict[str, Any] = answer.json()
        return data

    def who(self) -> str:
        """Return the name of whoever is logged in."""
        return cloud.name_of(cloud.claims(cloud.token(self.cloud, self.cloud.scope)))

    def _request(
        self, method: str, url: str, query: Mapping[str, str], body: Any
    ) -> requests.Response:
        def once() -> requests.Response:
            headers = {"Authorization": f"Bearer {cloud.token(self.cloud, self.cloud.scope)}"}
            return wire.send(
                self._http, method, url, "Azure", headers=headers, params=dict(query), json=body
            )

        return wire.patiently(once)

    def _checked(self, answer: requests.Response, path: str) -> requests.Response:
        if answer.status_code >= 400:
            raise errors.refused(answer, path.rpartition("/")[2])
        return answer

    def _version(self, data: Mapping[str, Any]) -> Version:
        return state.version(data, self._image(str(data["properties"].get("environmentId") or "")))

    def _image(self, environment: str) -> str:
        """Return the image that an environment's version names; a version never changes."""
        # The service may write its ids with this in front.
        path = environment.removeprefix("azureml:")
        if path not in self._images:
            data = self.get(path, API) if path.startswith("/subscriptions/") else None
            self._images[path] = str(((data or {}).get("properties") or {}).get("image") or "")
        return self._images[path]
