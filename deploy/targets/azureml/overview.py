"""What runs, for people and programs: who serves what share, and since when."""

from __future__ import annotations

from deploy.model import Deployment, Share, Spec
from deploy.targets.azureml import naming, state
from deploy.targets.azureml.state import BROKEN, BUSY, READY, Version, World


def of(spec: Spec, world: World) -> Deployment | None:
    """Return what runs, or None where no deploy has made anything."""
    endpoint = world.endpoint
    if endpoint is None:
        return None
    own = [v for v in world.versions if state.ours(v.tags, spec.flow.name, spec.environment)]
    if not own and not state.ours(endpoint.tags, spec.flow.name, spec.environment):
        return None
    shares = tuple(_share(world, version) for version in own)
    main = max(
        own,
        key=lambda v: (world.traffic.get(v.name, 0), v.state == READY, v.tags.get(naming.AT, "")),
        default=None,
    )
    tags = main.tags if main else {}
    return Deployment(
        flow=spec.flow.name,
        environment=spec.environment,
        target="azureml",
        state=_state(world, main),
        url=endpoint.url.removesuffix("/score"),
        auth=endpoint.auth,
        image_id=main.image if main else "",
        tag=tags.get(naming.TAG, ""),
        commit=tags.get(naming.COMMIT, ""),
        created=tags.get(naming.AT, ""),
        name=main.name if main else "",
        digest=(main.image.partition("@")[2] if main else "") or tags.get(naming.DIGEST, ""),
        shares=tuple(sorted(shares, key=lambda one: (-one.percent, one.name))),
    )


def _share(world: World, version: Version) -> Share:
    endpoint = world.endpoint
    percent = world.traffic.get(version.name, 0)
    told = endpoint.tags if endpoint else {}
    # Somebody may have moved requests by hand since: then nobody knows since when.
    known = told.get(naming.SHARES) == naming.shares_text(world.traffic)
    since = told.get(naming.SINCE, "") if known and percent else ""
    return Share(
        name=version.name,
        percent=percent,
        state=version.state,
        tag=version.tags.get(naming.TAG, ""),
        commit=version.tags.get(naming.COMMIT, ""),
        digest=version.image.partition("@")[2],
        since=since,
        by=version.tags.get(naming.BY, ""),
    )


def _state(world: World, main: Version | None) -> str:
    if main is None:
        return "starting" if world.endpoint and world.endpoint.state in BUSY else "stopped"
    if main.state in BROKEN:
        return "unhealthy"
    serves = world.traffic.get(main.name, 0) > 0
    if main.state == READY:
        return "healthy" if serves else "stopped"
    # One that serves goes on serving while it is changed.
    return "healthy" if serves and main.state != "Creating" else "starting"
