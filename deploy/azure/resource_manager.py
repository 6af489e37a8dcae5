"""A client for Azure Resource Manager, which uses the deploying identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import requests

from deploy.azure import clouds, errors, jwt
from deploy.azure.clouds import Cloud
from deploy.azure.errors import AzureError
from deploy.core import http_requests, interrupts
from deploy.core.errors import DeployError

# Seconds between two polls of a long-running operation, if the cloud sets no interval.
POLLING_INTERVAL = 2.0

ErrorExplainer = Callable[[AzureError, str], DeployError]
"""Returns the sentences for a refusal; the text names what was asked."""


class ResourceManager:
    """A client for the Resource Manager of one cloud.

    `explain` turns errors into `DeployError`. `wrong_scope_codes` are the error codes of a 404 that
    do not mean that the requested resource is missing.
    """

    def __init__(
        self,
        cloud: Cloud,
        explain: ErrorExplainer = errors.explain_error,
        wrong_scope_codes: frozenset[str] = errors.WRONG_SCOPE_CODES,
    ) -> None:
        self.cloud = cloud
        self._explain = explain
        self._wrong_place = wrong_scope_codes
        self._http = http_requests.new_session()

    def get(self, path: str, version: str, **query: str) -> dict[str, Any] | None:
        """Return a resource, or None if it does not exist. Raise `DeployError` on other errors."""
        response = self.send("GET", path, version, query=query)
        if self._is_missing(response):
            return None
        data: dict[str, Any] = self._raise_for_error(response, path).json()
        return data

    def require(self, path: str, version: str) -> dict[str, Any]:
        """Return a resource. Raise `DeployError` on any error, also if it is missing."""
        resource = self.get(path, version)
        if resource is None:
            hint = "correct it in environments.yaml; infrastructure makes it"
            raise DeployError("Azure", f"there is no {path}", hint)
        return resource

    def list_all(self, path: str, version: str, **query: str) -> list[dict[str, Any]]:
        """Return all resources of a paged list; an empty list if it does not exist.

        Raise `DeployError` on other errors.
        """
        response = self.send("GET", path, version, query=query)
        resources: list[dict[str, Any]] = []
        while not self._is_missing(response):
            data = self._raise_for_error(response, path).json()
            resources += data.get("value") or []
            next_page = data.get("nextLink")
            if not next_page:
                break
            response = self._request("GET", str(next_page), {}, None)
        return resources

    def post(self, path: str, version: str, body: Any = None) -> requests.Response:
        """Send a POST, for data that a GET does not return. Raise `DeployError` on failure."""
        return self._raise_for_error(self.send("POST", path, version, body), path)

    def put(self, path: str, version: str, body: Any) -> None:
        """Write a resource. Raise `DeployError` on failure."""
        self._raise_for_error(self.send("PUT", path, version, body), path)

    def delete(self, path: str, version: str) -> None:
        """Delete a resource if it exists. Raise `DeployError` on failure."""
        response = self.send("DELETE", path, version)
        if response.status_code != 404:
            self._raise_for_error(response, path)

    def get_operation(self, url: str) -> dict[str, Any]:
        """Return the state of a long-running operation; empty if the service no longer has it."""
        response = self._request("GET", url, {}, None)
        if response.status_code != 200:
            return {}
        data: dict[str, Any] = response.json()
        return data

    def write_and_wait(self, method: str, path: str, version: str, body: Any = None) -> None:
        """Write, and wait until the operation has ended. Raise `DeployError` if it fails.

        "Track asynchronous Azure operations": poll the operation's status, or the location of its
        result.
        """
        response = self._raise_for_error(self.send(method, path, version, body), path)
        status = response.headers.get("Azure-AsyncOperation", "")
        result = response.headers.get("Location", "")
        while status or (result and response.status_code == 202):
            interrupts.pause(self.cloud.polling_interval or POLLING_INTERVAL)
            response = self._raise_for_error(self._request("GET", status or result, {}, None), path)
            operation = response.json() if status else {}
            if operation.get("status") in ("Failed", "Canceled"):
                raise self._explain(errors.parse_operation(operation), path.rpartition("/")[2])
            if operation.get("status") == "Succeeded":
                return

    def send(
        self,
        method: str,
        path: str,
        version: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request; retry if the service is busy."""
        url = self.cloud.resource_manager.rstrip("/") + path
        return self._request(method, url, {"api-version": version, **(query or {})}, body)

    def get_principal_name(self) -> str:
        """Return the name of the signed-in identity."""
        return jwt.get_principal_name(jwt.decode_claims(self._get_token()))

    def get_token_issuer(self) -> str:
        """Return the issuer of this tenant's tokens, in the form that this cloud uses."""
        return str(jwt.decode_claims(self._get_token()).get("iss") or "")

    def _get_token(self) -> str:
        return clouds.get_token(self.cloud, self.cloud.scope)

    def _request(
        self, method: str, url: str, query: Mapping[str, str], body: Any
    ) -> requests.Response:
        def once() -> requests.Response:
            headers = {"Authorization": f"Bearer {self._get_token()}"}
            return http_requests.send(
                self._http, method, url, "Azure", headers=headers, params=dict(query), json=body
            )

        return http_requests.with_retries(once)

    def _is_missing(self, response: requests.Response) -> bool:
        """Return whether a response means that the requested resource does not exist."""
        if response.status_code != 404:
            return False
        return errors.parse_response(response).code not in self._wrong_place

    def _raise_for_error(self, response: requests.Response, path: str) -> requests.Response:
        if response.status_code >= 400:
            error = errors.parse_response(response)
            raise errors.explain_common_error(error) or self._explain(
                error, path.rpartition("/")[2]
            )
        return response
