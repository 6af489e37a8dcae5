"""Roll back: one change of the traffic split to the previous version."""

from __future__ import annotations

from deploy.core.entities import Spec
from deploy.core.errors import DeployError
from deploy.targets.azureml import diff, errors, naming, operations, state
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.mutations import Writer, WriteRejected
from deploy.targets.azureml.state import READY, ObservedState, Version


def roll_back(client: Client, spec: Spec) -> None:
    """Give all traffic to the previous version. Raise `DeployError`."""
    observed = client.read_state()
    target = choose_version(spec, observed)
    endpoint = observed.endpoint
    if target is None or endpoint is None:
        message = "no earlier version is there to go back to"
        hint = f"check the earlier commit out, then `inv deploy {spec.options}`"
        raise DeployError(client.where, message, hint)
    serving = max(sorted(observed.traffic), key=lambda name: observed.traffic[name], default="")
    shares = {target.name: 100}
    tags = {
        **endpoint.tags,
        naming.SHARES_TAG: naming.encode_shares(shares),
        naming.SINCE_TAG: naming.utc_timestamp(),
        naming.PREVIOUS_TAG: serving,
    }
    try:
        Writer(spec).update_endpoint(endpoint, traffic=shares, mirror={}, tags=tags)
        operations.wait_for_endpoint(
            client,
            lambda _: None,
            lambda e: diff.normalize_shares(e.traffic) == diff.normalize_shares(shares),
        )
    except (WriteRejected, operations.OperationFailed) as error:
        diagnosis = errors.diagnose(error.azure_error, errors.ErrorContext())
        raise DeployError(client.where, diagnosis.what, diagnosis.hint) from None


def choose_version(spec: Spec, observed: ObservedState) -> Version | None:
    """Return the version to roll back to, or None.

    It is the previous version, or else the newest of the other versions that are ready.
    """
    recorded = observed.endpoint.tags.get(naming.PREVIOUS_TAG, "") if observed.endpoint else ""
    candidates = [
        v
        for v in observed.versions
        if state.is_managed(v.tags, spec.flow.name, spec.environment)
        and v.state == READY
        and observed.traffic.get(v.name, 0) < 100
        and v.name != _serving_version(observed)
    ]
    return max(
        candidates,
        key=lambda v: (v.name == recorded, v.tags.get(naming.DEPLOYED_AT_TAG, ""), v.name),
        default=None,
    )


def _serving_version(observed: ObservedState) -> str:
    return max(sorted(observed.traffic), key=lambda name: observed.traffic[name], default="")
