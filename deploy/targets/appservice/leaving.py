"""Removing what deploys made: image and settings. Site and slot are infrastructure's, and stay."""

from __future__ import annotations

from deploy import console
from deploy.errors import DeployError
from deploy.model import Spec, Step
from deploy.targets.appservice import errors, naming, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.naming import VOLATILE, Record
from deploy.targets.appservice.state import Site
from deploy.targets.appservice.writes import RefusedError, Writer


def remove(client: Client, spec: Spec) -> tuple[Step, ...]:
    """Give site and slot the image that they had before the first deploy, and stop them."""
    world = client.look()
    steps: list[Step] = []
    for site in reversed(world.sites):
        found = site.record
        if found and found.of(spec):
            steps += _site(client, spec, site, found)
    return tuple(steps)


def _site(client: Client, spec: Spec, site: Site, found: Record) -> list[Step]:
    what, writer = state.where(spec, site), Writer(spec)
    ours = {*found.names, *VOLATILE}
    others = {name: text for name, text in site.settings.items() if name not in ours}
    with console.phase("destroy", what):
        try:
            # Stopped first: without its key it may not run for a moment.
            writer.stop(site.name)
            writer.web(site.name, {"linuxFxVersion": found.first, "healthCheckPath": ""})
            writer.settings(site.name, others)
        except RefusedError as error:
            raise errors.refused(spec, error.said, "destroy") from None
    still = client.site(site.name)
    if still and still.record:
        raise DeployError(what, "it still has what was deployed", "run this again")
    removed = f"image {naming.shown(site.image)} and {len(ours)} settings"
    return [Step("remove", f"{what}: {removed}", "", "", "it is stopped, and stays")]
