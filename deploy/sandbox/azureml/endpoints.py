"""Create, change and delete endpoints, and return their keys.

Documented: REST API of Azure Machine Learning ("Online Endpoints"), "Authentication for managed
online endpoints" (an endpoint's identity cannot change). Recorded: what azure-ai-ml sends; the
error if another workspace of the region has an endpoint with the name (reports of users). A
system-assigned identity gets AcrPull on the workspace's own registry and on no other. Assumed: the
authentication mode cannot change either; a change takes effect at the end of its operation.
"""

from __future__ import annotations

import time
from typing import Any

from deploy.sandbox import managed_identities
from deploy.sandbox.arm import LOCATION
from deploy.sandbox.azureml import request_bodies
from deploy.sandbox.azureml.errors import OperationError, bad_request, conflict, validation_error
from deploy.sandbox.azureml.operations import Commit, Operation
from deploy.sandbox.azureml.resources import Endpoint, generate_key
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.identities import ACR_PULL, Identity
from deploy.sandbox.managed_identities import IdentityNotFoundError
from deploy.sandbox.request_bodies import InvalidBodyError, reject_unknown_fields

TOKEN_SECONDS = 12 * 3600


def put(
    workspace: Workspace, name: str, body: dict[str, Any], who: Identity, version: str
) -> tuple[int, Endpoint, Operation]:
    """Create or replace an endpoint. Raise `ArmError` or `InvalidBodyError`."""
    reject_unknown_fields(body, request_bodies.ENDPOINT, "an endpoint")
    properties = body.get("properties") or {}
    reject_unknown_fields(
        properties, request_bodies.ENDPOINT_PROPERTIES, "an endpoint's properties"
    )
    request_bodies.check_name(name, "an endpoint")
    if properties.get("authMode") not in request_bodies.AUTH_MODES:
        raise InvalidBodyError(f"authMode {properties.get('authMode')}")
    if body.get("location") != LOCATION:
        raise InvalidBodyError(f"an endpoint in {body.get('location')}")
    endpoint = workspace.endpoints.get(name.lower())
    if endpoint is None and workspace.region.has_endpoint(name):
        raise validation_error(
            "There is already an endpoint with this name, Endpoint name needs to be unique "
            "within a "
            "region. Try some other name."
        )
    deployment_names = set(endpoint.remaining_deployments) if endpoint else set()
    request_bodies.check_traffic(
        properties.get("traffic") or {}, properties.get("mirrorTraffic") or {}, deployment_names
    )
    if endpoint is None or (endpoint.state == "Failed" and not endpoint.url):
        return _create(workspace, name, body, who, version)
    if endpoint.is_busy:
        raise conflict(endpoint.id)
    if properties["authMode"] != endpoint.auth_mode:
        raise bad_request("The authentication mode of an endpoint cannot be changed.")
    identity_types = set(_identity_types(body))
    if identity_types != set(endpoint.managed.document(endpoint.tenant)["type"].split(",")):
        raise bad_request("The identity of an endpoint cannot be changed.")
    return (
        200,
        endpoint,
        _update_endpoint(workspace, endpoint, properties, body.get("tags"), version),
    )


def patch(
    workspace: Workspace, endpoint: Endpoint, body: dict[str, Any], version: str
) -> Operation:
    """Change the tags of an endpoint. Raise `ArmError` or `InvalidBodyError`."""
    reject_unknown_fields(body, {"tags"}, "a change of an endpoint")
    if endpoint.is_busy:
        raise conflict(endpoint.id)
    return _update_endpoint(workspace, endpoint, endpoint.properties, body.get("tags"), version)


def delete(workspace: Workspace, endpoint: Endpoint, version: str) -> Operation:
    """Delete an endpoint with its deployments. Raise `ArmError`."""
    if endpoint.is_busy or any(one.is_busy for one in endpoint.deployments.values()):
        raise conflict(endpoint.id)

    def work() -> Commit:
        front = workspace.fronts.pop(endpoint.name.lower(), None)
        if front:
            front.server.stop()
        for deployment in endpoint.deployments.values():
            deployment.retire(deployment.replace([]))
        return lambda: None

    def end(error: OperationError | None) -> None:
        endpoint.state = "Failed" if error else "Deleted"
        if not error:
            workspace.endpoints.pop(endpoint.name.lower(), None)
            if endpoint.managed.system:
                workspace.directory.remove(endpoint.managed.system)

    return _begin_operation(workspace, endpoint, "Deleting", version, work, end)


def list_keys(endpoint: Endpoint) -> dict[str, str]:
    """Return the response of listKeys. Raise `ArmError` if the endpoint does not use keys."""
    if endpoint.auth_mode != "Key":
        raise bad_request(f"The endpoint {endpoint.name} does not use keys.")
    return {"primaryKey": endpoint.keys[0], "secondaryKey": endpoint.keys[1]}


def issue_token(workspace: Workspace, endpoint: Endpoint) -> dict[str, Any]:
    """Return the response of token. Raise `ArmError` if the endpoint has no tokens of its own."""
    if endpoint.auth_mode != "AMLToken":
        raise bad_request(f"The endpoint {endpoint.name} does not use tokens of its own.")
    now = int(time.time())
    return {
        "accessToken": workspace.front(endpoint.name).issue(TOKEN_SECONDS),
        "expiryTimeUtc": now + TOKEN_SECONDS,
        "refreshAfterTimeUtc": now + TOKEN_SECONDS // 2,
        "tokenType": "Bearer",
    }


def regenerate_key(
    workspace: Workspace, endpoint: Endpoint, body: dict[str, Any], version: str
) -> Operation:
    """Replace a key, with the given value if there is one (documented).

    azure-ai-ml 1.35.2 sends the key's current value, so that its call changes nothing.
    """
    reject_unknown_fields(body, {"keyType", "keyValue"}, "regenerateKeys")
    if body.get("keyType") not in ("Primary", "Secondary"):
        raise InvalidBodyError(f"keyType {body.get('keyType')}")
    list_keys(endpoint)
    if endpoint.is_busy:
        raise conflict(endpoint.id)

    def work() -> Commit:
        index = 0 if body["keyType"] == "Primary" else 1

        def commit() -> None:
            endpoint.keys[index] = body.get("keyValue") or generate_key()

        return commit

    return _begin_operation(
        workspace, endpoint, "Updating", version, work, _state_callback(endpoint)
    )


def _create(
    workspace: Workspace, name: str, body: dict[str, Any], who: Identity, version: str
) -> tuple[int, Endpoint, Operation]:
    identity_types = _identity_types(body)
    endpoint = Endpoint(
        f"{workspace.id}/onlineEndpoints/{name}",
        name,
        who.client_id,
        LOCATION,
        tags=body.get("tags") or {},
        properties=body["properties"],
        tenant=workspace.directory.tenant,
    )
    if keys := (body["properties"].get("keys") or {}):
        endpoint.keys = [keys["primaryKey"], keys["secondaryKey"]]
    if "UserAssigned" in identity_types:
        endpoint.managed.assigned = _resolve_identities(workspace, body["identity"])
    if "SystemAssigned" in identity_types:
        endpoint.managed.system = workspace.directory.add(endpoint.id)
        if workspace.registry:
            endpoint.managed.system.assign_roles(workspace.registry.name, ACR_PULL)
    workspace.endpoints[name.lower()] = endpoint

    def work() -> Commit:
        front = workspace.open_front(endpoint)

        def commit() -> None:
            endpoint.url = front.server.url

        return commit

    operation = _begin_operation(
        workspace, endpoint, "Creating", version, work, _state_callback(endpoint)
    )
    return 201, endpoint, operation


def _update_endpoint(
    workspace: Workspace, endpoint: Endpoint, properties: Any, tags: Any, version: str
) -> Operation:
    def work() -> Commit:
        def commit() -> None:
            endpoint.properties = properties
            endpoint.tags = tags if tags is not None else {}
            endpoint.history.append((endpoint.traffic, endpoint.mirror))

        return commit

    return _begin_operation(
        workspace, endpoint, "Updating", version, work, _state_callback(endpoint)
    )


def _begin_operation(
    workspace: Workspace, endpoint: Endpoint, state: str, version: str, work: Any, end: Any
) -> Operation:
    operation = workspace.operations.start("endpoint", version, work, end)
    endpoint.begin(operation, workspace.operations.url(operation), state)
    return operation


def _state_callback(endpoint: Endpoint) -> Any:
    def end(error: OperationError | None) -> None:
        endpoint.state = "Failed" if error else "Succeeded"

    return end


def _identity_types(body: dict[str, Any]) -> list[str]:
    return managed_identities.parse_identity_types(
        (body.get("identity") or {}).get("type") or "SystemAssigned"
    )


def _resolve_identities(workspace: Workspace, body: dict[str, Any]) -> dict[str, Identity]:
    try:
        return managed_identities.resolve_assigned_identities(workspace.directory, body)
    except IdentityNotFoundError as error:
        raise bad_request(f"The identity {error} does not exist.") from None
