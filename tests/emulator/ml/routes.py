"""The routes below a workspace: a table of who may take which, and what each answers.

Documented: "Manage access to Azure Machine Learning workspaces" (actions). Recorded: statuses and headers
of what begins an operation; 204 for the deletion of what there is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulator.arm import GROUP, ResourceManager
from tests.emulator.arm_errors import not_found, unauthorized
from tests.emulator.bodies import read
from tests.emulator.exchange import Exchange, Headers
from tests.emulator.identities import Identity
from tests.emulator.ml import deployments, endpoints, environments
from tests.emulator.ml.operations import Operation
from tests.emulator.ml.resources import PROVIDER, Deployment, Endpoint
from tests.emulator.ml.workspace import Workspace

ENDPOINTS = "/onlineEndpoints"
ENDPOINT = rf"{ENDPOINTS}/(?P<endpoint>[^/]+)"
DEPLOYMENTS = rf"{ENDPOINT}/deployments"
DEPLOYMENT = rf"{DEPLOYMENTS}/(?P<deployment>[^/]+)"
VERSION = environments.BELOW.pattern


@dataclass(frozen=True)
class Answer:
    """What a request is answered."""

    status: int
    content: Any = b""
    headers: Headers = ()


@dataclass(frozen=True)
class Request:
    """One request about what is in a workspace; `names` are those in its path."""

    workspace: Workspace
    who: Identity
    version: str
    names: Mapping[str, str]
    body: dict[str, Any]

    def endpoint(self) -> Endpoint:
        """Return the endpoint that is asked for. Raises `RefusedError`."""
        found = self.find_endpoint()
        if found is None:
            kind = f"{PROVIDER}/workspaces/{self.workspace.name}/onlineEndpoints"
            raise not_found(kind, self.names["endpoint"], GROUP)
        return found

    def find_endpoint(self) -> Endpoint | None:
        """Return the same, None if there is no such endpoint."""
        return self.workspace.endpoints.get(self.names["endpoint"].lower())

    def deployment(self) -> Deployment:
        """Return the deployment that is asked for. Raises `RefusedError`."""
        endpoint, name = self.endpoint(), self.names["deployment"]
        found = endpoint.deployments.get(name)
        if found is None:
            kind = f"{PROVIDER}/workspaces/{self.workspace.name}/onlineEndpoints/{endpoint.name}"
            raise not_found(f"{kind}/deployments", name, GROUP)
        return found

    def begun(self, status: int, resource: Endpoint | Deployment, operation: Operation) -> Answer:
        """Return the answer that begins an operation on a resource that stays."""
        url = f"{self.workspace.arm.server.url}{resource.id}?api-version={self.version}"
        headers = self.workspace.operations.headers(operation, url)
        return Answer(status, resource.document(), headers)

    def accepted(self, operation: Operation) -> Answer:
        """Return the answer that begins any other operation."""
        return Answer(202, None, self.workspace.operations.headers(operation, ""))


def _get_workspace(request: Request) -> Answer:
    return Answer(200, request.workspace.document())


def _list_endpoints(request: Request) -> Answer:
    found = request.workspace.endpoints.values()
    return Answer(200, {"value": [one.document() for one in found]})


def _get_endpoint(request: Request) -> Answer:
    return Answer(200, request.endpoint().document())


def _put_endpoint(request: Request) -> Answer:
    name, body = request.names["endpoint"], request.body
    return request.begun(
        *endpoints.put(request.workspace, name, body, request.who, request.version)
    )


def _patch_endpoint(request: Request) -> Answer:
    endpoint = request.endpoint()
    operation = endpoints.patch(request.workspace, endpoint, request.body, request.version)
    return request.begun(200, endpoint, operation)


def _delete_endpoint(request: Request) -> Answer:
    endpoint = request.find_endpoint()
    if endpoint is None:
        return Answer(204)
    return request.accepted(endpoints.delete(request.workspace, endpoint, request.version))


def _list_keys(request: Request) -> Answer:
    return Answer(200, endpoints.keys(request.endpoint()))


def _token(request: Request) -> Answer:
    return Answer(200, endpoints.token(request.workspace, request.endpoint()))


def _regenerate_keys(request: Request) -> Answer:
    workspace, endpoint = request.workspace, request.endpoint()
    return request.accepted(
        endpoints.regenerate(workspace, endpoint, request.body, request.version)
    )


def _list_deployments(request: Request) -> Answer:
    found = request.endpoint().deployments.values()
    return Answer(200, {"value": [one.document() for one in found]})


def _get_deployment(request: Request) -> Answer:
    return Answer(200, request.deployment().document())


def _put_deployment(request: Request) -> Answer:
    workspace, endpoint, name = request.workspace, request.endpoint(), request.names["deployment"]
    made = deployments.put(workspace, endpoint, name, request.body, request.who, request.version)
    return request.begun(*made)


def _patch_deployment(request: Request) -> Answer:
    endpoint, deployment = request.endpoint(), request.deployment()
    workspace, body = request.workspace, request.body
    operation = deployments.patch(workspace, endpoint, deployment, body, request.version)
    return request.begun(200, deployment, operation)


def _delete_deployment(request: Request) -> Answer:
    endpoint = request.endpoint()
    deployment = endpoint.deployments.get(request.names["deployment"])
    if deployment is None:
        return Answer(204)
    return request.accepted(
        deployments.delete(request.workspace, endpoint, deployment, request.version)
    )


def _get_logs(request: Request) -> Answer:
    return Answer(200, {"content": deployments.logs(request.deployment(), request.body)})


def _get_environment(request: Request) -> Answer:
    return Answer(200, environments.get(request.workspace, **request.names))


def _put_environment(request: Request) -> Answer:
    made = environments.put(request.workspace, **request.names, body=request.body)
    return Answer(*made)


@dataclass(frozen=True)
class Route:
    """One kind of request; `action` is the right that it needs, below the workspace."""

    method: str
    path: str
    action: str
    handle: Callable[[Request], Answer]
    has_body: bool = False


ROUTES = (
    Route("GET", "", "read", _get_workspace),
    Route("GET", ENDPOINTS, "onlineEndpoints/read", _list_endpoints),
    Route("GET", ENDPOINT, "onlineEndpoints/read", _get_endpoint),
    Route("PUT", ENDPOINT, "onlineEndpoints/write", _put_endpoint, True),
    Route("PATCH", ENDPOINT, "onlineEndpoints/write", _patch_endpoint, True),
    Route("DELETE", ENDPOINT, "onlineEndpoints/delete", _delete_endpoint),
    Route("POST", f"{ENDPOINT}/listKeys", "onlineEndpoints/listKeys/action", _list_keys),
    Route("POST", f"{ENDPOINT}/token", "onlineEndpoints/token/action", _token),
    Route(
        "POST",
        f"{ENDPOINT}/regenerateKeys",
        "onlineEndpoints/regenerateKeys/action",
        _regenerate_keys,
        True,
    ),
    Route("GET", DEPLOYMENTS, "onlineEndpoints/deployments/read", _list_deployments),
    Route("GET", DEPLOYMENT, "onlineEndpoints/deployments/read", _get_deployment),
    Route("PUT", DEPLOYMENT, "onlineEndpoints/deployments/write", _put_deployment, True),
    Route("PATCH", DEPLOYMENT, "onlineEndpoints/deployments/write", _patch_deployment, True),
    Route("DELETE", DEPLOYMENT, "onlineEndpoints/deployments/delete", _delete_deployment),
    Route(
        "POST",
        f"{DEPLOYMENT}/getLogs",
        "onlineEndpoints/deployments/getLogs/action",
        _get_logs,
        True,
    ),
    Route("GET", VERSION, "environments/versions/read", _get_environment),
    Route("PUT", VERSION, "environments/versions/write", _put_environment, True),
)


def serve(
    arm: ResourceManager,
    workspace: Workspace,
    exchange: Exchange,
    who: Identity,
    version: str,
    path: str,
) -> None:
    """Answer a request; `path` is below the workspace. Raises `RefusedError`, `UnknownError`."""
    for route in ROUTES:
        found = re.fullmatch(route.path, path)
        if not found or route.method != exchange.method:
            continue
        action = f"{PROVIDER}/workspaces/{route.action}"
        if not who.may(action, workspace.name):
            raise unauthorized(who, action, workspace.id)
        body = read(exchange) if route.has_body else {}
        request = Request(workspace, who, version, found.groupdict(), body)
        with workspace.lock:
            answer = route.handle(request)
        exchange.answer(answer.status, answer.content, answer.headers)
        return
    raise arm.unknown(exchange)
