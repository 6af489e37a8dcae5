"""Deployment status: versions, their shares of the traffic, and since when."""

from __future__ import annotations

from deploy.core.entities import Deployment, TrafficShare
from deploy.targets.azureml import naming, state
from deploy.targets.azureml.settings import EndpointSpec
from deploy.targets.azureml.state import BROKEN, BUSY, READY, ObservedState, Version


def build_deployment(spec: EndpointSpec, observed: ObservedState) -> Deployment | None:
    """Return the status of the deployment, or None if this tool has deployed nothing."""
    endpoint = observed.endpoint
    if endpoint is None:
        return None
    managed = observed.managed_versions(spec)
    if not managed and not state.is_managed(endpoint.tags, spec):
        return None
    shares = tuple(_build_share(observed, version) for version in managed)
    main = max(
        managed,
        key=lambda v: (
            observed.traffic.get(v.name, 0),
            v.state == READY,
            v.tags.get(naming.DEPLOYED_AT_TAG, ""),
        ),
        default=None,
    )
    tags = main.tags if main else {}
    return Deployment(
        flow=spec.flow.name,
        environment=spec.environment,
        target=spec.target,
        state=_health_state(observed, main),
        url=endpoint.base_url,
        auth=endpoint.auth,
        image_id=main.image if main else "",
        tag=tags.get(naming.IMAGE_TAG, ""),
        commit=tags.get(naming.COMMIT_TAG, ""),
        created=tags.get(naming.DEPLOYED_AT_TAG, ""),
        name=main.name if main else "",
        digest=(main.image.partition("@")[2] if main else "") or tags.get(naming.DIGEST_TAG, ""),
        shares=tuple(sorted(shares, key=lambda share: (-share.percent, share.name))),
    )


def _build_share(observed: ObservedState, version: Version) -> TrafficShare:
    endpoint = observed.endpoint
    percent = observed.traffic.get(version.name, 0)
    endpoint_tags = endpoint.tags if endpoint else {}
    # If the traffic split was changed manually, the time of the change is unknown.
    is_unchanged = endpoint_tags.get(naming.SHARES_TAG) == naming.encode_shares(observed.traffic)
    since = endpoint_tags.get(naming.SINCE_TAG, "") if is_unchanged and percent else ""
    return TrafficShare(
        name=version.name,
        percent=percent,
        state=version.state,
        tag=version.tags.get(naming.IMAGE_TAG, ""),
        commit=version.tags.get(naming.COMMIT_TAG, ""),
        digest=version.image.partition("@")[2],
        since=since,
        by=version.tags.get(naming.DEPLOYED_BY_TAG, ""),
    )


def _health_state(observed: ObservedState, main: Version | None) -> str:
    if main is None:
        return "starting" if observed.endpoint and observed.endpoint.state in BUSY else "stopped"
    if main.state in BROKEN:
        return "unhealthy"
    serves = observed.traffic.get(main.name, 0) > 0
    if main.state == READY:
        return "healthy" if serves else "stopped"
    # A deployment keeps serving while it is updated.
    return "healthy" if serves and main.state != "Creating" else "starting"
