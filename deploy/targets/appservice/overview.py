"""What runs, for people and programs: in production, and on the slot beside it."""

from __future__ import annotations

from collections.abc import Mapping

from deploy import verify
from deploy.model import Deployment, Share, Spec
from deploy.targets.appservice import access, warming
from deploy.targets.appservice.naming import PRODUCTION, Record
from deploy.targets.appservice.state import STOPPED, Site, World


def of(spec: Spec, world: World, headers: Mapping[str, str] | None) -> Deployment | None:
    """Return what runs, or None where no deploy has made anything.

    Whether it is healthy the container itself is asked; without `headers` nobody here may ask for
    its version, and /health must do.
    """
    site = world.production
    record = site.record
    if record is None or not record.of(spec):
        return None
    states = {one.name: _state(one, headers) for one in world.sites}
    return Deployment(
        flow=spec.flow.name,
        environment=spec.environment,
        target="appservice",
        state=states[PRODUCTION],
        url=site.url,
        auth=access.shown(site.auth, site.settings),
        image_id=site.image,
        tag=record.tag,
        commit=record.commit,
        created=record.at,
        name=PRODUCTION,
        digest=record.digest,
        shares=tuple(
            _share(one, found, states[one.name])
            for one in world.sites
            if (found := one.record) and found.of(spec)
        )
        if world.slot
        else (),
    )


def _share(site: Site, record: Record, state: str) -> Share:
    return Share(
        name=site.name,
        percent=100 if site.name == PRODUCTION else 0,
        state=state,
        tag=record.tag,
        commit=record.commit,
        digest=record.digest,
        since=record.at,
        by=record.by,
    )


def _state(site: Site, headers: Mapping[str, str] | None) -> str:
    if site.state == STOPPED:
        return "stopped"
    if headers is None:
        return "healthy" if verify.healthy(site.url) else "unhealthy"
    record = site.record
    well = record and warming.asked(site.url, headers) == warming.name_of(record)
    return "healthy" if well else "unhealthy"
