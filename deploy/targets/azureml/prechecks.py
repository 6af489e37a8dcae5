"""What must hold before a deployment: checks of the configuration, and of what Azure has."""

from __future__ import annotations

import math
from dataclasses import replace

from deploy.azure import preflight, pull_permission
from deploy.core.errors import DeployError, PlanBlocked, Problem
from deploy.targets.azureml import desired, naming, state, vm_sizes
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import CREATE, Decision, has_matching_identity
from deploy.targets.azureml.settings import DEFAULT_INSTANCE_TYPE, EndpointSpec
from deploy.targets.azureml.state import ObservedState

# Azure reserves another 20 % for upgrades ("Manage and increase quotas").
QUOTA_RESERVE = 1.2
MAX_VERSIONS = 20


def check_configuration(spec: EndpointSpec) -> None:
    """Raise `DeployError` with all problems of `spec`; send no requests."""
    variables = desired.environment_variables(spec)
    alternative = (
        "name a workspace connection or a vault under env.secret_refs, let the connection use an "
        "identity if its type supports that"
    )
    problems = [
        *preflight.find_problems(spec, "a managed online endpoint", variables),
        *_check_vm_size(spec),
        *preflight.find_plain_secret_problems(spec, variables, "the deployment", alternative),
    ]
    if problems:
        raise DeployError.from_problems(problems)


def read_preconditions(
    client: Client, spec: EndpointSpec, observed: ObservedState, decision: Decision
) -> ObservedState:
    """Return `observed` with quota, pull permission and autoscale rule, as `decision` needs them.

    None of them is required to deploy. A missing read permission means "unknown", not an error.
    """
    if spec.settings.autoscale or observed.find_version(decision.name):
        observed = replace(observed, autoscale_rule=client.read_autoscale_rule(decision.name))
    if decision.version_action != CREATE and decision.instance_count is None:
        return observed
    location, instance_type = observed.workspace.location, decision.desired.instance_type
    quota, note = client.read_quota(location, instance_type)
    observed = replace(observed, quota=quota, notes=(*observed.notes, *([note] if note else [])))
    if decision.version_action == CREATE and observed.endpoint:
        observed = replace(observed, pull_permission=client.can_pull(observed))
    return observed


def check_blockers(spec: EndpointSpec, observed: ObservedState, decision: Decision) -> None:
    """Raise `PlanBlocked` with all problems that prevent the plan from working."""
    location = f"endpoint {naming.endpoint_name(spec)}"
    problems = [
        *_check_ownership(spec, location, observed),
        *_check_immutable_settings(spec, location, observed),
        *_check_quota(location, observed, decision),
        *_check_pull_permission(spec, location, observed, decision),
        *_check_version_count(location, observed, decision),
    ]
    if problems:
        raise PlanBlocked.from_problems(problems)


def required_cores(cores: int, count: int) -> int:
    """Return the cores of quota that `count` instances with `cores` each need."""
    return math.ceil(QUOTA_RESERVE * count) * cores


def _check_vm_size(spec: EndpointSpec) -> list[Problem]:
    settings = spec.settings
    retirement = vm_sizes.retirement_date(settings.instance_type)
    if retirement is None or settings.allow_retiring:
        return []
    message = f"Azure retires {settings.instance_type} on {retirement}"
    hint = f"instance_type: {DEFAULT_INSTANCE_TYPE}; or `allow_retiring: true` until then"
    return [Problem(spec.name, message, hint)]


def _check_ownership(spec: EndpointSpec, location: str, observed: ObservedState) -> list[Problem]:
    endpoint = observed.endpoint
    if endpoint is None:
        return []
    flow = endpoint.tags.get(naming.FLOW_TAG)
    if flow and not state.is_managed(endpoint.tags, spec):
        environment = endpoint.tags.get(naming.ENVIRONMENT_TAG)
        message = f"it belongs to the flow {flow} in {environment}"
        return [Problem(location, message, "set another `endpoint` in deploy.yaml")]
    unmanaged = [
        version.name
        for version in observed.versions
        if not state.is_managed(version.tags, spec) and observed.traffic.get(version.name)
    ]
    if unmanaged:
        message = f"deployments that this tool did not create get traffic: {', '.join(unmanaged)}"
        hint = "set another `endpoint` in deploy.yaml, or remove their traffic first"
        return [Problem(location, message, hint)]
    return []


def _check_immutable_settings(
    spec: EndpointSpec, location: str, observed: ObservedState
) -> list[Problem]:
    """Return problems with settings that an endpoint cannot change; clients would lose access."""
    if observed.endpoint is None:
        return []
    actual, desired_auth = observed.endpoint.auth, spec.settings.auth
    messages = []
    if actual != desired_auth:
        messages.append(f"`auth` of an endpoint cannot change from {actual} to {desired_auth}")
    if not has_matching_identity(spec, observed.endpoint):
        messages.append(
            "the identity of an endpoint cannot change, and environments.yaml names another one"
        )
    hint = "set another `endpoint` in deploy.yaml and move its clients, or destroy it first"
    return [Problem(location, message, hint) for message in messages]


def _check_quota(location: str, observed: ObservedState, decision: Decision) -> list[Problem]:
    quota = observed.quota
    if quota is None or quota.limit is None:
        return []
    if decision.version_action != CREATE and decision.instance_count is None:
        return []
    current, count = observed.find_version(decision.name), decision.initial_count
    additional = required_cores(quota.cores_per_instance, count)
    if current:
        additional -= required_cores(quota.cores_per_instance, current.count)
    free = quota.limit - quota.used
    if additional <= free:
        return []
    message = (
        f"{count} × {decision.desired.instance_type} needs {additional} cores of quota (20 % are "
        f"reserved for upgrades), but {quota.family} has {free} of {quota.limit} left"
    )
    hint = "request more quota (Azure Machine Learning, Quota), or set another instance_type"
    return [Problem(location, message, hint)]


def _check_pull_permission(
    spec: EndpointSpec, location: str, observed: ObservedState, decision: Decision
) -> list[Problem]:
    if observed.pull_permission is not False or decision.version_action != CREATE:
        return []
    principals = observed.endpoint.principals if observed.endpoint else ()
    identity = ", ".join(principals) or "of the endpoint"
    return [pull_permission.missing_role(location, identity, spec.place.registry)]


def _check_version_count(
    location: str, observed: ObservedState, decision: Decision
) -> list[Problem]:
    remaining = len(observed.versions) - len(decision.broken_versions)
    if decision.version_action != CREATE or remaining < MAX_VERSIONS:
        return []
    message = f"it has {len(observed.versions)} deployments; the maximum is {MAX_VERSIONS}"
    return [Problem(location, message, "remove deployments that are no longer needed")]
