"""Deployment status: the versions in production and on the slot."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.core.entities import Deployment, TrafficShare
from deploy.targets import verification
from deploy.targets.appservice import authentication, readiness
from deploy.targets.appservice.naming import PRODUCTION, DeploymentRecord
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import STOPPED, ObservedState, Site


def build_deployment(
    spec: SiteSpec, observed: ObservedState, headers: Mapping[str, str] | None
) -> Deployment | None:
    """Return the status of the deployment, or None if this tool has deployed nothing.

    The container itself reports its health. Without `headers`, /version cannot be requested, so
    /health decides.
    """
    site = observed.production
    record = site.record
    if record is None or not record.is_managed_by(spec):
        return None
    states = {item.name: _health_state(item, headers) for item in observed.sites}
    return Deployment(
        flow=spec.flow.name,
        environment=spec.environment,
        target=spec.target,
        state=states[PRODUCTION],
        url=site.url,
        auth=authentication.auth_mode(site.auth, site.settings),
        image_id=site.image,
        tag=record.tag,
        commit=record.commit,
        created=record.at,
        name=PRODUCTION,
        digest=record.digest,
        shares=tuple(
            _build_share(item, site_record, states[item.name])
            for item in observed.sites
            if (site_record := item.record) and site_record.is_managed_by(spec)
        )
        if observed.slot
        else (),
    )


def _build_share(site: Site, record: DeploymentRecord, state: str) -> TrafficShare:
    return TrafficShare(
        name=site.name,
        percent=100 if site.name == PRODUCTION else 0,
        state=state,
        tag=record.tag,
        commit=record.commit,
        digest=record.digest,
        since=record.at,
        by=record.by,
    )


def _health_state(site: Site, headers: Mapping[str, str] | None) -> str:
    if site.state == STOPPED:
        return "stopped"
    if headers is None:
        return "healthy" if verification.is_healthy(site.url) else "unhealthy"
    record = site.record
    is_healthy = record and readiness.fetch_version(site.url, headers) == readiness.format_version(
        record
    )
    return "healthy" if is_healthy else "unhealthy"
