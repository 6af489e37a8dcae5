"""The routes below a workspace: a table with the permission and the handler of each.

Documented: "Manage access to Azure Machine Learning workspaces" (actions). Recorded: status codes
and headers of responses that start an operation; 204 for the deletion of a missing resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.arm import GROUP, ResourceManager
from deploy.sandbox.arm_errors import authorization_error, not_found_error
from deploy.sandbox.azureml import deployments, endpoints, environments
from deploy.sandbox.azureml.operations import Operation
from deploy.sandbox.azureml.resources import PROVIDER, Deployment, Endpoint
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.http_exchange import Exchange, Headers
from deploy.sandbox.identities import Identity
from deploy.sandbox.request_bodies import read_json_object

ENDPOINTS = "/onlineEndpoints"
ENDPOINT = rf"{ENDPOINTS}/(?P<endpoint>[^/]+)"
DEPLOYMENTS = rf"{ENDPOINT}/deployments"
DEPLOYMENT = rf"{DEPLOYMENTS}/(?P<deployment>[^/]+)"
VERSION = environments.VERSION_PATH.pattern


@dataclass(frozen=True)
class Response:
    """A response to a request."""

    status: int
    content: Any = b""
    headers: Headers = ()


@dataclass(frozen=True)
class Request:
    """A request about a resource in a workspace; `names` are the names in its path."""

    workspace: Workspace
    who: Identity
    version: str
    names: Mapping[str, str]
    body: dict[str, Any]

    def endpoint(self) -> Endpoint:
        """Return the requested endpoint. Raise `ArmError` if there is none."""
        endpoint = self.find_endpoint()
        if endpoint is None:
            kind = f"{PROVIDER}/workspaces/{self.workspace.name}/onlineEndpoints"
            raise not_found_error(kind, self.names["endpoint"], GROUP)
        return endpoint

    def find_endpoint(self) -> Endpoint | None:
        """Return the requested endpoint, None if there is none."""
        return self.workspace.endpoints.get(self.names["endpoint"].lower())

    def deployment(self) -> Deployment:
        """Return the requested deployment. Raise `ArmError` if there is none."""
        endpoint, name = self.endpoint(), self.names["deployment"]
        deployment = endpoint.deployments.get(name)
        if deployment is None:
            kind = f"{PROVIDER}/workspaces/{self.workspace.name}/onlineEndpoints/{endpoint.name}"
            raise not_found_error(f"{kind}/deployments", name, GROUP)
        return deployment

    def resource_response(
        self, status: int, resource: Endpoint | Deployment, operation: Operation
    ) -> Response:
        """Return the response that starts an operation on a resource that stays."""
        url = f"{self.workspace.arm.server.url}{resource.id}?api-version={self.version}"
        headers = self.workspace.operations.headers(operation, url)
        return Response(status, resource.document(), headers)

    def operation_response(self, operation: Operation) -> Response:
        """Return the response that starts any other operation."""
        return Response(202, None, self.workspace.operations.headers(operation, ""))


def _get_workspace(request: Request) -> Response:
    return Response(200, request.workspace.document())


def _list_endpoints(request: Request) -> Response:
    all_endpoints = request.workspace.endpoints.values()
    return Response(200, {"value": [endpoint.document() for endpoint in all_endpoints]})


def _get_endpoint(request: Request) -> Response:
    return Response(200, request.endpoint().document())


def _put_endpoint(request: Request) -> Response:
    name, body = request.names["endpoint"], request.body
    return request.resource_response(
        *endpoints.put(request.workspace, name, body, request.who, request.version)
    )


def _patch_endpoint(request: Request) -> Response:
    endpoint = request.endpoint()
    operation = endpoints.patch(request.workspace, endpoint, request.body, request.version)
    return request.resource_response(200, endpoint, operation)


def _delete_endpoint(request: Request) -> Response:
    endpoint = request.find_endpoint()
    if endpoint is None:
        return Response(204)
    return request.operation_response(
        endpoints.delete(request.workspace, endpoint, request.version)
    )


def _list_keys(request: Request) -> Response:
    return Response(200, endpoints.list_keys(request.endpoint()))


def _token(request: Request) -> Response:
    return Response(200, endpoints.issue_token(request.workspace, request.endpoint()))


def _regenerate_keys(request: Request) -> Response:
    workspace, endpoint = request.workspace, request.endpoint()
    return request.operation_response(
        endpoints.regenerate_key(workspace, endpoint, request.body, request.version)
    )


def _list_deployments(request: Request) -> Response:
    all_deployments = request.endpoint().deployments.values()
    return Response(200, {"value": [deployment.document() for deployment in all_deployments]})


def _get_deployment(request: Request) -> Response:
    return Response(200, request.deployment().document())


def _put_deployment(request: Request) -> Response:
    workspace, endpoint, name = request.workspace, request.endpoint(), request.names["deployment"]
    result = deployments.put(workspace, endpoint, name, request.body, request.who, request.version)
    return request.resource_response(*result)


def _patch_deployment(request: Request) -> Response:
    endpoint, deployment = request.endpoint(), request.deployment()
    workspace, body = request.workspace, request.body
    operation = deployments.patch(workspace, endpoint, deployment, body, request.version)
    return request.resource_response(200, deployment, operation)


def _delete_deployment(request: Request) -> Response:
    endpoint = request.endpoint()
    deployment = endpoint.deployments.get(request.names["deployment"])
    if deployment is None:
        return Response(204)
    return request.operation_response(
        deployments.delete(request.workspace, endpoint, deployment, request.version)
    )


def _get_logs(request: Request) -> Response:
    return Response(200, {"content": deployments.read_logs(request.deployment(), request.body)})


def _get_environment(request: Request) -> Response:
    return Response(200, environments.get(request.workspace, **request.names))


def _put_environment(request: Request) -> Response:
    result = environments.put(request.workspace, **request.names, body=request.body)
    return Response(*result)


@dataclass(frozen=True)
class Route:
    """A kind of request; `action` is the permission that it needs, below the workspace."""

    method: str
    path: str
    action: str
    handle: Callable[[Request], Response]
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
    """Answer a request; `path` is below the workspace. Raise `ArmError` or `InvalidBodyError`."""
    for route in ROUTES:
        match = re.fullmatch(route.path, path)
        if not match or route.method != exchange.method:
            continue
        action = f"{PROVIDER}/workspaces/{route.action}"
        if not who.has_permission(action, workspace.name):
            raise authorization_error(who, action, workspace.id)
        body = read_json_object(exchange) if route.has_body else {}
        request = Request(workspace, who, version, match.groupdict(), body)
        with workspace.lock:
            response = route.handle(request)
        exchange.answer(response.status, response.content, response.headers)
        return
    raise arm.record_unknown_request(exchange)
