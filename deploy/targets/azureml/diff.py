"""Compare the desired with the observed state and decide what to do: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.core.entities import Image
from deploy.targets.azureml import autoscale, desired, naming, traffic
from deploy.targets.azureml.desired import DesiredState
from deploy.targets.azureml.settings import EndpointSpec
from deploy.targets.azureml.state import BROKEN, READY, Endpoint, ObservedState, Version
from deploy.targets.difference import Difference

CREATE, CHANGE, KEEP = "create", "change", "keep"

Shares = tuple[tuple[str, int], ...]
"""Traffic shares above 0 in percent, sorted by deployment."""


@dataclass(frozen=True)
class StateFingerprint:
    """The parts of the observed state that a plan depends on.

    If they differ when a write is due, the plan is no longer valid. Values that change on their own
    are left out: provisioning states, instance counts under autoscale, deployments being deleted.
    """

    auth: str
    traffic: Shares
    mirror: Shares
    # Name, image and instance type (lower case) of each deployment.
    versions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Decision:
    """What to do. The fields are in order of execution."""

    # create, change or keep
    endpoint_action: str
    # create or keep
    version_action: str
    # The deployment that will serve.
    name: str
    desired: DesiredState
    # Why the deployment that serves now cannot stay.
    differences: tuple[Difference, ...]
    # Broken deployments to remove first.
    broken_versions: tuple[str, ...]
    # The number of instances to set; None leaves it as it is.
    instance_count: int | None
    # create, change, remove, keep, or empty
    autoscale_action: str
    # Percentage of requests to mirror to the new deployment before the traffic steps.
    mirror_percent: int
    # The traffic splits to set, one after the other.
    traffic_steps: tuple[Mapping[str, int], ...]
    # Deployments to remove at the end.
    obsolete_versions: tuple[str, ...]
    # The deployment that served before, and stays for a rollback.
    previous_version: str
    fingerprint: StateFingerprint
    # False if the deployment does not exist, or an earlier run has not completed it.
    is_ready: bool = True
    # False if an operation on the endpoint was in progress.
    is_settled: bool = True

    @property
    def initial_count(self) -> int:
        """Return the number of instances that a new deployment starts with."""
        return self.instance_count or self.desired.count or 1


def decide(spec: EndpointSpec, image: Image, observed: ObservedState) -> Decision:
    """Return what to do to get from the observed to the desired state."""
    settings = spec.settings
    desired_state = desired.build_desired_state(spec, image, observed.endpoint)
    managed = observed.managed_versions(spec)
    matching = _find_matching_version(managed, desired_state, observed)
    name = (
        matching.name
        if matching
        else naming.choose_deployment_name(image, {v.name for v in observed.versions})
    )
    serving_version = observed.find_version(observed.serving)
    traffic_steps = traffic.ramp_steps(observed.traffic, name, settings.rollout)
    previous = _previous_version(managed, observed, name)
    obsolete, broken = _obsolete_versions(managed, observed, name, previous, settings.keep_previous)
    return Decision(
        endpoint_action=_endpoint_action(observed.endpoint),
        version_action=KEEP if matching else CREATE,
        name=name,
        desired=desired_state,
        differences=desired.list_differences(serving_version, desired_state)
        if serving_version and serving_version.name != name
        else (),
        broken_versions=broken if not matching else (),
        instance_count=_instance_count(matching, desired_state, settings.autoscale),
        autoscale_action=autoscale.choose_action(
            spec, observed.autoscale_rule, matching, observed.workspace.location, observed.endpoint
        ),
        mirror_percent=settings.mirror
        if traffic_steps and traffic.exclude_version(observed.traffic, name)
        else 0,
        traffic_steps=traffic_steps,
        obsolete_versions=obsolete
        if matching
        else tuple(version_name for version_name in obsolete if version_name not in broken),
        previous_version=previous,
        fingerprint=fingerprint(observed.endpoint, observed.versions),
        is_ready=matching is not None and matching.state == READY and observed.is_settled,
        is_settled=observed.is_settled,
    )


def fingerprint(endpoint: Endpoint | None, versions: tuple[Version, ...]) -> StateFingerprint:
    """Return the parts of the observed state that a plan depends on."""
    remaining = [v for v in versions if v.state != "Deleting"]
    return StateFingerprint(
        endpoint.auth if endpoint else "",
        normalize_shares(endpoint.traffic if endpoint else {}),
        normalize_shares(endpoint.mirror if endpoint else {}),
        tuple(sorted((v.name, v.image, v.instance_type.lower()) for v in remaining)),
    )


def normalize_shares(shares: Mapping[str, int]) -> Shares:
    """Return the shares above 0, sorted by name."""
    return tuple(sorted((name, share) for name, share in shares.items() if share))


def describe_changes(before: StateFingerprint, current: StateFingerprint) -> str:
    """Return a description of what changed between two fingerprints; empty if nothing did."""
    changes = []
    if before.auth != current.auth:
        changes.append(f"auth: {before.auth or 'no endpoint'} → {current.auth or 'no endpoint'}")
    if before.traffic != current.traffic:
        old, new = (
            traffic.format_shares(dict(before.traffic)),
            traffic.format_shares(dict(current.traffic)),
        )
        changes.append(f"traffic: {old} → {new}")
    if before.mirror != current.mirror:
        changes.append("another mirror traffic")
    old_versions, new_versions = set(before.versions), set(current.versions)
    changes += [f"the deployment {name} is new" for name, *_ in sorted(new_versions - old_versions)]
    changes += [
        f"the deployment {version[0]} was deleted"
        for version in sorted(old_versions - new_versions)
    ]
    return "; ".join(changes)


def _find_matching_version(
    managed: list[Version], desired_state: DesiredState, observed: ObservedState
) -> Version | None:
    """Return the deployment that matches the desired state, or None.

    Of several, it is the one with the most traffic, then one that is ready.
    """
    matching = [
        v
        for v in managed
        if desired_state.image
        and v.state not in BROKEN
        and v.state != "Deleting"
        and not desired.list_differences(v, desired_state)
    ]
    return max(
        matching,
        key=lambda v: (observed.traffic.get(v.name, 0), v.state == READY, v.name),
        default=None,
    )


def _endpoint_action(endpoint: Endpoint | None) -> str:
    if endpoint is None:
        return CREATE
    return CHANGE if endpoint.state in BROKEN else KEEP


def _instance_count(
    matching: Version | None, desired_state: DesiredState, autoscale: Any
) -> int | None:
    if autoscale:
        return autoscale.min if matching is None else None
    if matching is None:
        return desired_state.count
    return desired_state.count if matching.count != desired_state.count else None


def _previous_version(managed: list[Version], observed: ObservedState, name: str) -> str:
    """Return the name of the previous version.

    It has most of the remaining traffic, or the endpoint's tag names it; empty if there is none.
    """
    broken = {v.name for v in observed.versions if v.state in BROKEN}
    others = {
        version_name: share
        for version_name, share in observed.traffic.items()
        if version_name not in {name, *broken}
    }
    if others:
        return max(sorted(others), key=lambda version_name: others[version_name])
    tagged = observed.endpoint.tags.get(naming.PREVIOUS_TAG, "") if observed.endpoint else ""
    return tagged if tagged in {v.name for v in managed} - {name, *broken} else ""


def _obsolete_versions(
    managed: list[Version], observed: ObservedState, name: str, previous: str, keep: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the deployments to remove at the end, and the broken ones without traffic.

    The newest `keep` deployments stay, the previous version first.
    """
    others = [v for v in managed if v.name != name and v.state != "Deleting"]
    # A deployment that serves can be broken, too, after a failed update. It is removed at the end.
    broken = [v.name for v in others if v.state in BROKEN]
    newest_first = sorted(
        (v for v in others if v.name not in broken),
        key=lambda v: (v.name == previous, v.tags.get(naming.DEPLOYED_AT_TAG, ""), v.name),
        reverse=True,
    )
    superfluous = [v.name for v in newest_first[keep:]]
    idle = [name for name in broken if not observed.traffic.get(name)]
    return tuple(sorted([*superfluous, *broken])), tuple(sorted(idle))


def has_matching_identity(spec: EndpointSpec, endpoint: Endpoint) -> bool:
    """Return whether the endpoint has the configured identity, which cannot be changed later."""
    identity = spec.place.identity
    if identity:
        return identity.lower() in endpoint.client_ids
    return endpoint.identity_type.startswith("SystemAssigned")
