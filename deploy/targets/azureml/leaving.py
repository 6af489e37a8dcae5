"""Removing what deploys made, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from deploy import console
from deploy.errors import DeployError
from deploy.model import Spec, Step
from deploy.targets.azureml import errors, naming, state, survey, waiting
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.state import Version, World
from deploy.targets.azureml.writes import RefusedError, Writer


def remove(client: Client, spec: Spec) -> tuple[Step, ...]:
    """Remove the endpoint, if a deploy made it and all in it; or else the flow's deployments."""
    world = client.look()
    endpoint = world.endpoint
    if endpoint is None:
        return ()
    own = [v for v in world.versions if state.ours(v.tags, spec.flow.name, spec.environment)]
    for version in own:
        survey.remove_rule(client, version.name)
    made = state.ours(endpoint.tags, spec.flow.name, spec.environment)
    writer = Writer(spec)
    if made and endpoint.tags.get(naming.MADE) and len(own) == len(world.versions):
        with console.phase("destroy", client.where) as shown:
            _do(client, writer.delete_endpoint)
            waiting.until_gone(client, client.endpoint, shown.now)
        return (
            *(Step("remove", f"deployment {v.name}") for v in own),
            Step("remove", client.where),
        )
    return _versions(client, writer, world, own)


def _versions(client: Client, writer: Writer, world: World, own: list[Version]) -> tuple[Step, ...]:
    endpoint = world.endpoint
    if own and endpoint and any(world.traffic.get(v.name) for v in own):
        names = {v.name for v in own}
        rest = {name: share for name, share in world.traffic.items() if name not in names}
        if rest:
            what = f"requests go to {', '.join(sorted(rest))} too, which no deploy made"
            raise DeployError(client.where, what, "give that all of them first")
        with console.phase("traffic", "none") as shown:
            _do(client, lambda: writer.change_endpoint(endpoint, traffic={}, mirror={}))
            waiting.for_endpoint(client, shown.now, lambda e: not any(e.traffic.values()))
    for version in own:
        _version(client, writer, version.name)
    return tuple(Step("remove", f"deployment {v.name}") for v in own)


def _version(client: Client, writer: Writer, name: str) -> None:
    with console.phase("destroy", f"deployment {name}") as shown:
        _do(client, lambda: writer.delete_deployment(name))
        waiting.until_gone(client, lambda: client.version(name), shown.now)


def _do(client: Client, write: Callable[[], None]) -> None:
    try:
        write()
    except RefusedError as error:
        found = errors.reason(error.said, errors.About())
        raise DeployError(client.where, found.what, found.hint) from None
