"""Requests to Azure Resource Manager, with the log-in of whoever deploys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import requests

from deploy import cloud, pausing, tokens, wire
from deploy.arm import errors
from deploy.arm.errors import Said
from deploy.cloud import Cloud
from deploy.errors import DeployError

# Seconds between two looks at a long operation, where nobody says how many.
POLLING = 2.0

Explain = Callable[[Said, str], DeployError]
"""Returns the sentences for a refusal; the text names what was asked."""


class ResourceManager:
    """One Azure's resource manager; `explain` puts its refusals in words.

    `wrong_place` are the codes of a 404 that do not say that there is none of what was asked for.
    """

    def __init__(
        self,
        where: Cloud,
        explain: Explain = errors.plainly,
        wrong_place: frozenset[str] = errors.WRONG_PLACE,
    ) -> None:
        self.cloud = where
        self._explain = explain
        self._wrong_place = wrong_place
        self._http = wire.session()

    def get(self, path: str, version: str, **query: str) -> dict[str, Any] | None:
        """Return a resource, or None where there is none. Raises `DeployError`."""
        answer = self.send("GET", path, version, query=query)
        if self._is_none(answer):
            return None
        data: dict[str, Any] = self._checked(answer, path).json()
        return data

    def need(self, path: str, version: str) -> dict[str, Any]:
        """Return a resource that configuration names. Raises `DeployError`, also for none."""
        found = self.get(path, version)
        if found is None:
            hint = "correct it in environments.yaml; infrastructure makes it"
            raise DeployError("Azure", f"there is no {path}", hint)
        return found

    def every(self, path: str, version: str, **query: str) -> list[dict[str, Any]]:
        """Return all resources of a list, page by page; none of what is not there.

        Raises `DeployError`.
        """
        answer = self.send("GET", path, version, query=query)
        found: list[dict[str, Any]] = []
        while not self._is_none(answer):
            data = self._checked(answer, path).json()
            found += data.get("value") or []
            following = data.get("nextLink")
            if not following:
                break
            answer = self._request("GET", str(following), {}, None)
        return found

    def post(self, path: str, version: str, body: Any = None) -> requests.Response:
        """Ask for something that reading alone does not give. Raises `DeployError`."""
        return self._checked(self.send("POST", path, version, body), path)

    def put(self, path: str, version: str, body: Any) -> None:
        """Write a resource. Raises `DeployError`."""
        self._checked(self.send("PUT", path, version, body), path)

    def delete(self, path: str, version: str) -> None:
        """Remove a resource, if it is there. Raises `DeployError`."""
        answer = self.send("DELETE", path, version)
        if answer.status_code != 404:
            self._checked(answer, path)

    def operation(self, url: str) -> dict[str, Any]:
        """Return what the service tells of a long operation; empty where it forgot it."""
        answer = self._request("GET", url, {}, None)
        if answer.status_code != 200:
            return {}
        data: dict[str, Any] = answer.json()
        return data

    def change(self, method: str, path: str, version: str, body: Any = None) -> None:
        """Write, and wait for the end of the operation that begins with it. Raises `DeployError`.

        "Track asynchronous Azure operations": its status, or where its result is going to be.
        """
        answer = self._checked(self.send(method, path, version, body), path)
        status = answer.headers.get("Azure-AsyncOperation", "")
        result = answer.headers.get("Location", "")
        while status or (result and answer.status_code == 202):
            pausing.pause(self.cloud.polling or POLLING)
            answer = self._checked(self._request("GET", status or result, {}, None), path)
            found = answer.json() if status else {}
            if found.get("status") in ("Failed", "Canceled"):
                raise self._explain(errors.of_operation(found), path.rpartition("/")[2])
            if found.get("status") == "Succeeded":
                return

    def send(
        self,
        method: str,
        path: str,
        version: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request; what is busy is asked again."""
        url = self.cloud.resource_manager.rstrip("/") + path
        return self._request(method, url, {"api-version": version, **(query or {})}, body)

    def who(self) -> str:
        """Return the name of whoever is logged in."""
        return tokens.name_of(tokens.claims(self._token()))

    def issuer(self) -> str:
        """Return who issues the tokens of this tenant, in the form of this cloud."""
        return str(tokens.claims(self._token()).get("iss") or "")

    def _token(self) -> str:
        return cloud.token(self.cloud, self.cloud.scope)

    def _request(
        self, method: str, url: str, query: Mapping[str, str], body: Any
    ) -> requests.Response:
        def once() -> requests.Response:
            headers = {"Authorization": f"Bearer {self._token()}"}
            return wire.send(
                self._http, method, url, "Azure", headers=headers, params=dict(query), json=body
            )

        return wire.patiently(once)

    def _is_none(self, answer: requests.Response) -> bool:
        """Whether an answer says that there is none of what was asked for."""
        if answer.status_code != 404:
            return False
        return errors.of_answer(answer).code not in self._wrong_place

    def _checked(self, answer: requests.Response, path: str) -> requests.Response:
        if answer.status_code >= 400:
            said = errors.of_answer(answer)
            raise errors.elsewhere(said) or self._explain(said, path.rpartition("/")[2])
        return answer
