"""Remove the resources that this tool created, and no others."""

from __future__ import annotations

from deploy.azure import writes
from deploy.core import progress
from deploy.core.entities import Step
from deploy.core.errors import DeployError
from deploy.targets.azureml import errors, naming, operations, state
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.settings import EndpointSpec
from deploy.targets.azureml.state import ObservedState
from deploy.targets.azureml.writer import Writer


def destroy_deployment(client: Client, spec: EndpointSpec) -> tuple[Step, ...]:
    """Remove the endpoint if this tool created it and all its deployments.

    Otherwise remove only the deployments of this flow and environment. Raise `DeployError`.
    """
    observed = client.read_state()
    endpoint, managed = observed.endpoint, observed.managed_versions(spec)
    if endpoint is None:
        return ()
    writer = Writer(spec)
    steps = [Step("remove", f"deployment {version.name}") for version in managed]
    with writes.explained(lambda error: errors.to_deploy_error(error, client.where)):
        for version in managed:
            client.delete_autoscale_rule(version.name)
        is_created = state.is_managed(endpoint.tags, spec) and naming.CREATED_TAG in endpoint.tags
        if is_created and len(managed) == len(observed.versions):
            with progress.phase("destroy", client.where) as phase:
                writer.delete_endpoint()
                operations.wait_until_deleted(client, client.read_endpoint, phase.update)
            return (*steps, Step("remove", client.where))
        _remove_traffic(client, writer, observed, {version.name for version in managed})
        for version in managed:
            with progress.phase("destroy", f"deployment {version.name}") as phase:
                writer.delete_deployment(version.name)
                operations.wait_until_version_deleted(client, version.name, phase.update)
    return tuple(steps)


def _remove_traffic(
    client: Client, writer: Writer, observed: ObservedState, names: set[str]
) -> None:
    """Remove the traffic of the deployments `names`, which can then be deleted."""
    if observed.endpoint is None or not names & set(observed.traffic):
        return
    others = sorted(set(observed.traffic) - names)
    if others:
        message = f"deployments that this tool did not create get traffic, too: {', '.join(others)}"
        raise DeployError(client.where, message, "move all traffic to them first")
    with progress.phase("traffic", "none") as phase:
        writer.update_endpoint(observed.endpoint, traffic={}, mirror={})
        operations.wait_for_traffic(client, phase.update, (), ())
