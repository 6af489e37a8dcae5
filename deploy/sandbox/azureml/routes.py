"""The routes below a workspace: a table with the permission and the handler of each.

Documented: "Manage access to Azure Machine Learning workspaces" (actions). Recorded: status codes
and headers of responses that start an operation; 204 for the deletion of a missing resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from deploy.sandbox.arm import ResourceManager
from deploy.sandbox.arm_errors import require_permission
from deploy.sandbox.azureml import deployments, endpoints, environments
from deploy.sandbox.azureml.request import Request, Response
from deploy.sandbox.azureml.resources import PROVIDER
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import Identity
from deploy.sandbox.request_bodies import read_json_object

ENDPOINTS = "/onlineEndpoints"
ENDPOINT = rf"{ENDPOINTS}/(?P<endpoint>[^/]+)"
DEPLOYMENTS = rf"{ENDPOINT}/deployments"
DEPLOYMENT = rf"{DEPLOYMENTS}/(?P<deployment>[^/]+)"
VERSION = environments.VERSION_PATH.pattern
ACTIONS = "onlineEndpoints"


@dataclass(frozen=True)
class Route:
    """A kind of request; `action` is the permission that it needs, below the workspace."""

    method: str
    path: str
    action: str
    handle: Callable[[Request], Response]


ROUTES = (
    Route("GET", "", "read", lambda request: Response(200, request.workspace.document())),
    Route("GET", ENDPOINTS, f"{ACTIONS}/read", endpoints.list_all),
    Route("GET", ENDPOINT, f"{ACTIONS}/read", endpoints.get),
    Route("PUT", ENDPOINT, f"{ACTIONS}/write", endpoints.put),
    Route("PATCH", ENDPOINT, f"{ACTIONS}/write", endpoints.patch),
    Route("DELETE", ENDPOINT, f"{ACTIONS}/delete", endpoints.delete),
    Route("POST", f"{ENDPOINT}/listKeys", f"{ACTIONS}/listKeys/action", endpoints.list_keys),
    Route("POST", f"{ENDPOINT}/token", f"{ACTIONS}/token/action", endpoints.issue_token),
    Route(
        "POST",
        f"{ENDPOINT}/regenerateKeys",
        f"{ACTIONS}/regenerateKeys/action",
        endpoints.regenerate_key,
    ),
    Route("GET", DEPLOYMENTS, f"{ACTIONS}/deployments/read", deployments.list_all),
    Route("GET", DEPLOYMENT, f"{ACTIONS}/deployments/read", deployments.get),
    Route("PUT", DEPLOYMENT, f"{ACTIONS}/deployments/write", deployments.put),
    Route("PATCH", DEPLOYMENT, f"{ACTIONS}/deployments/write", deployments.patch),
    Route("DELETE", DEPLOYMENT, f"{ACTIONS}/deployments/delete", deployments.delete),
    Route(
        "POST",
        f"{DEPLOYMENT}/getLogs",
        f"{ACTIONS}/deployments/getLogs/action",
        deployments.read_logs,
    ),
    Route("GET", VERSION, "environments/versions/read", environments.get),
    Route("PUT", VERSION, "environments/versions/write", environments.put),
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
        require_permission(who, action, workspace.name, workspace.id)
        body = read_json_object(exchange) if exchange.length else {}
        request = Request(workspace, who, version, match.groupdict(), body)
        with workspace.lock:
            response = route.handle(request)
        exchange.answer(response.status, response.content, response.headers)
        return
    raise arm.record_unknown_request(exchange)
