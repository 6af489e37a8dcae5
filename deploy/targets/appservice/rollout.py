"""Carry out a decision, write by write.

With a slot, production keeps its version until the new version is verified; then the two are
swapped. Without a slot, production is changed in place, and changed back if anything fails. After
an interruption, a new plan continues from the state that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from deploy.config.target import SmokeTest
from deploy.core import interrupts, progress
from deploy.core.entities import Image, Spec
from deploy.core.errors import DeployError
from deploy.targets.appservice import diff, errors, naming, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.conflict import conflict_error
from deploy.targets.appservice.desired import HEALTH_PATH
from deploy.targets.appservice.diff import AuthChanges, Decision, SiteUpdate
from deploy.targets.appservice.mutations import Writer, WriteRejected
from deploy.targets.appservice.naming import PRODUCTION, VOLATILE_SETTINGS, DeploymentRecord
from deploy.targets.appservice.readiness import (
    UNAUTHORIZED_STATUS,
    ReadinessCheck,
    ReportProgress,
    fetch_version,
    format_version,
    parse_digest,
)
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.slot_swap import SWAP_TIMEOUT_SECONDS, Swap, restore_site
from deploy.targets.appservice.state import ObservedState, Site

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class OperationPending(Exception):
    """A start has begun, and the run does not wait for it."""


class Rollout:
    """One deployment of one spec."""

    def __init__(
        self,
        client: Client,
        spec: Spec,
        image: Image,
        decision: Decision,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        self.client, self.writer = client, Writer(spec)
        self.spec, self.image, self.decision = spec, image, decision
        self._headers = headers
        self._expected = decision.fingerprint
        self._written: DeploymentRecord | None = None

    def run(self, prove: SmokeTest, wait: bool) -> None:
        """Carry out the decision. Raise `DeployError`, or `OperationPending` without `wait`."""
        self.recheck_state()
        if self.decision.new_sticky_names:
            self.write(
                "settings that stay",
                lambda: self.writer.add_sticky_settings([*self.decision.new_sticky_names]),
            )
        for site_update in self.decision.site_updates:
            self._apply_site_update(site_update)
        if not self.decision.has_new_version:
            return
        if self.decision.is_in_place:
            self._deploy_in_place(prove)
        else:
            self._deploy_to_slot(prove, wait)

    def recheck_state(self) -> ObservedState:
        """Read the state again. Raise `ConflictError` if production was changed concurrently."""
        observed = self.client.read_state()
        if diff.fingerprint(observed.production) != self._expected:
            raise conflict_error(self.client.where)
        return observed

    def write(self, operation: str, action: Callable[[], object]) -> None:
        """Carry out one write; `operation` names it in messages. Raise `DeployError`."""
        try:
            action()
        except WriteRejected as error:
            raise errors.to_deploy_error(self.spec, error.azure_error, operation) from None

    def _apply_site_update(self, site_update: SiteUpdate) -> None:
        """Apply the changes to a site's configuration, its authentication first."""
        if not site_update.has_changes:
            return
        name = site_update.site
        site = self._find_site(self.recheck_state(), name)
        with progress.phase("configure", state.describe_site(self.spec, site)):
            if site_update.auth is not None:
                auth = site_update.auth
                self.write("authentication", lambda: self.writer.write_auth(name, auth))
            if site_update.properties:
                self.write(name, lambda: self.writer.update_site(name, site_update.properties))
            if site_update.web:
                self.write(
                    "configuration", lambda: self.writer.update_configuration(name, site_update.web)
                )
            if site_update.settings:
                changed_settings = {**site.settings, **site_update.settings}
                settings = {
                    setting: text for setting, text in changed_settings.items() if text is not None
                }
                self.write("settings", lambda: self.writer.write_settings(name, settings))
                if name == PRODUCTION:
                    self._expected = (site.image, state.hash_settings(settings))
            if site_update.start:
                self.write(name, lambda: self.writer.start(name))

    def _deploy_to_slot(self, prove: SmokeTest, wait: bool) -> None:
        observed = self.recheck_state()
        site = self._find_site(observed, self.decision.first_site)
        with progress.phase(
            "slot", f"{site.name}: {naming.format_image(naming.linux_fx_version(self.image))}"
        ):
            readiness = self._readiness_check(site)
            record, is_started = self._start_on_slot(site, observed)
        if is_started and not wait:
            raise OperationPending
        with progress.phase("warm-up", state.describe_site(self.spec, site)) as phase:
            readiness.wait(record, self._headers(), phase.update)
            readiness.require_auth()
        with progress.phase("prove", f"{site.name}: scoring {self.spec.flow.sample.name}"):
            prove(site.url, self._headers())
        observed = self.recheck_state()
        slot = self._find_site(observed, site.name)
        if slot.record != record:
            # The slot no longer has the version that was verified.
            raise conflict_error(state.describe_site(self.spec, slot))
        Swap(self.client, self.writer, self.spec, observed.production, slot).run(
            lambda report: self._verify_production(observed.production, record, prove, report)
        )
        self._clean_up_after_swap()

    def _start_on_slot(self, site: Site, observed: ObservedState) -> tuple[DeploymentRecord, bool]:
        """Start the new version on the slot, unless it is already running or starting there.

        Return its record, and whether it was started now. A version that did not start is written
        again: a role or a secret that was missing may exist now, and only a change makes the
        service resolve its references again. The same applies to a version that started with an
        earlier key.
        """
        record = site.record
        if self.decision.is_staged and record:
            version = fetch_version(site.url, self._headers())
            is_recent = age_seconds(record.at) < settings_of(self.spec).start_time_limit
            if version == format_version(record) or (
                is_recent and not version.startswith(UNAUTHORIZED_STATUS)
            ):
                return record, False
        return self._write_version(site, observed), True

    def _verify_production(
        self, before: Site, record: DeploymentRecord, prove: SmokeTest, report: ReportProgress
    ) -> None:
        """Verify production, which has just received the new version."""
        readiness = ReadinessCheck(self.client, self.spec, before, "")
        readiness.wait(record, self._headers(), report, SWAP_TIMEOUT_SECONDS)
        readiness.require_auth()
        prove(before.url, self._headers())

    def _deploy_in_place(self, prove: SmokeTest) -> None:
        observed = self.recheck_state()
        before = observed.production
        readiness = self._readiness_check(before)
        try:
            with progress.phase(
                "production", naming.format_image(naming.linux_fx_version(self.image))
            ) as phase:
                record = self._write_version(before, observed)
                readiness.wait(record, self._headers(), phase.update)
                readiness.require_auth()
            with progress.phase("prove", f"scoring {self.spec.flow.sample.name}"):
                prove(before.url, self._headers())
        except BaseException:
            with interrupts.uninterruptible():
                self._restore_production(before)
            raise

    def _write_version(self, site: Site, observed: ObservedState) -> DeploymentRecord:
        """Write the settings and the image of the new version to a site, and return its record.

        The settings come first, so that the new image never runs without a key.
        """
        by, at = self.client.arm.get_principal_name(), utc_timestamp()
        record = diff.build_record(self.spec, self.image, observed, self.decision.desired, by, at)
        settings = diff.build_settings(self.spec, observed, site, self.decision.desired)
        web = {
            "linuxFxVersion": naming.linux_fx_version(self.image),
            "healthCheckPath": HEALTH_PATH,
        }
        name = site.name
        self._written = record
        self.write(
            "settings", lambda: self.writer.write_settings(name, {**settings, **record.settings})
        )
        self.write("configuration", lambda: self.writer.update_configuration(name, web))
        return record

    def _restore_production(self, before: Site) -> None:
        """Restore the previous version of production, unless it was changed concurrently."""
        production = self.client.read_state().production
        if self._written is None or production.record != self._written:
            return
        progress.note("production", f"back to {naming.format_image(before.image) or 'what it was'}")
        # Keep settings that others have changed in the meantime.
        managed_names = {
            *self._written.names,
            *(before.record.names if before.record else ()),
            *VOLATILE_SETTINGS,
        }
        unmanaged = {
            name: text for name, text in production.settings.items() if name not in managed_names
        }
        restored = {name: text for name, text in before.settings.items() if name in managed_names}
        try:
            restore_site(self.writer, replace(before, settings={**unmanaged, **restored}))
            if before.record:
                with progress.phase(
                    "warm-up", f"{self.client.where}: {before.record.tag}"
                ) as phase:
                    readiness = ReadinessCheck(
                        self.client, self.spec, before, parse_digest(before.image)
                    )
                    readiness.wait(before.record, self._headers(), phase.update)
        except WriteRejected as error:
            progress.note("production", f"that did not work ({error}); `inv status` shows it")
        except DeployError as error:
            # Do not raise: the user must see the first failure.
            progress.note("production", f"it does not answer again: {error.problems[0].what}")

    def _clean_up_after_swap(self) -> None:
        """Apply the configuration that a swap does not move, and remove obsolete settings."""
        observed = self.client.read_state()
        site_update = diff.build_site_update(
            self.spec,
            observed,
            observed.production,
            self.decision.desired,
            NO_AUTH_CHANGES,
            deploys=False,
        )
        settings = observed.production.settings
        obsolete = {name: None for name in self.decision.obsolete_settings if name in settings}
        self._expected = diff.fingerprint(observed.production)
        self._apply_site_update(replace(site_update, settings={**site_update.settings, **obsolete}))

    def _readiness_check(self, site: Site) -> ReadinessCheck:
        digest = (self.image.digest or "").removeprefix("sha256:")
        return ReadinessCheck(self.client, self.spec, site, digest)

    def _find_site(self, observed: ObservedState, name: str) -> Site:
        return next(site for site in observed.sites if site.name == name)


NO_AUTH_CHANGES: AuthChanges = {}


def age_seconds(timestamp: str) -> float:
    """Return the seconds since a timestamp of a record; infinity for an invalid one."""
    try:
        time = datetime.strptime(timestamp, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return float("inf")
    return (datetime.now(UTC) - time).total_seconds()


def utc_timestamp() -> str:
    """Return the current time in the format of records."""
    return datetime.now(UTC).strftime(TIME_FORMAT)
