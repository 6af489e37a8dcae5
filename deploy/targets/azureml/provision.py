"""Start a deployment: create it, wait until it is ready, retry or delete it if that fails."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from deploy.azure import writes
from deploy.azure.writes import WriteRejected
from deploy.core import interrupts, progress
from deploy.core.errors import DeployError
from deploy.targets.azureml import desired, errors, operations
from deploy.targets.azureml.operations import OperationFailed
from deploy.targets.azureml.probes import Probe
from deploy.targets.azureml.rollout_state import RolloutState
from deploy.targets.azureml.state import BUSY, Version
from deploy.targets.rollout import OperationPending, ReportProgress, conflict_error

# Attempts to start a deployment if another operation cancels it.
MAX_ATTEMPTS = 4
# A role that Azure assigned to the identity of a new endpoint takes minutes to take effect.
ROLE_TIMEOUT_SECONDS = 600.0
# After a deployment is ready, the service in front of it needs some time to route to it.
ROUTE_TIMEOUT_SECONDS = 120.0
# HTTP statuses until then; 0 is no response.
UNROUTED_STATUSES = (0, 404, 424, 502, 503)


def start_deployment(rollout: RolloutState, is_new_endpoint: bool, wait: bool) -> None:
    """Create the deployment and wait until it is ready.

    Raise `DeployError` if the start fails, `OperationPending` without `wait`.
    """
    for broken in rollout.decision.broken_versions:
        _remove_broken_version(rollout, broken)
    role_pending = is_new_endpoint and rollout.client.is_role_automatic(rollout.recheck())
    deadline = time.monotonic() + (ROLE_TIMEOUT_SECONDS if role_pending else 0.0)
    attempts = 0
    while True:
        attempts += 1
        try:
            _start_once(rollout, wait)
            return
        except OperationFailed as error:
            azure_error = error.azure_error
        category = errors.diagnose(azure_error, rollout.error_context()).category
        retry_reasons = {
            errors.CANCELED: attempts < MAX_ATTEMPTS and "Azure canceled it",
            errors.ROLE: time.monotonic() < deadline and "the role to pull is not effective yet",
        }
        reason = retry_reasons.get(category)
        if not reason:
            raise rollout.explain_error(azure_error, f"deployment {rollout.decision.name}")
        discard_deployment(rollout, wait=True)
        progress.note("start", f"{reason}: trying again")
        rollout.pause()


def resume_deployment(rollout: RolloutState, wait: bool) -> None:
    """Wait for a deployment of an earlier run. Raise `OperationPending` without `wait`."""
    version = rollout.client.read_version(rollout.decision.name)
    if version is None or version.state not in BUSY:
        return
    if not wait:
        raise OperationPending
    with progress.phase("start", f"deployment {version.name}: started by an earlier run") as phase:
        wait_for_deployment(rollout, phase.update, lambda _: True)


def wait_for_deployment(
    rollout: RolloutState, report: ReportProgress, done: Callable[[Version], bool]
) -> None:
    """Wait for the deployment that will serve. Raise `DeployError` if it fails."""
    name = rollout.decision.name
    with writes.explained(lambda error: rollout.explain_error(error, f"deployment {name}")):
        operations.wait_for_version(rollout.client, name, report, done)


def wait_for_route(
    rollout: RolloutState,
    send_probe: Callable[[], Probe],
    fetch_content_tag: Callable[[], str],
    report: ReportProgress,
) -> None:
    """Score the sample until the service in front routes to the new deployment.

    `fetch_content_tag` returns the content tag that the container reports, empty if it cannot be
    requested. Raise `DeployError` if the sample fails, or if another deployment or content answers.
    """
    name, location = rollout.decision.name, rollout.client.where
    result = _probe_until_routed(rollout, send_probe, report)
    if result.problem:
        message = f"the sample, sent to {name}, fails: {result.problem}"
        hint = (
            "see the log lines; the services that the flow connects to must grant access to the "
            "endpoint's identity, and a new role takes minutes to take effect"
        )
        raise DeployError(location, message, hint)
    if result.version and result.version != name:
        message = f"{result.version} answered a request that was sent to {name}"
        raise DeployError(location, message, "run this again")
    content_tag = fetch_content_tag()
    if content_tag and content_tag != rollout.image.tag:
        message = f"{name} runs {content_tag}, but {rollout.image.tag} was deployed"
        raise DeployError(location, message, "push the image again, then deploy")


def discard_deployment(rollout: RolloutState, wait: bool = False) -> None:
    """Delete the new deployment, which gets no traffic; the next attempt needs its quota.

    With `wait`, wait until it is deleted.
    """
    name = rollout.decision.name
    try:
        deployment = rollout.client.read_version(name)
        if deployment is None or deployment.state == "Deleting":
            return
        rollout.writer.delete_deployment(name)
        rollout.register_write(versions=rollout.expected_versions(name, False))
        rollout.confirm_write()
        if wait:
            operations.wait_until_version_deleted(rollout.client, name, lambda _: None)
    except (WriteRejected, DeployError) as error:
        progress.note("remove", f"deployment {name} could not be removed: {error}")


def _start_once(rollout: RolloutState, wait: bool) -> None:
    """Create the deployment and wait until it is ready. Raise `OperationFailed` if it fails."""
    decision, name = rollout.decision, rollout.decision.name
    rollout.recheck()
    with progress.phase("start", f"deployment {name}") as phase:
        put = functools.partial(
            rollout.writer.put_deployment,
            name,
            decision.desired,
            decision.initial_count,
            rollout.deployment_tags(),
        )
        rollout.write_with_retries(put, versions=rollout.expected_versions(name, True))
        rollout.confirm_write()
        if not wait:
            raise OperationPending
        version = operations.wait_for_version(rollout.client, name, phase.update)
    differences = desired.list_differences(version, decision.desired)
    if differences:
        changes = f"the deployment {name} has another {differences[0].what}"
        raise conflict_error(rollout.client.where, rollout.spec.options, changes)


def _probe_until_routed(
    rollout: RolloutState, send_probe: Callable[[], Probe], report: ReportProgress
) -> Probe:
    start = time.monotonic()
    while True:
        result = send_probe()
        elapsed = time.monotonic() - start
        is_routed = not result.problem or result.status not in UNROUTED_STATUSES
        if is_routed or elapsed > ROUTE_TIMEOUT_SECONDS:
            return result
        report(f"{elapsed:.0f} s, {result.problem}")
        interrupts.pause(rollout.client.poll_seconds)


def _remove_broken_version(rollout: RolloutState, name: str) -> None:
    rollout.recheck()
    with progress.phase("remove", f"deployment {name}: it is broken") as phase:
        rollout.delete_deployment(name)
        operations.wait_until_version_deleted(rollout.client, name, phase.update)
