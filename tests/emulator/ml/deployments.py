"""What is asked of deployments: they are made, replaced, scaled, deleted, and show their logs.

Documented: REST API of Azure Machine Learning ("Online Deployments"; the instance type is only for
creation), "Perform safe rollout" (an update is rolling), "Manage and increase quotas" (20 deployments,
50 instances). Recorded: a deployment whose first provisioning failed is only to be deleted; one with
traffic cannot be; the layout of the logs. Assumed: an update that fails leaves the properties as they
were; instances are taken out once they have answered; nothing is deleted while its endpoint is changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.emulator.arm import LOCATION
from tests.emulator.bodies import only
from tests.emulator.identities import Identity
from tests.emulator.ml import bodies, catalogue, environments
from tests.emulator.ml.errors import (
    FailedError,
    bad_request,
    conflict,
    invalid,
    out_of_quota,
    pull_denied,
    pull_failed,
)
from tests.emulator.ml.instance import Plan, Route
from tests.emulator.ml.operations import Commit, Operation
from tests.emulator.ml.resources import Deployment, Endpoint
from tests.emulator.ml.workspace import Workspace
from tests.emulator.pull import DeniedError, UnavailableError

SECRET = re.compile(r"\$\{\{.*\}\}")
MOST_DEPLOYMENTS = 20
MOST_INSTANCES = 50


@dataclass(frozen=True)
class Wanted:
    """What a deployment is to be."""

    properties: dict[str, Any]
    capacity: int
    tags: dict[str, str]
    environment: dict[str, Any]


def put(
    workspace: Workspace,
    endpoint: Endpoint,
    name: str,
    body: dict[str, Any],
    who: Identity,
    version: str,
) -> tuple[int, Deployment, Operation]:
    """Create or replace a deployment. Raises `RefusedError`, `UnknownError`."""
    only(body, bodies.DEPLOYMENT, "a deployment")
    bodies.check_name(name, "a deployment")
    properties = body.get("properties") or {}
    bodies.check_deployment(properties)
    if not endpoint.url or endpoint.state in ("Creating", "Deleting"):
        raise invalid(
            "This endpoint has not been created successfully or is in deleting provisioning state. "
            "Please recreate endpoint and then try again to create deployment."
        )
    environment = environments.of_deployment(workspace, properties.get("environmentId"))
    capacity = bodies.capacity(body, 1)
    wanted = Wanted(properties, capacity, body.get("tags") or {}, environment)
    before = endpoint.deployments.get(name)
    if before:
        _check_change(before, wanted)
    elif len(endpoint.deployments) >= MOST_DEPLOYMENTS:
        raise bad_request(f"An endpoint has at most {MOST_DEPLOYMENTS} deployments.")
    _check_quota(workspace, before, wanted)
    deployment = before or Deployment(
        f"{endpoint.id}/deployments/{name}",
        name,
        who.client_id,
        LOCATION,
        tags=wanted.tags,
        properties=properties,
        capacity=wanted.capacity,
    )
    endpoint.deployments[name] = deployment
    operation = _roll(workspace, endpoint, deployment, wanted, version)
    return 200 if before else 201, deployment, operation


def patch(
    workspace: Workspace,
    endpoint: Endpoint,
    deployment: Deployment,
    body: dict[str, Any],
    version: str,
) -> Operation:
    """Scale or tag a deployment. Raises `RefusedError`, `UnknownError`."""
    only(body, {"tags", "sku"}, "a change of a deployment")
    properties = deployment.properties
    environment = environments.of_deployment(workspace, properties.get("environmentId"))
    capacity = bodies.capacity(body, deployment.capacity)
    wanted = Wanted(properties, capacity, body.get("tags", deployment.tags), environment)
    _check_change(deployment, wanted)
    _check_quota(workspace, deployment, wanted)
    return _roll(workspace, endpoint, deployment, wanted, version)


def delete(
    workspace: Workspace, endpoint: Endpoint, deployment: Deployment, version: str
) -> Operation:
    """Delete a deployment. Raises `RefusedError`."""
    if endpoint.traffic.get(deployment.name) or endpoint.mirror.get(deployment.name):
        raise invalid("Can't delete deployment with non-zero traffic weight")
    if deployment.is_busy:
        raise conflict(deployment.id)
    if endpoint.is_busy:
        # What is under way may give it traffic.
        raise conflict(endpoint.id)

    def work() -> Commit:
        deployment.retire(deployment.replace([]))
        return lambda: None

    def end(error: FailedError | None) -> None:
        deployment.state = "Failed" if error else "Deleted"
        if not error:
            endpoint.forget(deployment.name)

    operation = workspace.operations.start("deployment", version, work, end)
    deployment.begin(operation, workspace.operations.url(operation), "Deleting")
    return operation


def logs(deployment: Deployment, body: dict[str, Any]) -> str:
    """Return what getLogs answers."""
    only(body, {"containerType", "tail"}, "getLogs")
    if body.get("containerType") == "StorageInitializer":
        return "There are no logs of this container."
    text = deployment.instances[0].logs() if deployment.instances else deployment.logs
    if deployment.state == "Failed" and deployment.logs:
        text = deployment.logs
    lines = text.splitlines()[-int(body.get("tail") or 5000) :]
    started = "Succeeded" if deployment.state == "Succeeded" else "InProgress"
    return (
        "Instance status:\nSystemSetup: Succeeded\nUserContainerImagePull: Succeeded\n"
        f"ModelDownload: Succeeded\nUserContainerStart: {started}\n\nContainer events:\n"
        "\nContainer logs:\n" + "\n".join(lines)
    )


def _roll(
    workspace: Workspace, endpoint: Endpoint, deployment: Deployment, wanted: Wanted, version: str
) -> Operation:
    same = deployment.serves and _settings(wanted.properties) == _settings(deployment.properties)
    state = "Creating" if not deployment.operation_url else "Updating"
    if same and wanted.capacity != deployment.capacity:
        state = "Scaling"

    def work() -> Commit:
        kept = deployment.instances[: wanted.capacity] if same else []
        plan = kept[0].plan if kept else _plan(workspace, endpoint, deployment, wanted)
        made = [workspace.instance(plan) for _ in range(wanted.capacity - len(kept))]
        try:
            for instance in made:
                instance.start()
            for instance in made:
                instance.wait()
        except BaseException:
            for instance in made:
                instance.close()
            deployment.logs = next((one.last_logs for one in made if one.last_logs), "")
            raise

        def commit() -> None:
            deployment.properties = wanted.properties
            deployment.capacity = wanted.capacity
            deployment.tags = wanted.tags
            deployment.logs = ""
            workspace.retire(deployment, deployment.replace(kept + made))

        return commit

    def end(error: FailedError | None) -> None:
        deployment.state = "Failed" if error else "Succeeded"

    operation = workspace.operations.start("deployment", version, work, end)
    deployment.begin(operation, workspace.operations.url(operation), state)
    return operation


def _settings(properties: dict[str, Any]) -> dict[str, Any]:
    """Return what makes an instance: without a change in it none is replaced (assumed)."""
    made = bodies.with_defaults(properties)
    return {key: value for key, value in made.items() if key not in ("properties", "description")}


def _plan(workspace: Workspace, endpoint: Endpoint, deployment: Deployment, wanted: Wanted) -> Plan:
    image = _pull(workspace, endpoint, wanted.environment["image"])
    inference = wanted.environment["inferenceConfig"]
    routes = {
        name: Route(inference[f"{name}Route"]["path"], int(inference[f"{name}Route"]["port"]))
        for name in ("liveness", "readiness", "scoring")
    }
    variables = dict(wanted.properties.get("environmentVariables") or {})
    for name, value in variables.items():
        if SECRET.fullmatch(value):
            if value not in workspace.secrets:
                raise FailedError("BadArgument", f"The secret of {name} could not be retrieved.")
            variables[name] = workspace.secrets[value]
    label = f"{workspace.name}/{endpoint.name}/{deployment.name}"
    return Plan(label, image, variables, routes, bodies.with_defaults(wanted.properties))


def _pull(workspace: Workspace, endpoint: Endpoint, image: str) -> str:
    try:
        return workspace.puller.pull(image, endpoint.managed.everyone)
    except DeniedError:
        raise pull_denied() from None
    except UnavailableError as error:
        raise pull_failed(image, str(error)) from None


def _check_change(before: Deployment, wanted: Wanted) -> None:
    if before.is_busy:
        raise conflict(before.id)
    if before.state == "Failed" and not before.serves:
        raise invalid(
            f"Specified deployment [{before.name}] failed during initial provisioning and is in an "
            "unrecoverable state. Delete and re-create."
        )
    if wanted.properties.get("instanceType") != before.properties.get("instanceType"):
        raise bad_request("The instance type of a deployment cannot be changed.")


def _check_quota(workspace: Workspace, before: Deployment | None, wanted: Wanted) -> None:
    size = catalogue.SIZES.get(str(wanted.properties.get("instanceType")).lower())
    if size is None:
        text = f"The instance type {wanted.properties.get('instanceType')} is not supported."
        raise invalid(text, "VmSize")
    if not 1 <= wanted.capacity <= MOST_INSTANCES:
        raise bad_request(f"The number of instances must be from 1 to {MOST_INSTANCES}.")
    used = workspace.region.used()[size.family]
    needed = catalogue.needed(size, wanted.capacity)
    if before:
        needed -= catalogue.needed(size, before.capacity)
    limit = workspace.region.limits[size.family]
    if needed > 0 and used + needed > limit:
        raise out_of_quota(size.name, workspace.arm.subscription, used, limit, needed)
