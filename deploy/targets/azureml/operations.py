"""Long-running operations: wait until they complete or fail."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from deploy.azure import errors as arm_errors
from deploy.azure.errors import AzureError
from deploy.azure.writes import WriteRejected
from deploy.core import interrupts, progress
from deploy.core.errors import DeployError
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import Shares, normalize_shares
from deploy.targets.azureml.state import BROKEN, BUSY, READY, Endpoint, Version
from deploy.targets.rollout import ReportProgress

Resource = TypeVar("Resource", Endpoint, Version)

# The service itself gives up starting a deployment before that.
TIMEOUT_SECONDS = 2 * 3600.0
# How long an accepted change may take to become visible.
VISIBILITY_SECONDS = 60.0
NEXT_STEP = "`inv status` shows the state; then run this again"


class OperationFailed(WriteRejected):
    """An operation that Azure accepted, but that failed."""


def wait_for_endpoint(
    client: Client, report: ReportProgress, done: Callable[[Endpoint], bool] = lambda _: True
) -> Endpoint:
    """Wait until no operation on the endpoint is in progress and `done` returns True for it.

    Raise `OperationFailed` if the operation failed.
    """
    return _wait(client, client.read_endpoint, report, done)


def wait_for_version(
    client: Client,
    name: str,
    report: ReportProgress,
    done: Callable[[Version], bool] = lambda _: True,
) -> Version:
    """Wait until the deployment `name` is ready. Raise `OperationFailed` if it failed."""
    return _wait(client, lambda: client.read_version(name), report, done)


def wait_until_settled(client: Client) -> None:
    """Wait until no operation on the endpoint is in progress, whether it succeeds or fails."""
    with (
        contextlib.suppress(OperationFailed),
        progress.phase("wait", f"{client.where}: another operation is in progress") as phase,
    ):
        wait_for_endpoint(client, phase.update)


def wait_for_traffic(
    client: Client, report: ReportProgress, traffic: Shares, mirror: Shares
) -> None:
    """Wait until the endpoint has this traffic split. Raise `OperationFailed` if that failed."""
    wait_for_endpoint(
        client,
        report,
        lambda endpoint: (
            (normalize_shares(endpoint.traffic), normalize_shares(endpoint.mirror))
            == (traffic, mirror)
        ),
    )


def wait_until_version_deleted(client: Client, name: str, report: ReportProgress) -> None:
    """Wait until the deployment `name` does not exist any more."""
    wait_until_deleted(client, lambda: client.read_version(name), report)


def wait_until_deleted(
    client: Client, read: Callable[[], object | None], report: ReportProgress
) -> None:
    """Wait until `read` returns None."""
    start = time.monotonic()
    while read() is not None:
        _pause(client, start, report, "Deleting")


def _wait(
    client: Client,
    read: Callable[[], Resource | None],
    report: ReportProgress,
    done: Callable[[Resource], bool],
) -> Resource:
    start = time.monotonic()
    while True:
        resource = read()
        state = resource.state if resource else "not visible yet"
        if resource and state == READY and done(resource):
            return resource
        if resource and state in BROKEN:
            raise OperationFailed(_read_operation_error(client, resource.operation, state))
        operation = (
            client.arm.get_operation(resource.operation) if resource and resource.operation else {}
        )
        if operation.get("status") in BROKEN and state not in BUSY:
            raise OperationFailed(arm_errors.parse_operation(operation))
        if state not in BUSY and time.monotonic() - start > VISIBILITY_SECONDS:
            message = "a change that Azure accepted is not visible"
            raise DeployError(client.where, message, NEXT_STEP)
        _pause(client, start, report, state)


def _pause(client: Client, start: float, report: ReportProgress, state: str) -> None:
    elapsed = time.monotonic() - start
    if elapsed > TIMEOUT_SECONDS:
        message = f"it is still {state} after {elapsed / 60:.0f} minutes"
        raise DeployError(client.where, message, NEXT_STEP)
    report(f"{elapsed:.0f} s, {state}")
    interrupts.pause(client.poll_seconds)


def _read_operation_error(client: Client, operation: str, state: str) -> AzureError:
    result = client.arm.get_operation(operation) if operation else {}
    return arm_errors.parse_operation(result) if result.get("error") else AzureError(state, "")
