"""Swap the slot with production: forward in a deployment, back in a rollback.

Source: "Set up staging environments in Azure App Service", "What happens during a swap": the
service first restarts the slot with production's own settings; if that fails, nothing changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.azure.errors import AzureError
from deploy.azure.writes import MAX_ATTEMPTS, WriteRejected
from deploy.core import interrupts, progress
from deploy.core.errors import DeployError
from deploy.targets.appservice import errors
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import ObservedState, Site
from deploy.targets.appservice.writer import Writer, wait_for_swap
from deploy.targets.rollout import ConflictError, ReportProgress, conflict_error

# Seconds within which production must report the slot's version. It is running already, but may
# keep using the slot's identity for a while.
SWAP_TIMEOUT_SECONDS = 180.0
# Seconds that a swap may take if it is unknown whether Azure accepted it.
UNKNOWN_SWAP_SECONDS = 120.0


class Swap:
    """One swap: `before` is the version in production, `coming` the one on the slot."""

    def __init__(
        self, client: Client, writer: Writer, spec: SiteSpec, before: Site, coming: Site
    ) -> None:
        self._client, self._writer, self._spec = client, writer, spec
        self._slot, self._before, self._coming = coming.name, before, coming
        self._status_hint = f"`inv status {spec.options}` shows the state"

    def run(self, verify: Callable[[ReportProgress], None]) -> None:
        """Swap, and swap back if `verify` fails or is interrupted.

        Raise `DeployError`; `ConflictError` if production was changed concurrently, which is not
        undone.
        """
        with progress.phase("swap", f"{self._slot} and production of {self._client.name}") as phase:
            try:
                self._swap_once()
                verify(phase.update)
            except ConflictError:
                raise
            except BaseException as error:
                with interrupts.uninterruptible():
                    if not isinstance(error, DeployError):
                        # Azure continues a swap after the client stops waiting.
                        self._wait_until_visible(UNKNOWN_SWAP_SECONDS)
                    self._swap_back(error)
                raise

    def _swap_once(self) -> None:
        """Swap once. Raise `DeployError` if production does not have the new version afterwards.

        A second request would undo the first swap, so a retry happens only after a read has shown
        that the first request had no effect.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                wait_for_swap(self._writer.begin_swap(self._slot))
                return
            except WriteRejected as error:
                azure_error = error.azure_error
            is_busy = errors.is_conflict(self._spec, azure_error)
            observed = self._read_settled_state(azure_error, is_busy)
            if _has_same_version(observed.production, self._coming):
                # The response was lost, or the failure occurred after the swap.
                progress.note("swap", "Azure reports a failure, but production has the new version")
                return
            if not self._is_part_of_swap(observed.production):
                raise conflict_error(self._client.where, self._spec.options)
            is_unchanged = _has_same_version(
                observed.production, self._before
            ) and self._has_new_version(observed.slot)
            if not (is_busy and is_unchanged) or attempt == MAX_ATTEMPTS:
                raise errors.to_deploy_error(self._spec, azure_error, "swap")
        raise AssertionError("unreachable")

    def _read_settled_state(self, error: AzureError, is_busy: bool) -> ObservedState:
        """Return the state once a rejected swap can no longer have an effect."""
        if is_busy:
            self._writer.wait()
        is_unknown = error.status == 0 or error.status >= 500
        return self._wait_until_visible(UNKNOWN_SWAP_SECONDS if is_unknown else 0.0)

    def _wait_until_visible(self, seconds: float) -> ObservedState:
        """Return the state once production has changed, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            observed = self._client.read_state()
            if (
                not _has_same_version(observed.production, self._before)
                or time.monotonic() >= deadline
            ):
                return observed
            self._writer.wait()

    def _swap_back(self, error: BaseException) -> None:
        """Restore the previous version of production, unless it was changed concurrently."""
        production = self._client.read_state().production
        if _has_same_version(production, self._before):
            return
        if not self._is_part_of_swap(production):
            progress.note("swap", "not swapped back: production was changed at the same time")
            return
        progress.note("swap", f"swapping back: {_failure_reason(error)}")
        try:
            if _has_same_version(production, self._coming):
                wait_for_swap(self._writer.begin_swap(self._slot))
            else:
                restore_site(self._writer, self._before)
        except WriteRejected as swap_error:
            progress.note("swap", f"swapping back failed ({swap_error}); {self._status_hint}")

    def _has_new_version(self, slot: Site | None) -> bool:
        return slot is not None and _has_same_version(slot, self._coming)

    def _is_part_of_swap(self, site: Site) -> bool:
        """Return whether a site has only images and records of this swap, even if half moved."""
        pair = (self._before, self._coming)
        images, records = {member.image for member in pair}, {member.record for member in pair}
        return site.image in images and site.record in records


def restore_site(writer: Writer, before: Site) -> None:
    """Write the settings and the image of `before` to its site. Raise `WriteRejected`."""
    web = {name: before.web.get(name) or "" for name in ("linuxFxVersion", "healthCheckPath")}
    writer.write_settings(before.name, before.settings)
    writer.update_configuration(before.name, web)


def _has_same_version(site: Site, other: Site) -> bool:
    """Return whether two sites have the same image and record."""
    return (site.image, site.record) == (other.image, other.record)


def _failure_reason(error: BaseException) -> str:
    if isinstance(error, DeployError):
        return error.problems[0].what.splitlines()[0]
    return "the task was interrupted"
