"""Roll back: one change of the traffic split to the previous version."""

from __future__ import annotations

from deploy.azure import writes
from deploy.core.errors import DeployError
from deploy.targets.azureml import diff, errors, naming, operations
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.settings import EndpointSpec
from deploy.targets.azureml.state import READY, ObservedState, Version
from deploy.targets.azureml.writer import Writer
from deploy.targets.rollout import utc_timestamp


def roll_back(client: Client, spec: EndpointSpec) -> None:
    """Give all traffic to the previous version. Raise `DeployError`."""
    observed = client.read_state()
    version, endpoint = choose_version(spec, observed), observed.endpoint
    if version is None or endpoint is None:
        hint = f"check out the earlier commit, then `inv deploy {spec.options}`"
        raise DeployError(client.where, "there is no previous version", hint)
    shares = {version.name: 100}
    tags = {
        **endpoint.tags,
        **naming.traffic_tags(shares, utc_timestamp(), observed.serving),
    }
    with writes.explained(lambda error: errors.to_deploy_error(error, client.where)):
        Writer(spec).update_endpoint(endpoint, traffic=shares, mirror={}, tags=tags)
        operations.wait_for_traffic(client, lambda _: None, diff.normalize_shares(shares), ())


def choose_version(spec: EndpointSpec, observed: ObservedState) -> Version | None:
    """Return the version to roll back to, or None.

    It is the previous version, or else the newest of the other versions that are ready.
    """
    recorded = observed.endpoint.tags.get(naming.PREVIOUS_TAG, "") if observed.endpoint else ""
    candidates = [
        version
        for version in observed.managed_versions(spec)
        if version.state == READY and version.name != observed.serving
    ]
    return max(
        candidates,
        key=lambda v: (v.name == recorded, v.tags.get(naming.DEPLOYED_AT_TAG, ""), v.name),
        default=None,
    )
