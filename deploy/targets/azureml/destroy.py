"""Remove the resources that this tool created, and no others."""

from __future__ import annotations

from collections.abc import Callable

from deploy.core import progress
from deploy.core.entities import Spec, Step
from deploy.core.errors import DeployError
from deploy.targets.azureml import errors, naming, operations, prechecks, state
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.mutations import Writer, WriteRejected
from deploy.targets.azureml.state import ObservedState, Version


def destroy_deployment(client: Client, spec: Spec) -> tuple[Step, ...]:
    """Remove the endpoint if this tool created it and all its deployments.

    Otherwise remove only the deployments of this flow and environment.
    """
    observed = client.read_state()
    endpoint = observed.endpoint
    if endpoint is None:
        return ()
    managed = [
        v for v in observed.versions if state.is_managed(v.tags, spec.flow.name, spec.environment)
    ]
    for version in managed:
        prechecks.delete_autoscale_rule(client, version.name)
    is_managed = state.is_managed(endpoint.tags, spec.flow.name, spec.environment)
    writer = Writer(spec)
    if (
        is_managed
        and endpoint.tags.get(naming.CREATED_TAG)
        and len(managed) == len(observed.versions)
    ):
        with progress.phase("destroy", client.where) as phase:
            _submit(client, writer.delete_endpoint)
            operations.wait_until_deleted(client, client.read_endpoint, phase.update)
        return (
            *(Step("remove", f"deployment {v.name}") for v in managed),
            Step("remove", client.where),
        )
    return _remove_versions(client, writer, observed, managed)


def _remove_versions(
    client: Client, writer: Writer, observed: ObservedState, managed: list[Version]
) -> tuple[Step, ...]:
    endpoint = observed.endpoint
    if managed and endpoint and any(observed.traffic.get(v.name) for v in managed):
        names = {v.name for v in managed}
        others = {name: share for name, share in observed.traffic.items() if name not in names}
        if others:
            message = f"requests go to {', '.join(sorted(others))} too, which no deploy made"
            raise DeployError(client.where, message, "give that all of them first")
        with progress.phase("traffic", "none") as phase:
            _submit(client, lambda: writer.update_endpoint(endpoint, traffic={}, mirror={}))
            operations.wait_for_endpoint(
                client, phase.update, lambda e: not any(e.traffic.values())
            )
    for version in managed:
        _remove_version(client, writer, version.name)
    return tuple(Step("remove", f"deployment {v.name}") for v in managed)


def _remove_version(client: Client, writer: Writer, name: str) -> None:
    with progress.phase("destroy", f"deployment {name}") as phase:
        _submit(client, lambda: writer.delete_deployment(name))
        operations.wait_until_deleted(client, lambda: client.read_version(name), phase.update)


def _submit(client: Client, write: Callable[[], None]) -> None:
    try:
        write()
    except WriteRejected as error:
        diagnosis = errors.diagnose(error.azure_error, errors.ErrorContext())
        raise DeployError(client.where, diagnosis.what, diagnosis.hint) from None
