"""The rows of a plan (change, before, after, reason), and the problems that block it."""

from __future__ import annotations

import math

from deploy.core.entities import Image, Spec, Step
from deploy.core.errors import PlanBlocked, Problem
from deploy.targets.azureml import autoscale_rules, naming, state, traffic, vm_sizes
from deploy.targets.azureml.diff import CREATE, KEEP, Decision, has_matching_identity
from deploy.targets.azureml.settings import place_of, settings_of
from deploy.targets.azureml.state import ObservedState

# Azure reserves another 20 % for upgrades ("Manage and increase quotas").
QUOTA_RESERVE = 1.2
MAX_VERSIONS = 20


def list_steps(
    spec: Spec, image: Image, observed: ObservedState, decision: Decision
) -> tuple[Step, ...]:
    """Return the rows of a plan."""
    reason = "no request needs it"
    return (
        *_endpoint_steps(spec, observed, decision),
        *_version_steps(spec, image, observed, decision),
        *_traffic_steps(spec, observed, decision),
        *(
            Step(
                "remove",
                f"deployment {name}",
                before,
                "",
                reason,
                implied=decision.version_action == CREATE,
            )
            for name, before in (
                (version_name, _describe_version(observed, version_name))
                for version_name in decision.obsolete_versions
            )
        ),
        *(Step("note", "note", "", "", text) for text in list_notes(spec, observed, decision)),
        *_manual_traffic_notes(observed),
    )


def check_blockers(spec: Spec, observed: ObservedState, decision: Decision) -> None:
    """Raise `PlanBlocked` with all problems that prevent the plan from working."""
    location = f"endpoint {naming.endpoint_name(spec)}"
    problems = [
        *_check_ownership(spec, location, observed),
        *_check_immutable_settings(spec, location, observed),
        *_check_quota(location, observed, decision),
        *_check_pull_permission(spec, location, observed, decision),
    ]
    if (
        decision.version_action == CREATE
        and len(observed.versions) - len(decision.broken_versions) >= MAX_VERSIONS
    ):
        message = f"it has {len(observed.versions)} deployments, and may have {MAX_VERSIONS}"
        problems.append(Problem(location, message, "remove some that nobody needs"))
    if problems:
        raise PlanBlocked.from_problems(problems)


def list_notes(spec: Spec, observed: ObservedState, decision: Decision) -> list[str]:
    """Return notes for the user that imply no change."""
    notes = list(observed.notes)
    if decision.desired.plain:
        names = ", ".join(decision.desired.plain)
        notes.append(
            f"{names}: stored as plain text in the deployment, for whoever may read it "
            "(plain_secrets); env.secret_refs avoids that"
        )
    retirement = vm_sizes.retirement_date(decision.desired.instance_type)
    if retirement:
        notes.append(f"Azure retires {decision.desired.instance_type} on {retirement}")
    if observed.pull_permission is None and decision.version_action == CREATE and observed.endpoint:
        notes.append("nobody here may see whether the endpoint's identity has AcrPull")
    if spec.missing:
        notes.append(f"not set, so not in the container: {', '.join(spec.missing)}")
    return notes


def required_cores(cores: int, count: int) -> int:
    """Return the cores of quota that `count` instances with `cores` each need."""
    return math.ceil(QUOTA_RESERVE * count) * cores


def _endpoint_steps(spec: Spec, observed: ObservedState, decision: Decision) -> list[Step]:
    settings, resource = settings_of(spec), f"endpoint {naming.endpoint_name(spec)}"
    if observed.endpoint is None:
        identity = place_of(spec).identity
        identity_text = (
            f"identity {identity.rpartition('/')[2]}" if identity else "an identity of its own"
        )
        return [
            Step("create", resource, "", f"auth {settings.auth}, {identity_text}", "none is there")
        ]
    before = f"auth {observed.endpoint.auth}"
    if decision.endpoint_action == KEEP:
        return [Step("keep", resource, before, before, "as configured")]
    return [Step("change", resource, before, before, f"it is {observed.endpoint.state}")]


def _version_steps(
    spec: Spec, image: Image, observed: ObservedState, decision: Decision
) -> list[Step]:
    resource = f"deployment {decision.name}"
    desired_state = decision.desired
    count = str(decision.initial_count) if decision.version_action == CREATE else ""
    steps = [
        Step("remove", f"deployment {name}", _describe_version(observed, name), "", "it is broken")
        for name in decision.broken_versions
    ]
    current = observed.find_version(decision.name)
    if decision.version_action == KEEP and current:
        state_now = f"{current.count} × {current.instance_type}, {current.state}"
        steps.append(
            Step("keep", resource, state_now, state_now, "image and settings are as wanted")
        )
        if decision.instance_count is not None:
            before, after = str(current.count), str(decision.instance_count)
            steps.append(Step("change", "instance_count", before, after, "deploy.yaml"))
    else:
        digest = (image.digest or "").removeprefix("sha256:")[:12]
        image_text = f"{image.tag} ({digest or 'not pushed yet'})"
        after = f"{image_text}, {count} × {desired_state.instance_type}"
        reason = "other settings or another image" if decision.differences else "none is as wanted"
        if not observed.versions:
            reason = "none is there"
        steps.append(
            Step("create", resource, "", after, reason, implied=bool(decision.differences))
        )
        steps += [
            Step("change", difference.what, difference.before, difference.after, f"in {resource}")
            for difference in decision.differences
        ]
    autoscale = settings_of(spec).autoscale
    if decision.autoscale_action:
        autoscale_name = autoscale_rules.rule_name(naming.endpoint_name(spec), decision.name)
        after = f"{autoscale.min} to {autoscale.max} instances" if autoscale else ""
        implied = decision.version_action == CREATE
        steps.append(
            Step(
                decision.autoscale_action,
                f"autoscale {autoscale_name}",
                "",
                after,
                "autoscale",
                implied=implied,
            )
        )
    return steps


def _traffic_steps(spec: Spec, observed: ObservedState, decision: Decision) -> list[Step]:
    settings = settings_of(spec)
    before = traffic.format_shares(observed.traffic)
    steps = []
    if decision.mirror_percent:
        reason = f"copies for {settings.soak} s, before any request is answered by it"
        after = f"{decision.name} {decision.mirror_percent} %"
        steps.append(Step("change", "mirror", "none", after, reason, implied=True))
    for number, shares in enumerate(decision.traffic_steps):
        is_last = number == len(decision.traffic_steps) - 1
        is_only_version = len(decision.traffic_steps) == 1 and not traffic.exclude_version(
            observed.traffic, decision.name
        )
        reason = "nothing else serves" if is_only_version else f"watched for {settings.soak} s"
        # With a new version, a traffic step is implied. Without one, the split was changed outside
        # of this tool, so the last step is a change in its own right.
        implied = decision.version_action == CREATE or not is_last
        steps.append(
            Step(
                "change", "traffic", before, traffic.format_shares(shares), reason, implied=implied
            )
        )
        before = traffic.format_shares(shares)
        if is_last and decision.previous_version:
            note = f"{decision.previous_version} stays for `inv rollback`"
            if settings.keep_previous:
                steps.append(
                    Step("keep", f"deployment {decision.previous_version}", "", "no traffic", note)
                )
    if not steps:
        steps.append(Step("keep", "traffic", before, before, "as it should be"))
    return steps


def _describe_version(observed: ObservedState, name: str) -> str:
    version = observed.find_version(name)
    if version is None:
        return ""
    return f"{version.tags.get(naming.IMAGE_TAG, '')}, {version.state}".lstrip(", ")


def _manual_traffic_notes(observed: ObservedState) -> list[Step]:
    """Return a note if the traffic split was changed manually since the last deployment."""
    if observed.endpoint is None or naming.SHARES_TAG not in observed.endpoint.tags:
        return []
    recorded, current = (
        observed.endpoint.tags[naming.SHARES_TAG],
        naming.encode_shares(observed.traffic),
    )
    if recorded == current:
        return []
    reason = f"somebody moved traffic by hand: the last deploy left {recorded or 'none'}"
    return [Step("note", "traffic", current, recorded, reason)]


def _check_ownership(spec: Spec, location: str, observed: ObservedState) -> list[Problem]:
    endpoint = observed.endpoint
    if endpoint is None:
        return []
    owner = (spec.flow.name, spec.environment)
    tagged_flow = endpoint.tags.get(naming.FLOW_TAG)
    if tagged_flow and not state.is_managed(endpoint.tags, *owner):
        message = f"it is of the flow {tagged_flow} in {endpoint.tags.get(naming.ENVIRONMENT_TAG)}"
        return [Problem(location, message, "set another `endpoint` in deploy.yaml")]
    foreign = [
        v.name
        for v in observed.versions
        if not state.is_managed(v.tags, *owner) and observed.traffic.get(v.name)
    ]
    if foreign:
        message = f"requests go to what no deploy of this flow made: {', '.join(foreign)}"
        return [
            Problem(location, message, "set another `endpoint`, or take their traffic away first")
        ]
    return []


def _check_immutable_settings(spec: Spec, location: str, observed: ObservedState) -> list[Problem]:
    """Return problems with settings that an endpoint cannot change; clients would lose access."""
    if observed.endpoint is None:
        return []
    hint = "set another `endpoint` in deploy.yaml, and move its callers; or destroy it first"
    actual, desired_auth = observed.endpoint.auth, settings_of(spec).auth
    messages = []
    if actual != desired_auth:
        messages.append(f"its auth is {actual}, not {desired_auth}, and does not change")
    if not has_matching_identity(spec, observed.endpoint):
        messages.append(
            "it has another identity than environments.yaml says, and cannot be given that"
        )
    return [Problem(location, message, hint) for message in messages]


def _check_quota(location: str, observed: ObservedState, decision: Decision) -> list[Problem]:
    quota = observed.quota
    if quota is None or quota.limit is None:
        return []
    if decision.version_action != CREATE and decision.instance_count is None:
        return []
    current = observed.find_version(decision.name)
    additional = required_cores(quota.cores_per_instance, decision.initial_count) - (
        required_cores(quota.cores_per_instance, current.count) if current else 0
    )
    free = quota.limit - quota.used
    if additional <= free:
        return []
    message = (
        f"{decision.initial_count} × {decision.desired.instance_type} takes {additional} cores of "
        "quota (a fifth "
        f"more than the instances), and {quota.family} has {free} of {quota.limit} left"
    )
    hint = "ask for more (Azure Machine Learning, Quota), or set another instance_type"
    return [Problem(location, message, hint)]


def _check_pull_permission(
    spec: Spec, location: str, observed: ObservedState, decision: Decision
) -> list[Problem]:
    if observed.pull_permission is not False or decision.version_action != CREATE:
        return []
    principal_text = (
        ", ".join(observed.endpoint.principals) if observed.endpoint else "its identity"
    )
    message = (
        f"the identity {principal_text} may not pull from {spec.place.registry}: AcrPull is missing"
    )
    return [
        Problem(location, message, "have AcrPull on the registry assigned to it; it takes minutes")
    ]
