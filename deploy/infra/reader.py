"""Reads resources by way of Azure Resource Manager."""

from __future__ import annotations

from typing import Any

import requests

from deploy import cloud
from deploy.cloud import Cloud
from deploy.errors import DeployError
from deploy.infra import kinds
from deploy.registry import wire

HINT = "have the role Reader on the environment's resource group assigned to whoever asks"


class Reader:
    """Asks one Azure."""

    def __init__(self, azure: Cloud) -> None:
        self._azure = azure
        self._http = wire.session()

    def get(self, id: str, version: str) -> dict[str, Any] | None:
        """Return the resource of this id, or None. Raises `DeployError`."""
        answer = self._send(self._azure.resource_manager.rstrip("/") + id, {"api-version": version})
        if answer.status_code == 404:
            return None
        data: dict[str, Any] = self._checked(answer, id).json()
        return data

    def every(self, id: str, version: str, **query: str) -> list[dict[str, Any]]:
        """Return all that a list has, page by page; nothing where there is no list."""
        url = self._azure.resource_manager.rstrip("/") + id
        answer = self._send(url, {"api-version": version, **query})
        found: list[dict[str, Any]] = []
        while answer.status_code != 404:
            data = self._checked(answer, id).json()
            found += data.get("value") or []
            if not data.get("nextLink"):
                break
            answer = self._send(str(data["nextLink"]), {})
        return found

    def roles(self, scope: str, principal: str) -> list[tuple[str, str]]:
        """Return the ids of the roles that `principal` has in, or above, `scope`, and on what.

        Documented: "Role Assignments - List For Scope", the filter principalId.
        """
        path = f"{scope}/providers/{kinds.ROLE}"
        found = self.every(
            path, kinds.VERSIONS[kinds.ROLE], **{"$filter": f"principalId eq '{principal}'"}
        )
        return [
            (
                str(one["properties"]["roleDefinitionId"]).rpartition("/")[2],
                str(one["properties"]["scope"]),
            )
            for one in found
        ]

    def _send(self, url: str, query: dict[str, str]) -> requests.Response:
        def once() -> requests.Response:
            headers = {"Authorization": f"Bearer {cloud.token(self._azure, self._azure.scope)}"}
            return wire.send(self._http, "GET", url, "Azure", headers=headers, params=query)

        return wire.patiently(once)

    def _checked(self, answer: requests.Response, id: str) -> requests.Response:
        if answer.status_code < 400:
            return answer
        try:
            error = answer.json().get("error") or {}
        except ValueError:
            error = {}
        what = str(error.get("message") or answer.reason or answer.status_code).partition("\n")[0]
        hint = HINT if answer.status_code == 403 else ""
        raise DeployError(f"Azure, {id.rpartition('/')[2]}", what, hint)
