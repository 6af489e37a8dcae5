"""What is asked of endpoints: they are made, changed, deleted, and hand out keys.

Documented: REST API of Azure Machine Learning ("Online Endpoints"), "Authentication for managed online
endpoints" (an endpoint's identity cannot change). Recorded: what azure-ai-ml sends; what it is told
where another workspace of the region has an endpoint of the name (reports of users). The
endpoint's own identity gets AcrPull on the workspace's own registry, if it is assigned by the system,
and on no other. Assumed: the way of authentication cannot change either; that a change shows once its operation has ended.
"""

from __future__ import annotations

import time
from typing import Any

from tests.emulator import managed_identities
from tests.emulator.arm import LOCATION
from tests.emulator.bodies import UnknownError, only
from tests.emulator.identities import ACR_PULL, Identity
from tests.emulator.managed_identities import MissingError
from tests.emulator.ml import bodies
from tests.emulator.ml.errors import FailedError, bad_request, conflict, invalid
from tests.emulator.ml.operations import Commit, Operation
from tests.emulator.ml.resources import Endpoint, new_key
from tests.emulator.ml.workspace import Workspace

TOKEN_SECONDS = 12 * 3600


def put(
    workspace: Workspace, name: str, body: dict[str, Any], who: Identity, version: str
) -> tuple[int, Endpoint, Operation]:
    """Create or replace an endpoint. Raises `RefusedError`, `UnknownError`."""
    only(body, bodies.ENDPOINT, "an endpoint")
    properties = body.get("properties") or {}
    only(properties, bodies.ENDPOINT_PROPERTIES, "an endpoint's properties")
    bodies.check_name(name, "an endpoint")
    if properties.get("authMode") not in bodies.AUTH_MODES:
        raise UnknownError(f"authMode {properties.get('authMode')}")
    if body.get("location") != LOCATION:
        raise UnknownError(f"an endpoint in {body.get('location')}")
    endpoint = workspace.endpoints.get(name.lower())
    if endpoint is None and workspace.region.has_endpoint(name):
        raise invalid(
            "There is already an endpoint with this name, Endpoint name needs to be unique within a "
            "region. Try some other name."
        )
    known = set(endpoint.lasting) if endpoint else set()
    bodies.check_traffic(
        properties.get("traffic") or {}, properties.get("mirrorTraffic") or {}, known
    )
    if endpoint is None or (endpoint.state == "Failed" and not endpoint.url):
        return _create(workspace, name, body, who, version)
    if endpoint.is_busy:
        raise conflict(endpoint.id)
    if properties["authMode"] != endpoint.auth_mode:
        raise bad_request("The authentication mode of an endpoint cannot be changed.")
    kinds = set(_kinds(body))
    if kinds != set(endpoint.managed.document(endpoint.tenant)["type"].split(",")):
        raise bad_request("The identity of an endpoint cannot be changed.")
    return 200, endpoint, _change(workspace, endpoint, properties, body.get("tags"), version)


def patch(
    workspace: Workspace, endpoint: Endpoint, body: dict[str, Any], version: str
) -> Operation:
    """Change the tags of an endpoint. Raises `RefusedError`, `UnknownError`."""
    only(body, {"tags"}, "a change of an endpoint")
    if endpoint.is_busy:
        raise conflict(endpoint.id)
    return _change(workspace, endpoint, endpoint.properties, body.get("tags"), version)


def delete(workspace: Workspace, endpoint: Endpoint, version: str) -> Operation:
    """Delete an endpoint with all that is in it. Raises `RefusedError`."""
    if endpoint.is_busy or any(one.is_busy for one in endpoint.deployments.values()):
        raise conflict(endpoint.id)

    def work() -> Commit:
        front = workspace.fronts.pop(endpoint.name.lower(), None)
        if front:
            front.server.stop()
        for deployment in endpoint.deployments.values():
            deployment.retire(deployment.replace([]))
        return lambda: None

    def end(error: FailedError | None) -> None:
        endpoint.state = "Failed" if error else "Deleted"
        if not error:
            workspace.endpoints.pop(endpoint.name.lower(), None)
            if endpoint.managed.system:
                workspace.directory.remove(endpoint.managed.system)

    return _begin(workspace, endpoint, "Deleting", version, work, end)


def keys(endpoint: Endpoint) -> dict[str, str]:
    """Return what listKeys answers. Raises `RefusedError`."""
    if endpoint.auth_mode != "Key":
        raise bad_request(f"The endpoint {endpoint.name} does not use keys.")
    return {"primaryKey": endpoint.keys[0], "secondaryKey": endpoint.keys[1]}


def token(workspace: Workspace, endpoint: Endpoint) -> dict[str, Any]:
    """Return what token answers. Raises `RefusedError`."""
    if endpoint.auth_mode != "AMLToken":
        raise bad_request(f"The endpoint {endpoint.name} does not use tokens of its own.")
    now = int(time.time())
    return {
        "accessToken": workspace.front(endpoint.name).issue(TOKEN_SECONDS),
        "expiryTimeUtc": now + TOKEN_SECONDS,
        "refreshAfterTimeUtc": now + TOKEN_SECONDS // 2,
        "tokenType": "Bearer",
    }


def regenerate(
    workspace: Workspace, endpoint: Endpoint, body: dict[str, Any], version: str
) -> Operation:
    """Replace a key, with the value that is given if there is one (documented).

    azure-ai-ml 1.35.2 gives the value that the key has, so that its call changes nothing.
    """
    only(body, {"keyType", "keyValue"}, "regenerateKeys")
    if body.get("keyType") not in ("Primary", "Secondary"):
        raise UnknownError(f"keyType {body.get('keyType')}")
    keys(endpoint)
    if endpoint.is_busy:
        raise conflict(endpoint.id)

    def work() -> Commit:
        place = 0 if body["keyType"] == "Primary" else 1

        def commit() -> None:
            endpoint.keys[place] = body.get("keyValue") or new_key()

        return commit

    return _begin(workspace, endpoint, "Updating", version, work, _ended(endpoint))


def _create(
    workspace: Workspace, name: str, body: dict[str, Any], who: Identity, version: str
) -> tuple[int, Endpoint, Operation]:
    kinds = _kinds(body)
    endpoint = Endpoint(
        f"{workspace.id}/onlineEndpoints/{name}",
        name,
        who.client_id,
        LOCATION,
        tags=body.get("tags") or {},
        properties=body["properties"],
        tenant=workspace.directory.tenant,
    )
    if given := (body["properties"].get("keys") or {}):
        endpoint.keys = [given["primaryKey"], given["secondaryKey"]]
    if "UserAssigned" in kinds:
        endpoint.managed.assigned = _assigned(workspace, body["identity"])
    if "SystemAssigned" in kinds:
        endpoint.managed.system = workspace.directory.add(endpoint.id)
        if workspace.registry:
            endpoint.managed.system.give(workspace.registry.name, ACR_PULL)
    workspace.endpoints[name.lower()] = endpoint

    def work() -> Commit:
        front = workspace.open_front(endpoint)

        def commit() -> None:
            endpoint.url = front.server.url

        return commit

    operation = _begin(workspace, endpoint, "Creating", version, work, _ended(endpoint))
    return 201, endpoint, operation


def _change(
    workspace: Workspace, endpoint: Endpoint, properties: Any, tags: Any, version: str
) -> Operation:
    def work() -> Commit:
        def commit() -> None:
            endpoint.properties = properties
            endpoint.tags = tags if tags is not None else {}
            endpoint.history.append((endpoint.traffic, endpoint.mirror))

        return commit

    return _begin(workspace, endpoint, "Updating", version, work, _ended(endpoint))


def _begin(
    workspace: Workspace, endpoint: Endpoint, state: str, version: str, work: Any, end: Any
) -> Operation:
    operation = workspace.operations.start("endpoint", version, work, end)
    endpoint.begin(operation, workspace.operations.url(operation), state)
    return operation


def _ended(endpoint: Endpoint) -> Any:
    def end(error: FailedError | None) -> None:
        endpoint.state = "Failed" if error else "Succeeded"

    return end


def _kinds(body: dict[str, Any]) -> list[str]:
    return managed_identities.kinds((body.get("identity") or {}).get("type") or "SystemAssigned")


def _assigned(workspace: Workspace, given: dict[str, Any]) -> dict[str, Identity]:
    try:
        return managed_identities.assigned(workspace.directory, given)
    except MissingError as error:
        raise bad_request(f"The identity {error} does not exist.") from None
