"""Environments: versions that name an image and where it answers; deployments point at one.

Documented: REST API of Azure Machine Learning ("Environment Versions"). Recorded: the environment of a
deployment with an image of its own is `CliV2AnonymousEnvironment`, its version a hash.
"""

from __future__ import annotations

import re
from typing import Any

from tests.emulator.arm import GROUP
from tests.emulator.arm_errors import not_found
from tests.emulator.bodies import UnknownError, only
from tests.emulator.ml.errors import bad_request
from tests.emulator.ml.resources import PROVIDER
from tests.emulator.ml.workspace import Workspace

BELOW = re.compile(r"/environments/(?P<name>[^/]+)/versions/(?P<version>[^/]+)")
FIELDS = {"description", "image", "inferenceConfig", "isAnonymous", "isArchived", "osType"}
FIELDS |= {"properties", "tags"}
ROUTES = ("livenessRoute", "readinessRoute", "scoringRoute")


def put(
    workspace: Workspace, name: str, version: str, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Make a version. Raises `UnknownError`."""
    only(body, {"properties"}, "an environment")
    properties = body.get("properties") or {}
    only(properties, FIELDS, "an environment's properties")
    if not properties.get("image"):
        raise UnknownError("an environment without an image")
    inference = properties.get("inferenceConfig") or {}
    only(inference, set(ROUTES), "an inferenceConfig")
    for route in inference.values():
        if set(route) != {"path", "port"} or not str(route["path"]).startswith("/"):
            raise UnknownError(f"the route {route}")
    status = 200 if (name, version) in workspace.environments else 201
    made = {
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
    workspace.environments[name, version] = made
    return status, made


def get(workspace: Workspace, name: str, version: str) -> dict[str, Any]:
    """Return a version. Raises `RefusedError`."""
    found = workspace.environments.get((name, version))
    if found is None:
        kind = f"{PROVIDER}/workspaces/environments/versions"
        raise not_found(kind, f"{name}/{version}", GROUP)
    return found


def of_deployment(workspace: Workspace, id: Any) -> dict[str, Any]:
    """Return the properties of the version that a deployment names by its resource id.

    Raises `RefusedError`, `UnknownError`.
    """
    prefix, rest = str(id)[: len(workspace.id)], str(id)[len(workspace.id) :]
    named = BELOW.fullmatch(rest) if prefix.lower() == workspace.id.lower() else None
    found = named and workspace.environments.get((named["name"], named["version"]))
    if not found:
        raise bad_request(f"The environment {id} does not exist.")
    properties: dict[str, Any] = found["properties"]
    missing = set(ROUTES) - set(properties.get("inferenceConfig") or {})
    if missing:
        raise UnknownError(f"an environment of one's own server without {sorted(missing)}")
    return properties
