"""Long operations: what the service says of them until they end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from deploy import console, pausing
from deploy.arm import errors as arm_errors
from deploy.arm.errors import Said
from deploy.errors import DeployError
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.state import BROKEN, BUSY, READY, Endpoint, Version

Thing = TypeVar("Thing", Endpoint, Version)
Say = Callable[[str], None]
"""Shows how far it is."""

POLLING = 5.0
# A deployment's start is given up by the service itself before that.
LONGEST = 2 * 3600.0
# How long a change that was accepted may stay invisible.
UNSEEN = 60.0


class FailedError(Exception):
    """An operation that was accepted, and failed."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.text)
        self.said = said


def for_endpoint(
    client: Client, say: Say, done: Callable[[Endpoint], bool] = lambda _: True
) -> Endpoint:
    """Wait until nothing is under way at the endpoint, and `done` with what it is then.

    Raises `FailedError` where the operation failed.
    """
    return _wait(client, client.endpoint, say, done)


def for_version(
    client: Client, name: str, say: Say, done: Callable[[Version], bool] = lambda _: True
) -> Version:
    """Wait until the deployment `name` is ready. Raises `FailedError` where it failed."""
    return _wait(client, lambda: client.version(name), say, done)


def until_settled(client: Client) -> None:
    """Wait until nothing is under way at the endpoint, however that ends."""
    with (
        contextlib.suppress(FailedError),
        console.phase("wait", f"{client.where}: an operation is under way") as shown,
    ):
        for_endpoint(client, shown.now)


def until_gone(client: Client, look: Callable[[], object | None], say: Say) -> None:
    """Wait until `look` finds nothing more."""
    start = time.monotonic()
    while look() is not None:
        _pause(client, start, say, "Deleting")


def _wait(
    client: Client,
    look: Callable[[], Thing | None],
    say: Say,
    done: Callable[[Thing], bool],
) -> Thing:
    start = time.monotonic()
    while True:
        found = look()
        state = found.state if found else "not there yet"
        if found and state == READY and done(found):
            return found
        if found and state in BROKEN:
            raise FailedError(_why(client, found.operation, state))
        told = client.arm.operation(found.operation) if found and found.operation else {}
        if told.get("status") in BROKEN and state not in BUSY:
            raise FailedError(arm_errors.of_operation(told))
        if state not in BUSY and time.monotonic() - start > UNSEEN:
            what = "a change that Azure accepted does not show"
            raise DeployError(client.where, what, "`inv status` shows it; then run this again")
        _pause(client, start, say, state)


def _pause(client: Client, start: float, say: Say, state: str) -> None:
    elapsed = time.monotonic() - start
    if elapsed > LONGEST:
        what = f"it is still {state} after {elapsed / 60:.0f} minutes"
        raise DeployError(client.where, what, "`inv status` shows it; then run this again")
    say(f"{elapsed:.0f} s, {state}")
    pausing.pause(client.arm.cloud.polling or POLLING)


def _why(client: Client, operation: str, state: str) -> Said:
    told = client.arm.operation(operation) if operation else {}
    return arm_errors.of_operation(told) if told.get("error") else Said(state, "")
