"""Start a deployment: create it, wait until it is ready, explain a failure, remove it again."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from deploy.core import interrupts, progress
from deploy.core.errors import DeployError
from deploy.targets.azureml import desired, errors, operations, prechecks, scoring
from deploy.targets.azureml.mutations import WriteRejected
from deploy.targets.azureml.rollout_state import ConflictError, RolloutState
from deploy.targets.azureml.state import BUSY, Version

# Attempts to start a deployment if another operation cancels it.
MAX_ATTEMPTS = 4
# A role that Azure assigned to the identity of a new endpoint takes minutes to take effect.
ROLE_TIMEOUT_SECONDS = 600.0
# After a deployment is ready, the service in front of it needs some time to route to it.
ROUTE_TIMEOUT_SECONDS = 120.0
# HTTP statuses until then; 0 is no response.
UNROUTED_STATUSES = (0, 404, 424, 502, 503)


class OperationPending(Exception):
    """A long operation was started, and the run does not wait for it."""


def start_deployment(rollout: RolloutState, fresh: bool, wait: bool) -> None:
    """Create the deployment and wait until it is ready.

    With `fresh`, the endpoint was created in this run. Raise `DeployError` if the start fails,
    `OperationPending` without `wait`.
    """
    decision, name = rollout.decision, rollout.decision.name
    for broken in decision.broken_versions:
        _remove_broken_version(rollout, broken)
    role_pending = fresh and prechecks.is_role_automatic(
        rollout.client, rollout.spec, rollout.recheck_state()
    )
    deadline = time.monotonic() + (ROLE_TIMEOUT_SECONDS if role_pending else 0.0)
    attempts = 0
    while True:
        attempts += 1
        rollout.recheck_state()
        with progress.phase("start", f"deployment {name}") as phase:
            tags = rollout.deployment_tags()
            put = functools.partial(
                rollout.writer.put_deployment, name, decision.desired, decision.initial_count, tags
            )
            rollout.write_with_retries(put, versions=rollout.expected_versions(name, True))
            rollout.confirm_write()
            if not wait:
                raise OperationPending
            try:
                _require_desired_state(
                    rollout, operations.wait_for_version(rollout.client, name, phase.update)
                )
                return
            except operations.OperationFailed as error:
                azure_error = error.azure_error
        category = errors.diagnose(azure_error, rollout.error_context()).category
        retry = (category == errors.CANCELED and attempts < MAX_ATTEMPTS) or (
            category == errors.ROLE and time.monotonic() < deadline
        )
        deploy_error = rollout.explain_error(azure_error, f"deployment {name}", lines=True)
        discard_deployment(rollout, patiently=retry)
        if not retry:
            raise deploy_error
        reason = (
            "the role to pull is not there yet" if category == errors.ROLE else "it was canceled"
        )
        progress.note("start", f"{reason}: once more")
        interrupts.pause(6 * (rollout.client.arm.cloud.polling_interval or operations.POLL_SECONDS))


def resume_deployment(rollout: RolloutState, wait: bool) -> None:
    """Wait for a deployment of an earlier run. Raise `OperationPending` without `wait`."""
    version = rollout.client.read_version(rollout.decision.name)
    if version is None or version.state not in BUSY:
        return
    if not wait:
        raise OperationPending
    with progress.phase("start", f"deployment {version.name}: it was begun before") as phase:
        wait_for_deployment(rollout, phase.update, lambda _: True)


def wait_for_deployment(
    rollout: RolloutState, report: operations.ReportProgress, done: Callable[[Version], bool]
) -> None:
    """Wait for the deployment that will serve. Raise `DeployError` if it fails."""
    name = rollout.decision.name
    try:
        operations.wait_for_version(rollout.client, name, report, done)
    except operations.OperationFailed as error:
        raise rollout.explain_error(error.azure_error, f"deployment {name}", lines=True) from None


def wait_for_route(
    rollout: RolloutState,
    send_probe: Callable[[], scoring.Probe],
    version: Callable[[], str],
    name: str,
    report: operations.ReportProgress,
) -> None:
    """Score the sample until the service in front routes to the deployment `name`.

    `version` returns the content tag that the container reports, empty if it cannot be requested.
    Raise `DeployError` if the sample fails, or if another deployment or content answers.
    """
    start = time.monotonic()
    while True:
        result = send_probe()
        elapsed = time.monotonic() - start
        if not result.problem:
            break
        if result.status not in UNROUTED_STATUSES or elapsed > ROUTE_TIMEOUT_SECONDS:
            break
        report(f"{elapsed:.0f} s, {result.problem}")
        interrupts.pause(rollout.client.arm.cloud.polling_interval or operations.POLL_SECONDS)
    if result.problem:
        message = f"the sample, sent to {name}, fails: {result.problem}"
        hint = (
            "its lines tell why; what its connections use must let the endpoint's identity in, and "
            "a new role takes minutes to work"
        )
        raise rollout.with_lines(DeployError(rollout.client.where, message, hint))
    if result.version and result.version != name:
        message = f"{result.version} answered what was sent to {name}"
        raise DeployError(rollout.client.where, message, "run this again")
    content_tag = version()
    if content_tag and content_tag != rollout.image.tag:
        message = f"{name} runs {content_tag}, and {rollout.image.tag} was deployed"
        raise DeployError(rollout.client.where, message, "push the image again, then deploy")


def discard_deployment(rollout: RolloutState, patiently: bool = False) -> None:
    """Delete the new deployment, which gets no traffic; the next attempt needs its quota.

    With `patiently`, wait until it is deleted.
    """
    name = rollout.decision.name
    try:
        deployment = rollout.client.read_version(name)
        if deployment is None or deployment.state == "Deleting":
            return
        rollout.writer.delete_deployment(name)
        rollout.register_write(versions=rollout.expected_versions(name, False))
        rollout.confirm_write()
        if patiently:
            operations.wait_until_deleted(
                rollout.client, lambda: rollout.client.read_version(name), lambda _: None
            )
    except (WriteRejected, DeployError) as error:
        progress.note("remove", f"deployment {name} could not be removed: {error}")


def _require_desired_state(rollout: RolloutState, version: Version) -> None:
    """Raise `ConflictError` if a concurrent deployment created `version` with other settings."""
    differences = desired.list_differences(version, rollout.decision.desired)
    if differences:
        message = f"somebody else made {version.name}, with another {differences[0].what}"
        raise ConflictError(rollout.client.where, message, "deploy again")


def _remove_broken_version(rollout: RolloutState, name: str) -> None:
    rollout.recheck_state()
    with progress.phase("remove", f"deployment {name}: it is broken") as phase:
        rollout.delete_deployment(name)
        operations.wait_until_deleted(
            rollout.client, lambda: rollout.client.read_version(name), phase.update
        )
