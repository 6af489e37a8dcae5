"""The way back: one change of traffic to the version that served before."""

from __future__ import annotations

from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.azureml import decide, errors, naming, state, waiting
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.state import READY, Version, World
from deploy.targets.azureml.writes import RefusedError, Writer


def roll_back(client: Client, spec: Spec) -> None:
    """Give all requests to the version that served before. Raises `DeployError`."""
    world = client.look()
    target = chosen(spec, world)
    endpoint = world.endpoint
    if target is None or endpoint is None:
        what = "no earlier version is there to go back to"
        hint = f"check the earlier commit out, then `inv deploy {spec.options}`"
        raise DeployError(client.where, what, hint)
    serving = max(sorted(world.traffic), key=lambda name: world.traffic[name], default="")
    shares = {target.name: 100}
    tags = {
        **endpoint.tags,
        naming.SHARES: naming.shares_text(shares),
        naming.SINCE: naming.now(),
        naming.PREVIOUS: serving,
    }
    try:
        Writer(spec).change_endpoint(endpoint, traffic=shares, mirror={}, tags=tags)
        waiting.for_endpoint(
            client, lambda _: None, lambda e: decide.shares(e.traffic) == decide.shares(shares)
        )
    except (RefusedError, waiting.FailedError) as error:
        found = errors.reason(error.said, errors.About())
        raise DeployError(client.where, found.what, found.hint) from None


def chosen(spec: Spec, world: World) -> Version | None:
    """Return the version to go back to: the one that served before, or the newest of the rest."""
    told = world.endpoint.tags.get(naming.PREVIOUS, "") if world.endpoint else ""
    rest = [
        v
        for v in world.versions
        if state.ours(v.tags, spec.flow.name, spec.environment)
        and v.state == READY
        and world.traffic.get(v.name, 0) < 100
        and v.name != _largest(world)
    ]
    return max(
        rest, key=lambda v: (v.name == told, v.tags.get(naming.AT, ""), v.name), default=None
    )


def _largest(world: World) -> str:
    return max(sorted(world.traffic), key=lambda name: world.traffic[name], default="")
