"""The rows of a plan: change, before, after, reason."""

from __future__ import annotations

from deploy.azure import preflight, pull_permission
from deploy.core.entities import Image, Step
from deploy.targets.azureml import autoscale as autoscale_rules
from deploy.targets.azureml import naming, traffic, vm_sizes
from deploy.targets.azureml.diff import CREATE, KEEP, Decision
from deploy.targets.azureml.settings import EndpointSpec
from deploy.targets.azureml.state import ObservedState


def list_steps(
    spec: EndpointSpec, image: Image, observed: ObservedState, decision: Decision
) -> tuple[Step, ...]:
    """Return the rows of a plan."""
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
                "it gets no traffic any more",
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


def list_notes(spec: EndpointSpec, observed: ObservedState, decision: Decision) -> list[str]:
    """Return notes for the user that imply no change."""
    notes = list(observed.notes)
    if decision.desired.plain:
        notes.append(preflight.describe_plain_secrets(decision.desired.plain, "the deployment"))
    retirement = vm_sizes.retirement_date(decision.desired.instance_type)
    if retirement:
        notes.append(f"Azure retires {decision.desired.instance_type} on {retirement}")
    if observed.pull_permission is None and decision.version_action == CREATE and observed.endpoint:
        notes.append(pull_permission.UNKNOWN_NOTE)
    if spec.missing:
        notes.append(f"not set, and therefore not in the container: {', '.join(spec.missing)}")
    return notes


def _endpoint_steps(spec: EndpointSpec, observed: ObservedState, decision: Decision) -> list[Step]:
    settings, resource = spec.settings, f"endpoint {naming.endpoint_name(spec)}"
    if observed.endpoint is None:
        identity = spec.place.identity
        identity_text = (
            f"identity {identity.rpartition('/')[2]}" if identity else "an identity of its own"
        )
        return [
            Step(
                "create",
                resource,
                "",
                f"auth {settings.auth}, {identity_text}",
                "no endpoint exists",
            )
        ]
    before = f"auth {observed.endpoint.auth}"
    if decision.endpoint_action == KEEP:
        return [Step("keep", resource, before, before, "as configured")]
    return [Step("change", resource, before, before, f"its state is {observed.endpoint.state}")]


def _version_steps(
    spec: EndpointSpec, image: Image, observed: ObservedState, decision: Decision
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
            Step("keep", resource, state_now, state_now, "image and settings are the same")
        )
        if decision.instance_count is not None:
            before, after = str(current.count), str(decision.instance_count)
            steps.append(Step("change", "instance_count", before, after, "deploy.yaml"))
    else:
        digest = (image.digest or "").removeprefix("sha256:")[:12]
        image_text = f"{image.tag} ({digest or 'not pushed yet'})"
        after = f"{image_text}, {count} × {desired_state.instance_type}"
        reason = "other settings or another image" if decision.differences else "none matches"
        if not observed.versions:
            reason = "no deployment exists"
        steps.append(
            Step("create", resource, "", after, reason, implied=bool(decision.differences))
        )
        steps += [difference.to_step(f"in {resource}") for difference in decision.differences]
    autoscale = spec.settings.autoscale
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


def _traffic_steps(spec: EndpointSpec, observed: ObservedState, decision: Decision) -> list[Step]:
    settings = spec.settings
    before = traffic.format_shares(observed.traffic)
    steps = []
    if decision.mirror_percent:
        reason = f"copies of requests for {settings.soak} s, before it answers any"
        after = f"{decision.name} {decision.mirror_percent} %"
        steps.append(Step("change", "mirror", "none", after, reason, implied=True))
    for number, shares in enumerate(decision.traffic_steps):
        is_last = number == len(decision.traffic_steps) - 1
        is_only_version = len(decision.traffic_steps) == 1 and not traffic.exclude_version(
            observed.traffic, decision.name
        )
        reason = "it is the only version" if is_only_version else f"watched for {settings.soak} s"
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
        steps.append(Step("keep", "traffic", before, before, "as configured"))
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
    reason = f"changed outside of this tool: the last deployment set {recorded or 'none'}"
    return [Step("note", "traffic", current, recorded, reason)]
