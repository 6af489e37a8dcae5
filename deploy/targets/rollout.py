"""The order of a deployment: the previous version serves until the new version is verified.

A target implements the steps for its platform. See "Rollouts" in docs/extending.md.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Generic

from deploy.config.target import PlaceT, SettingsT, SmokeTest
from deploy.core import interrupts
from deploy.core.entities import Image, Spec
from deploy.core.errors import DeployError
from deploy.targets import log_tail

ReportProgress = Callable[[str], None]
"""Shows the progress of a wait."""

ERROR_LOG_LINES = 20
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class OperationPending(Exception):
    """A long operation was started, and the run does not wait for it."""


class ConflictError(DeployError):
    """The observed state changed after the plan was made.

    Nothing is rolled back, because the changes are not this rollout's.
    """


def conflict_error(where: str, options: str, changes: str = "") -> ConflictError:
    """Return the error for a concurrent change of the resource that `where` names.

    `changes` says what changed, if that is known; `options` select the spec on the command line.
    """
    message = "something else changed it at the same time" + (f": {changes}" if changes else "")
    return ConflictError(where, message, f"`inv plan {options}` shows it; then deploy again")


class Rollout(abc.ABC, Generic[SettingsT, PlaceT]):
    """One deployment of one spec: prepare, start, verify, move the clients, clean up.

    Each step raises `DeployError` if it fails, and `ConflictError` if the observed state changed
    after the plan was made.
    """

    def __init__(
        self,
        spec: Spec[SettingsT, PlaceT],
        image: Image,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        self.spec, self.image = spec, image
        # Authenticate a request; read again for each use, because a key may change.
        self.headers = headers

    def run(self, smoke_test: SmokeTest, wait: bool) -> None:
        """Deploy. Raise `DeployError`, or `OperationPending` without `wait`.

        If a step fails or is interrupted, the clients are back on the previous version.
        """
        self.prepare(wait)
        if self.has_new_version:
            self._deploy(smoke_test, wait)
        self.clean_up()

    @property
    def has_new_version(self) -> bool:
        """Return whether a version is to be started or to get the clients."""
        return True

    @abc.abstractmethod
    def prepare(self, wait: bool) -> None:
        """Create or configure the resources that the new version needs."""

    @abc.abstractmethod
    def start(self, wait: bool) -> None:
        """Start the new version, and wait until it is ready."""

    @abc.abstractmethod
    def verify(self, smoke_test: SmokeTest) -> None:
        """Score the sample with the new version before clients reach it."""

    @abc.abstractmethod
    def move_clients(self, smoke_test: SmokeTest) -> None:
        """Send the clients' requests to the new version."""

    @abc.abstractmethod
    def restore(self, has_failed: bool) -> None:
        """Send the clients' requests to the previous version again, if they were moved.

        `has_failed` is False if the rollout was interrupted: the new version may stay, so that the
        next run continues with it. Raise no error: the user must see the first one.
        """

    @abc.abstractmethod
    def clean_up(self) -> None:
        """Remove what is no longer needed once the new version serves."""

    @abc.abstractmethod
    def read_log(self, tail: int) -> list[str]:
        """Return the last `tail` log lines of the new version."""

    def _deploy(self, smoke_test: SmokeTest, wait: bool) -> None:
        try:
            self.start(wait)
            self.verify(smoke_test)
            self.move_clients(smoke_test)
        except (ConflictError, OperationPending):
            raise
        except DeployError as error:
            with interrupts.uninterruptible():
                failure = self._with_log_lines(error)
                self.restore(has_failed=True)
            raise failure from None
        except BaseException:
            with interrupts.uninterruptible():
                self.restore(has_failed=False)
            raise

    def _with_log_lines(self, error: DeployError) -> DeployError:
        """Return `error` with the last log lines of the new version, secrets masked."""
        with contextlib.suppress(DeployError):
            lines = self.read_log(ERROR_LOG_LINES)
            return error.with_lines(log_tail.mask_secrets(self.spec, lines, self.headers()))
        return error


def utc_timestamp() -> str:
    """Return the current time in the format that deployments record."""
    return datetime.now(UTC).strftime(TIME_FORMAT)


def age_seconds(timestamp: str) -> float:
    """Return the seconds since a timestamp of a deployment; infinity for an invalid one."""
    try:
        time = datetime.strptime(timestamp, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return float("inf")
    return (datetime.now(UTC) - time).total_seconds()
