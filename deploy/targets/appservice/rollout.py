"""Deploy a version to a site, write by write.

With a slot, production keeps its version until the new version is verified; then the two are
swapped. Without a slot, production is changed in place, and changed back if anything fails. After
an interruption, a new plan continues from the state that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from deploy.azure import writes
from deploy.azure.writes import WriteRejected
from deploy.config.target import SmokeTest
from deploy.core import progress
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.targets.appservice import diff, errors, naming, site_settings, state
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.desired import HEALTH_PATH
from deploy.targets.appservice.diff import AuthChanges, Decision, SiteUpdate
from deploy.targets.appservice.naming import PRODUCTION, VOLATILE_SETTINGS, DeploymentRecord
from deploy.targets.appservice.readiness import (
    UNAUTHORIZED_STATUS,
    ReadinessCheck,
    fetch_version,
    format_version,
    parse_digest,
)
from deploy.targets.appservice.settings import Place, Settings, SiteSpec
from deploy.targets.appservice.slot_swap import SWAP_TIMEOUT_SECONDS, Swap, restore_site
from deploy.targets.appservice.state import ObservedState, Site
from deploy.targets.appservice.writer import Writer
from deploy.targets.rollout import (
    OperationPending,
    ReportProgress,
    Rollout,
    age_seconds,
    conflict_error,
    utc_timestamp,
)

NO_AUTH_CHANGES: AuthChanges = {}


class SiteRollout(Rollout[Settings, Place]):
    """What a deployment with a slot and one in place have in common."""

    def __init__(
        self,
        client: Client,
        decision: Decision,
        spec: SiteSpec,
        image: Image,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        super().__init__(spec, image, headers)
        self.client, self.writer, self.decision = client, Writer(spec), decision
        self._expected = decision.fingerprint
        # The check of the site that gets the new version, and what this rollout wrote there.
        self._readiness: ReadinessCheck | None = None
        self._written: DeploymentRecord | None = None

    @property
    def has_new_version(self) -> bool:
        return self.decision.has_new_version

    def prepare(self, wait: bool) -> None:
        """Apply the changes that are not part of a version."""
        self.recheck()
        sticky_names = list(self.decision.new_sticky_names)
        if sticky_names:
            self._write("sticky settings", lambda: self.writer.add_sticky_settings(sticky_names))
        for site_update in self.decision.site_updates:
            self._apply_site_update(site_update)

    def read_log(self, tail: int) -> list[str]:
        return self._readiness.new_lines()[-tail:] if self._readiness else []

    def recheck(self) -> ObservedState:
        """Read the state again. Raise `ConflictError` if production was changed concurrently."""
        observed = self.client.read_state()
        if diff.fingerprint(observed.production) != self._expected:
            raise conflict_error(self.client.where, self.spec.options)
        return observed

    def _write(self, operation: str, action: Callable[[], object]) -> None:
        """Carry out one write; `operation` names it in messages. Raise `DeployError`."""
        with writes.explained(lambda error: errors.to_deploy_error(self.spec, error, operation)):
            action()

    def _apply_site_update(self, site_update: SiteUpdate) -> None:
        """Apply the changes to a site's configuration, its authentication first."""
        if not site_update.has_changes:
            return
        name = site_update.site
        site = self.recheck().find_site(name)
        with progress.phase("configure", state.describe_site(self.spec, site)):
            if site_update.auth is not None:
                auth = site_update.auth
                self._write("authentication", lambda: self.writer.write_auth(name, auth))
            if site_update.properties:
                self._write(name, lambda: self.writer.update_site(name, site_update.properties))
            if site_update.web:
                self._write(
                    "configuration", lambda: self.writer.update_configuration(name, site_update.web)
                )
            if site_update.settings:
                changed_settings = {**site.settings, **site_update.settings}
                settings = {
                    setting: text for setting, text in changed_settings.items() if text is not None
                }
                self._write("settings", lambda: self.writer.write_settings(name, settings))
                if name == PRODUCTION:
                    self._expected = (site.image, state.hash_settings(settings))
            if site_update.start:
                self._write(name, lambda: self.writer.start(name))

    def _write_version(self, site: Site, observed: ObservedState) -> DeploymentRecord:
        """Write the settings and the image of the new version to a site, and return its record.

        The settings come first, so that the new image never runs without a key.
        """
        by, at = self.client.arm.get_principal_name(), utc_timestamp()
        record = diff.build_record(self.spec, self.image, observed, self.decision.desired, by, at)
        settings = site_settings.build_settings(self.spec, observed, site, self.decision.desired)
        web = {
            "linuxFxVersion": naming.linux_fx_version(self.image),
            "healthCheckPath": HEALTH_PATH,
        }
        name = site.name
        self._written = record
        self._write(
            "settings", lambda: self.writer.write_settings(name, {**settings, **record.settings})
        )
        self._write("configuration", lambda: self.writer.update_configuration(name, web))
        return record

    def _check_readiness(self, site: Site) -> ReadinessCheck:
        digest = (self.image.digest or "").removeprefix("sha256:")
        self._readiness = ReadinessCheck(self.client, self.spec, site, digest)
        return self._readiness

    @property
    def _image_text(self) -> str:
        return naming.format_image(naming.linux_fx_version(self.image))


class SlotRollout(SiteRollout):
    """A deployment to a slot, which is then swapped with production."""

    def start(self, wait: bool) -> None:
        observed = self.recheck()
        site = observed.find_site(self.decision.first_site)
        with progress.phase("slot", f"{site.name}: {self._image_text}"):
            readiness = self._check_readiness(site)
            is_started = self._start_on_slot(site, observed)
        if is_started and not wait:
            raise OperationPending
        with progress.phase("warm-up", state.describe_site(self.spec, site)) as phase:
            readiness.wait(self._require_record(), self.headers(), phase.update)
            readiness.require_auth()

    def verify(self, smoke_test: SmokeTest) -> None:
        site = self.recheck().find_site(self.decision.first_site)
        with progress.phase("verify", f"{site.name}: scoring {self.spec.flow.sample.name}"):
            smoke_test(site.url, self.headers())

    def move_clients(self, smoke_test: SmokeTest) -> None:
        observed = self.recheck()
        slot = observed.find_site(self.decision.first_site)
        if slot.record != self._require_record():
            # The slot no longer has the version that was verified.
            raise conflict_error(state.describe_site(self.spec, slot), self.spec.options)
        Swap(self.client, self.writer, self.spec, observed.production, slot).run(
            lambda report: self._verify_production(observed.production, smoke_test, report)
        )

    def restore(self, has_failed: bool) -> None:
        """Do nothing: a failed swap restores itself, and the slot gets no requests."""

    def clean_up(self) -> None:
        """Apply the configuration that a swap does not move, and remove obsolete settings."""
        if not self.has_new_version:
            return
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

    def _start_on_slot(self, site: Site, observed: ObservedState) -> bool:
        """Start the new version on the slot, unless it is already running or starting there.

        Return whether it was started now. A version that did not start is written again: a role or
        a secret that was missing may exist now, and only a change makes the service resolve its
        references again. The same applies to a version that started with an earlier key.
        """
        record = site.record
        if self.decision.is_staged and record:
            version = fetch_version(site.url, self.headers())
            is_recent = age_seconds(record.at) < self.spec.settings.start_time_limit
            is_unauthorized = version.startswith(UNAUTHORIZED_STATUS)
            if version == format_version(record) or (is_recent and not is_unauthorized):
                self._written = record
                return False
        self._write_version(site, observed)
        return True

    def _verify_production(
        self, before: Site, smoke_test: SmokeTest, report: ReportProgress
    ) -> None:
        """Verify production, which has just received the new version."""
        readiness = ReadinessCheck(self.client, self.spec, before, "")
        readiness.wait(self._require_record(), self.headers(), report, SWAP_TIMEOUT_SECONDS)
        readiness.require_auth()
        smoke_test(before.url, self.headers())

    def _require_record(self) -> DeploymentRecord:
        if self._written is None:
            raise AssertionError("the new version was not started")
        return self._written


class InPlaceRollout(SiteRollout):
    """A deployment to production itself, because there is no slot."""

    _before: Site | None = None

    def start(self, wait: bool) -> None:
        observed = self.recheck()
        self._before = observed.production
        readiness = self._check_readiness(observed.production)
        with progress.phase("production", self._image_text) as phase:
            record = self._write_version(observed.production, observed)
            readiness.wait(record, self.headers(), phase.update)
            readiness.require_auth()

    def verify(self, smoke_test: SmokeTest) -> None:
        with progress.phase("verify", f"scoring {self.spec.flow.sample.name}"):
            smoke_test(self.client.read_state().production.url, self.headers())

    def move_clients(self, smoke_test: SmokeTest) -> None:
        """Do nothing: clients use production."""

    def restore(self, has_failed: bool) -> None:
        """Restore the previous version of production, unless it was changed concurrently."""
        production, before = self.client.read_state().production, self._before
        if before is None or self._written is None or production.record != self._written:
            return
        image = naming.format_image(before.image) or "the previous image"
        progress.note("production", f"back to {image}")
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
                self._wait_until_restored(before, before.record)
        except WriteRejected as error:
            hint = f"`inv status {self.spec.options}` shows the state"
            progress.note("production", f"it could not be restored ({error}); {hint}")
        except DeployError as error:
            # Do not raise: the user must see the first failure.
            what = error.problems[0].what
            progress.note("production", f"the previous version does not respond: {what}")

    def clean_up(self) -> None:
        """Do nothing: the previous image is known by its digest only."""

    def _wait_until_restored(self, before: Site, record: DeploymentRecord) -> None:
        with progress.phase("warm-up", f"{self.client.where}: {record.tag}") as phase:
            readiness = ReadinessCheck(self.client, self.spec, before, parse_digest(before.image))
            readiness.wait(record, self.headers(), phase.update)
