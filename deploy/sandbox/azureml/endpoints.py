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
from deploy.sandbox.azureml.errors import bad_request, conflict, validation_error
from deploy.sandbox.azureml.operations import Commit, Operation
from deploy.sandbox.azureml.request import Request, Response
from deploy.sandbox.azureml.request_bodies import FIELDS
from deploy.sandbox.azureml.resources import Endpoint, generate_key
from deploy.sandbox.identities import ACR_PULL, Identity
from deploy.sandbox.managed_identities import IdentityNotFoundError
from deploy.sandbox.request_bodies import InvalidBodyError, reject_unknown_fields

TOKEN_SECONDS = 12 * 3600


def list_all(request: Request) -> Response:
    """Return all endpoints."""
    endpoints = request.workspace.endpoints.values()
    return Response(200, {"value": [endpoint.document() for endpoint in endpoints]})


def get(request: Request) -> Response:
    """Return an endpoint. Raise `ArmError` if there is none."""
    return Response(200, request.endpoint().document())


def put(request: Request) -> Response:
    """Create or replace an endpoint. Raise `ArmError` or `InvalidBodyError`."""
    workspace, body, name = request.workspace, request.body, request.names["endpoint"]
    reject_unknown_fields(body, FIELDS["resource"], "an endpoint")
    properties = body.get("properties") or {}
    reject_unknown_fields(properties, FIELDS["endpoint_properties"], "an endpoint's properties")
    request_bodies.check_name(name, "an endpoint")
    if properties.get("authMode") not in request_bodies.AUTH_MODES:
        raise InvalidBodyError(f"authMode {properties.get('authMode')}")
    if body.get("location") != LOCATION:
        raise InvalidBodyError(f"an endpoint in {body.get('location')}")
    endpoint = request.find_endpoint()
    if endpoint is None and workspace.region.has_endpoint(name):
        raise validation_error(
            "There is already an endpoint with this name, Endpoint name needs to be unique within "
            "a region. Try some other name."
        )
    request_bodies.check_traffic(
        properties.get("traffic") or {},
        properties.get("mirrorTraffic") or {},
        set(endpoint.remaining_deployments) if endpoint else set(),
    )
    if endpoint is None or (endpoint.state == "Failed" and not endpoint.url):
        return _create(request, name)
    endpoint.check_idle()
    if properties["authMode"] != endpoint.auth_mode:
        raise bad_request("The authentication mode of an endpoint cannot be changed.")
    current_types = endpoint.managed.document(endpoint.tenant)["type"].split(",")
    if set(_identity_types(body)) != set(current_types):
        raise bad_request("The identity of an endpoint cannot be changed.")
    operation = _update(request, endpoint, properties)
    return request.write_response(200, endpoint, operation)


def patch(request: Request) -> Response:
    """Change the tags of an endpoint. Raise `ArmError` or `InvalidBodyError`."""
    endpoint = request.endpoint()
    reject_unknown_fields(request.body, {"tags"}, "a change of an endpoint")
    endpoint.check_idle()
    return request.write_response(200, endpoint, _update(request, endpoint, endpoint.properties))


def delete(request: Request) -> Response:
    """Delete an endpoint with its deployments. Raise `ArmError`."""
    workspace, endpoint = request.workspace, request.find_endpoint()
    if endpoint is None:
        return Response(204)
    if endpoint.is_busy or any(one.is_busy for one in endpoint.deployments.values()):
        raise conflict(endpoint.id)

    def work() -> Commit:
        front = workspace.fronts.pop(endpoint.name.lower(), None)
        if front:
            front.server.stop()
        for deployment in endpoint.deployments.values():
            deployment.close()
        return commit

    def commit() -> None:
        workspace.endpoints.pop(endpoint.name.lower(), None)
        if endpoint.managed.system:
            workspace.directory.remove(endpoint.managed.system)

    return request.operation_response(request.begin(endpoint, "Deleting", work))


def list_keys(request: Request) -> Response:
    """Return an endpoint's keys. Raise `ArmError` if it does not use keys."""
    primary, secondary = _require_keys(request.endpoint())
    return Response(200, {"primaryKey": primary, "secondaryKey": secondary})


def issue_token(request: Request) -> Response:
    """Return a token. Raise `ArmError` if the endpoint has no tokens of its own."""
    endpoint = request.endpoint()
    if endpoint.auth_mode != "AMLToken":
        raise bad_request(f"The endpoint {endpoint.name} does not use tokens of its own.")
    now = int(time.time())
    content = {
        "accessToken": request.workspace.front(endpoint.name).issue(TOKEN_SECONDS),
        "expiryTimeUtc": now + TOKEN_SECONDS,
        "refreshAfterTimeUtc": now + TOKEN_SECONDS // 2,
        "tokenType": "Bearer",
    }
    return Response(200, content)


def regenerate_key(request: Request) -> Response:
    """Replace a key, with the given value if there is one (documented).

    azure-ai-ml 1.35.2 sends the key's current value, so that its call changes nothing.
    """
    endpoint, body = request.endpoint(), request.body
    reject_unknown_fields(body, {"keyType", "keyValue"}, "regenerateKeys")
    if body.get("keyType") not in ("Primary", "Secondary"):
        raise InvalidBodyError(f"keyType {body.get('keyType')}")
    keys = _require_keys(endpoint)
    endpoint.check_idle()

    def commit() -> None:
        keys[0 if body["keyType"] == "Primary" else 1] = body.get("keyValue") or generate_key()

    return request.operation_response(request.begin(endpoint, "Updating", lambda: commit))


def _create(request: Request, name: str) -> Response:
    workspace, body = request.workspace, request.body
    identity_types = _identity_types(body)
    endpoint = Endpoint(
        f"{workspace.id}/onlineEndpoints/{name}",
        name,
        request.who.client_id,
        LOCATION,
        tags=body.get("tags") or {},
        properties=body["properties"],
        tenant=workspace.directory.tenant,
    )
    if keys := (body["properties"].get("keys") or {}):
        endpoint.keys = [keys["primaryKey"], keys["secondaryKey"]]
    if "UserAssigned" in identity_types:
        endpoint.managed.assigned = _resolve_identities(request)
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

    return request.write_response(201, endpoint, request.begin(endpoint, "Creating", work))


def _update(request: Request, endpoint: Endpoint, properties: dict[str, Any]) -> Operation:
    def commit() -> None:
        endpoint.properties = properties
        endpoint.tags = request.body.get("tags") or {}
        endpoint.history.append((endpoint.traffic, endpoint.mirror))

    return request.begin(endpoint, "Updating", lambda: commit)


def _require_keys(endpoint: Endpoint) -> list[str]:
    if endpoint.auth_mode != "Key":
        raise bad_request(f"The endpoint {endpoint.name} does not use keys.")
    return endpoint.keys


def _identity_types(body: dict[str, Any]) -> list[str]:
    return managed_identities.parse_identity_types(
        (body.get("identity") or {}).get("type") or "SystemAssigned"
    )


def _resolve_identities(request: Request) -> dict[str, Identity]:
    try:
        return managed_identities.resolve_assigned_identities(
            request.workspace.directory, request.body["identity"]
        )
    except IdentityNotFoundError as error:
        raise bad_request(f"The identity {error} does not exist.") from None
