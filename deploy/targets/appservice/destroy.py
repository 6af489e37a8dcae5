"""Remove the image and settings of deployments. Site and slot stay: infrastructure owns them."""

from __future__ import annotations

from deploy.azure import writes
from deploy.core import progress
from deploy.core.entities import Step
from deploy.core.errors import DeployError
from deploy.targets.appservice import errors, naming, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.naming import VOLATILE_SETTINGS, DeploymentRecord
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import Site
from deploy.targets.appservice.writer import Writer


def destroy_deployment(client: Client, spec: SiteSpec) -> tuple[Step, ...]:
    """Stop site and slot, and restore the image that they had before the first deployment."""
    observed = client.read_state()
    steps: list[Step] = []
    for site in reversed(observed.sites):
        record = site.record
        if record and record.is_managed_by(spec):
            steps += _reset_site(client, spec, site, record)
    return tuple(steps)


def _reset_site(client: Client, spec: SiteSpec, site: Site, record: DeploymentRecord) -> list[Step]:
    resource, writer = state.describe_site(spec, site), Writer(spec)
    managed_names = {*record.names, *VOLATILE_SETTINGS}
    unmanaged = {name: text for name, text in site.settings.items() if name not in managed_names}
    with (
        progress.phase("destroy", resource),
        writes.explained(lambda error: errors.to_deploy_error(spec, error, "destroy")),
    ):
        # Stop first: the container must not run without its key, even for a moment.
        writer.stop(site.name)
        writer.update_configuration(
            site.name, {"linuxFxVersion": record.first, "healthCheckPath": ""}
        )
        writer.write_settings(site.name, unmanaged)
    remaining = client.read_site(site.name)
    if remaining and remaining.record:
        raise DeployError(resource, "the deployment could not be removed", "run this again")
    removed = f"image {naming.format_image(site.image)} and {len(managed_names)} settings"
    return [Step("remove", f"{resource}: {removed}", "", "", "the site is stopped, and remains")]
