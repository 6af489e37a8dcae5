"""Environments: versions with an image and its routes, which deployments refer to.

Documented: REST API of Azure Machine Learning ("Environment Versions"). Recorded: the environment
of a deployment with an image of its own is `CliV2AnonymousEnvironment`, its version a hash.
"""

from __future__ import annotations

import re
from typing import Any

from deploy.sandbox.arm import GROUP
from deploy.sandbox.arm_errors import not_found_error
from deploy.sandbox.azureml.errors import bad_request
from deploy.sandbox.azureml.request import Request, Response
from deploy.sandbox.azureml.request_bodies import FIELDS
from deploy.sandbox.azureml.resources import PROVIDER
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.request_bodies import InvalidBodyError, reject_unknown_fields

VERSION_PATH = re.compile(r"/environments/(?P<name>[^/]+)/versions/(?P<version>[^/]+)")
ROUTES = ("livenessRoute", "readinessRoute", "scoringRoute")


def put(request: Request) -> Response:
    """Create a version. Raise `InvalidBodyError`."""
    workspace, body = request.workspace, request.body
    name, version = request.names["name"], request.names["version"]
    reject_unknown_fields(body, {"properties"}, "an environment")
    properties = body.get("properties") or {}
    reject_unknown_fields(
        properties, FIELDS["environment_properties"], "an environment's properties"
    )
    if not properties.get("image"):
        raise InvalidBodyError("an environment without an image")
    inference = properties.get("inferenceConfig") or {}
    reject_unknown_fields(inference, set(ROUTES), "an inferenceConfig")
    for route in inference.values():
        if set(route) != {"path", "port"} or not str(route["path"]).startswith("/"):
            raise InvalidBodyError(f"the route {route}")
    status = 200 if (name, version) in workspace.environments else 201
    document = {
        "id": f"{workspace.id}/environments/{name}/versions/{version}",
        "name": version,
        "type": f"{PROVIDER}/workspaces/environments/versions",
        "properties": {
            "osType": "Linux",
            "environmentType": "UserCreated",
            "provisioningState": "Succeeded",
            **properties,
        },
    }
    workspace.environments[name, version] = document
    return Response(status, document)


def get(request: Request) -> Response:
    """Return a version. Raise `ArmError` if there is none."""
    name, version = request.names["name"], request.names["version"]
    document = request.workspace.environments.get((name, version))
    if document is None:
        kind = f"{PROVIDER}/workspaces/environments/versions"
        raise not_found_error(kind, f"{name}/{version}", GROUP)
    return Response(200, document)


def get_deployment_environment(workspace: Workspace, id: Any) -> dict[str, Any]:
    """Return the properties of the version that a deployment names by its resource id.

    Raise `ArmError` or `InvalidBodyError`.
    """
    prefix, rest = str(id)[: len(workspace.id)], str(id)[len(workspace.id) :]
    match = VERSION_PATH.fullmatch(rest) if prefix.lower() == workspace.id.lower() else None
    document = match and workspace.environments.get((match["name"], match["version"]))
    if not document:
        raise bad_request(f"The environment {id} does not exist.")
    properties: dict[str, Any] = document["properties"]
    missing = set(ROUTES) - set(properties.get("inferenceConfig") or {})
    if missing:
        raise InvalidBodyError(f"an environment of a custom server without {sorted(missing)}")
    return properties
