"""The routes below a workspace, who may take which, and what they answer.

Documented: "Manage access to Azure Machine Learning workspaces" (actions). Recorded: statuses and headers
of what begins an operation.
"""

from __future__ import annotations

import re

from tests.emulator.arm import GROUP, ResourceManager
from tests.emulator.arm_errors import not_found, unauthorized
from tests.emulator.exchange import Exchange
from tests.emulator.identities import Identity
from tests.emulator.ml import bodies, deployments, endpoints, environments
from tests.emulator.ml.operations import Operation
from tests.emulator.ml.resources import PROVIDER, Deployment, Endpoint
from tests.emulator.ml.workspace import Workspace

ENDPOINT = re.compile(
    r"/onlineEndpoints/(?P<endpoint>[^/]+)(?:/(?P<verb>listKeys|token|regenerateKeys))?"
)
DEPLOYMENTS = re.compile(r"/onlineEndpoints/(?P<endpoint>[^/]+)/deployments")
DEPLOYMENT = re.compile(
    r"/onlineEndpoints/(?P<endpoint>[^/]+)/deployments/(?P<deployment>[^/]+)(?:/(?P<verb>getLogs))?"
)
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


class Request:
    """One request about what is in a workspace."""

    def __init__(
        self,
        arm: ResourceManager,
        workspace: Workspace,
        exchange: Exchange,
        who: Identity,
        version: str,
    ) -> None:
        self._arm = arm
        self._workspace = workspace
        self._exchange = exchange
        self._who = who
        self._version = version

    def serve(self, rest: str) -> None:
        """Answer; `rest` is the path below the workspace. Raises `RefusedError`."""
        method = self._exchange.method
        one, many = DEPLOYMENT.fullmatch(rest), DEPLOYMENTS.fullmatch(rest)
        endpoint, version = ENDPOINT.fullmatch(rest), environments.BELOW.fullmatch(rest)
        if rest == "" and method == "GET":
            self._may("workspaces/read")
            self._exchange.answer(200, self._workspace.document())
        elif rest == "/onlineEndpoints" and method == "GET":
            self._may("workspaces/onlineEndpoints/read")
            with self._workspace.lock:
                found = [one.document() for one in self._workspace.endpoints.values()]
            self._exchange.answer(200, {"value": found})
        elif many and method == "GET":
            self._may("workspaces/onlineEndpoints/deployments/read")
            with self._workspace.lock:
                listed = self._endpoint(many["endpoint"]).deployments.values()
                found = [one.document() for one in listed]
            self._exchange.answer(200, {"value": found})
        elif version and method in ("GET", "PUT"):
            self._may(f"workspaces/environments/versions/{VERBS[method]}")
            self._on_environment(version["name"], version["version"])
        elif (
            endpoint
            and (method in VERBS or method == "POST")
            and bool(endpoint["verb"]) == (method == "POST")
        ):
            self._may(f"workspaces/onlineEndpoints/{self._verb(endpoint['verb'])}")
            self._on_endpoint(endpoint["endpoint"], endpoint["verb"])
        elif (
            one
            and (method in VERBS or method == "POST")
            and bool(one["verb"]) == (method == "POST")
        ):
            self._may(f"workspaces/onlineEndpoints/deployments/{self._verb(one['verb'])}")
            self._on_deployment(one["endpoint"], one["deployment"])
        else:
            raise self._arm.unknown(self._exchange)

    def _verb(self, verb: str | None) -> str:
        return f"{verb}/action" if verb else VERBS[self._exchange.method]

    def _may(self, action: str) -> None:
        if not self._who.may(f"{PROVIDER}/{action}", self._workspace.name):
            raise unauthorized(self._who, f"{PROVIDER}/{action}", self._workspace.id)

    def _on_endpoint(self, name: str, verb: str | None) -> None:
        workspace, method = self._workspace, self._exchange.method
        body = (
            bodies.read(self._exchange)
            if method in ("PUT", "PATCH") or verb == "regenerateKeys"
            else {}
        )
        with workspace.lock:
            if method == "PUT":
                made = endpoints.put(workspace, name, body, self._who, self._version)
                self._begun(*made)
                return
            if method == "DELETE" and name.lower() not in workspace.endpoints:
                self._exchange.answer(204)
                return
            endpoint = self._endpoint(name)
            if method == "GET":
                self._exchange.answer(200, endpoint.document())
            elif method == "PATCH":
                self._begun(
                    200, endpoint, endpoints.patch(workspace, endpoint, body, self._version)
                )
            elif method == "DELETE":
                self._accepted(endpoints.delete(workspace, endpoint, self._version))
            elif verb == "listKeys":
                self._exchange.answer(200, endpoints.keys(endpoint))
            elif verb == "token":
                self._exchange.answer(200, endpoints.token(workspace, endpoint))
            else:
                self._accepted(endpoints.regenerate(workspace, endpoint, body, self._version))

    def _on_deployment(self, endpoint_name: str, name: str) -> None:
        workspace, method = self._workspace, self._exchange.method
        body = bodies.read(self._exchange) if method in ("PUT", "PATCH", "POST") else {}
        with workspace.lock:
            endpoint = self._endpoint(endpoint_name)
            deployment = endpoint.deployments.get(name)
            if method == "PUT":
                made = deployments.put(workspace, endpoint, name, body, self._who, self._version)
                self._begun(*made)
            elif deployment is None and method == "DELETE":
                self._exchange.answer(204)
            elif deployment is None:
                kind = f"{PROVIDER}/workspaces/{workspace.name}/onlineEndpoints/{endpoint_name}"
                raise not_found(f"{kind}/deployments", name, GROUP)
            elif method == "GET":
                self._exchange.answer(200, deployment.document())
            elif method == "PATCH":
                operation = deployments.patch(workspace, endpoint, deployment, body, self._version)
                self._begun(200, deployment, operation)
            elif method == "DELETE":
                operation = deployments.delete(workspace, endpoint, deployment, self._version)
                self._accepted(operation)
            else:
                self._exchange.answer(200, {"content": deployments.logs(deployment, body)})

    def _endpoint(self, name: str) -> Endpoint:
        found = self._workspace.endpoints.get(name.lower())
        if found is None:
            kind = f"{PROVIDER}/workspaces/{self._workspace.name}/onlineEndpoints"
            raise not_found(kind, name, GROUP)
        return found

    def _on_environment(self, name: str, version: str) -> None:
        if self._exchange.method == "PUT":
            body = bodies.read(self._exchange)
            self._exchange.answer(*environments.put(self._workspace, name, version, body))
        else:
            self._exchange.answer(200, environments.get(self._workspace, name, version))

    def _begun(self, status: int, resource: Endpoint | Deployment, operation: Operation) -> None:
        url = f"{self._arm.server.url}{resource.id}?api-version={self._version}"
        headers = self._workspace.operations.headers(operation, url)
        self._exchange.answer(status, resource.document(), headers)

    def _accepted(self, operation: Operation) -> None:
        self._exchange.answer(202, None, self._workspace.operations.headers(operation, ""))
