"""Create, replace, scale and delete deployments, and return their logs.

Documented: REST API of Azure Machine Learning ("Online Deployments"; the instance type is only for
creation), "Perform safe rollout" (an update is rolling), "Manage and increase quotas" (20
deployments, 50 instances). Recorded: a deployment whose first provisioning failed can only be
deleted; one with traffic cannot be; the layout of the logs. Assumed: a failed update leaves the
properties as they were; instances are removed once their requests are answered; no deployment is
deleted while its endpoint is changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.arm import LOCATION
from deploy.sandbox.azureml import environments, request_bodies, vm_sizes
from deploy.sandbox.azureml.errors import (
    bad_request,
    image_unavailable_error,
    operation_error,
    pull_denied_error,
    quota_error,
    validation_error,
)
from deploy.sandbox.azureml.instance import InstanceConfig, Route
from deploy.sandbox.azureml.operations import Commit, Operation
from deploy.sandbox.azureml.request import Request, Response
from deploy.sandbox.azureml.resources import Deployment, Endpoint
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.image_pull import ImageUnavailableError, PullDeniedError
from deploy.sandbox.request_bodies import reject_unknown_fields

SECRET = re.compile(r"\$\{\{.*\}\}")
MOST_DEPLOYMENTS = 20
MOST_INSTANCES = 50


@dataclass(frozen=True)
class DesiredState:
    """The requested state of a deployment."""

    properties: dict[str, Any]
    capacity: int
    tags: dict[str, str]
    environment: dict[str, Any]


def list_all(request: Request) -> Response:
    """Return all deployments of an endpoint. Raise `ArmError` if there is no such endpoint."""
    deployments = request.endpoint().deployments.values()
    return Response(200, {"value": [deployment.document() for deployment in deployments]})


def get(request: Request) -> Response:
    """Return a deployment. Raise `ArmError` if there is none."""
    return Response(200, request.deployment().document())


def put(request: Request) -> Response:
    """Create or replace a deployment. Raise `ArmError` or `InvalidBodyError`."""
    workspace, endpoint, body = request.workspace, request.endpoint(), request.body
    name = request.names["deployment"]
    reject_unknown_fields(body, request_bodies.FIELDS["resource"], "a deployment")
    request_bodies.check_name(name, "a deployment")
    properties = body.get("properties") or {}
    request_bodies.check_deployment(properties)
    if not endpoint.url or endpoint.state in ("Creating", "Deleting"):
        raise validation_error(
            "This endpoint has not been created successfully or is in deleting provisioning state. "
            "Please recreate endpoint and then try again to create deployment."
        )
    desired = DesiredState(
        properties,
        request_bodies.read_capacity(body, 1),
        body.get("tags") or {},
        environments.get_deployment_environment(workspace, properties.get("environmentId")),
    )
    existing = endpoint.deployments.get(name)
    if existing:
        _check_change(existing, desired)
    elif len(endpoint.deployments) >= MOST_DEPLOYMENTS:
        raise bad_request(f"An endpoint has at most {MOST_DEPLOYMENTS} deployments.")
    _check_quota(workspace, existing, desired)
    deployment = existing or Deployment(
        f"{endpoint.id}/deployments/{name}",
        name,
        request.who.client_id,
        LOCATION,
        tags=desired.tags,
        properties=properties,
        capacity=desired.capacity,
    )
    endpoint.deployments[name] = deployment
    operation = _start_rollout(request, endpoint, deployment, desired)
    return request.write_response(200 if existing else 201, deployment, operation)


def patch(request: Request) -> Response:
    """Scale or tag a deployment. Raise `ArmError` or `InvalidBodyError`."""
    workspace, deployment, body = request.workspace, request.deployment(), request.body
    reject_unknown_fields(body, {"tags", "sku"}, "a change of a deployment")
    properties = deployment.properties
    desired = DesiredState(
        properties,
        request_bodies.read_capacity(body, deployment.capacity),
        body.get("tags", deployment.tags),
        environments.get_deployment_environment(workspace, properties.get("environmentId")),
    )
    _check_change(deployment, desired)
    _check_quota(workspace, deployment, desired)
    operation = _start_rollout(request, request.endpoint(), deployment, desired)
    return request.write_response(200, deployment, operation)


def delete(request: Request) -> Response:
    """Delete a deployment. Raise `ArmError`."""
    endpoint = request.endpoint()
    deployment = endpoint.deployments.get(request.names["deployment"])
    if deployment is None:
        return Response(204)
    if endpoint.traffic.get(deployment.name) or endpoint.mirror.get(deployment.name):
        raise validation_error("Can't delete deployment with non-zero traffic weight")
    deployment.check_idle()
    # The endpoint's operation in progress may give it traffic.
    endpoint.check_idle()

    def work() -> Commit:
        deployment.close()
        return lambda: endpoint.remove_deployment(deployment.name)

    return request.operation_response(request.begin(deployment, "Deleting", work))


def read_logs(request: Request) -> Response:
    """Return the logs of a deployment's first instance. Raise `ArmError` or `InvalidBodyError`."""
    deployment, body = request.deployment(), request.body
    reject_unknown_fields(body, {"containerType", "tail"}, "getLogs")
    if body.get("containerType") == "StorageInitializer":
        return Response(200, {"content": "There are no logs of this container."})
    text = deployment.instances[0].logs() if deployment.instances else deployment.logs
    if deployment.state == "Failed" and deployment.logs:
        text = deployment.logs
    lines = text.splitlines()[-int(body.get("tail") or 5000) :]
    started = "Succeeded" if deployment.state == "Succeeded" else "InProgress"
    content = (
        "Instance status:\nSystemSetup: Succeeded\nUserContainerImagePull: Succeeded\n"
        f"ModelDownload: Succeeded\nUserContainerStart: {started}\n\nContainer events:\n"
        "\nContainer logs:\n" + "\n".join(lines)
    )
    return Response(200, {"content": content})


def _start_rollout(
    request: Request, endpoint: Endpoint, deployment: Deployment, desired: DesiredState
) -> Operation:
    workspace = request.workspace
    keeps_instances = deployment.has_instances and _instance_settings(
        desired.properties
    ) == _instance_settings(deployment.properties)
    state = "Creating" if not deployment.operation_url else "Updating"
    if keeps_instances and desired.capacity != deployment.capacity:
        state = "Scaling"

    def work() -> Commit:
        kept_instances = deployment.instances[: desired.capacity] if keeps_instances else []
        config = (
            kept_instances[0].plan
            if kept_instances
            else _build_instance_config(workspace, endpoint, deployment, desired)
        )
        new_instances = [
            workspace.instance(config) for _ in range(desired.capacity - len(kept_instances))
        ]
        try:
            for instance in new_instances:
                instance.start()
            for instance in new_instances:
                instance.wait()
        except BaseException:
            for instance in new_instances:
                instance.close()
            deployment.logs = next(
                (candidate.last_logs for candidate in new_instances if candidate.last_logs), ""
            )
            raise

        def commit() -> None:
            deployment.properties = desired.properties
            deployment.capacity = desired.capacity
            deployment.tags = desired.tags
            deployment.logs = ""
            for instance in deployment.replace(kept_instances + new_instances):
                workspace.tasks.spawn(instance.drain)

        return commit

    return request.begin(deployment, state, work)


def _instance_settings(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an instance; others can change without a replacement (assumed)."""
    settings = request_bodies.add_defaults(properties)
    return {
        key: value for key, value in settings.items() if key not in ("properties", "description")
    }


def _build_instance_config(
    workspace: Workspace, endpoint: Endpoint, deployment: Deployment, desired: DesiredState
) -> InstanceConfig:
    image = _pull(workspace, endpoint, desired.environment["image"])
    inference = desired.environment["inferenceConfig"]
    routes = {
        name: Route(inference[f"{name}Route"]["path"], int(inference[f"{name}Route"]["port"]))
        for name in ("liveness", "readiness", "scoring")
    }
    variables = dict(desired.properties.get("environmentVariables") or {})
    for name, value in variables.items():
        if SECRET.fullmatch(value):
            if value not in workspace.secrets:
                raise operation_error(
                    "BadArgument", f"The secret of {name} could not be retrieved."
                )
            variables[name] = workspace.secrets[value]
    label = f"{workspace.name}/{endpoint.name}/{deployment.name}"
    return InstanceConfig(
        label, image, variables, routes, request_bodies.add_defaults(desired.properties)
    )


def _pull(workspace: Workspace, endpoint: Endpoint, image: str) -> str:
    try:
        return workspace.services.puller.pull(image, endpoint.managed.all_identities)
    except PullDeniedError:
        raise pull_denied_error() from None
    except ImageUnavailableError as error:
        raise image_unavailable_error(image, str(error)) from None


def _check_change(existing: Deployment, desired: DesiredState) -> None:
    existing.check_idle()
    if existing.state == "Failed" and not existing.has_instances:
        raise validation_error(
            f"Specified deployment [{existing.name}] failed during initial provisioning and is in "
            "an unrecoverable state. Delete and re-create."
        )
    if desired.properties.get("instanceType") != existing.properties.get("instanceType"):
        raise bad_request("The instance type of a deployment cannot be changed.")


def _check_quota(workspace: Workspace, existing: Deployment | None, desired: DesiredState) -> None:
    size = vm_sizes.SIZES.get(str(desired.properties.get("instanceType")).lower())
    if size is None:
        text = f"The instance type {desired.properties.get('instanceType')} is not supported."
        raise validation_error(text, "VmSize")
    if not 1 <= desired.capacity <= MOST_INSTANCES:
        raise bad_request(f"The number of instances must be from 1 to {MOST_INSTANCES}.")
    used = workspace.region.count_used_cores()[size.family]
    additional = vm_sizes.count_quota_cores(size, desired.capacity)
    if existing:
        additional -= vm_sizes.count_quota_cores(size, existing.capacity)
    limit = workspace.region.limits[size.family]
    if additional > 0 and used + additional > limit:
        raise quota_error(size.name, workspace.arm.subscription, used, limit, additional)
