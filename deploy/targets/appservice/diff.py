"""Compare the desired with the observed state and decide what to do: pure functions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.azure import container_variables
from deploy.core.entities import Image
from deploy.targets import difference
from deploy.targets.appservice import desired, naming, site_settings, state
from deploy.targets.appservice.desired import DesiredState
from deploy.targets.appservice.naming import PRODUCTION, VOLATILE_SETTINGS, DeploymentRecord
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import ObservedState, Site
from deploy.targets.difference import Difference

# Desired configuration of the platform's authentication, by site; None for no change.
AuthChanges = Mapping[str, "dict[str, Any] | None"]


@dataclass(frozen=True)
class SiteUpdate:
    """The changes to a site, except the version that it runs."""

    site: str
    web: Mapping[str, Any]
    properties: Mapping[str, Any]
    auth: Mapping[str, Any] | None
    # Settings that stay with the site; None removes a setting.
    settings: Mapping[str, str | None] = field(repr=False)
    # Whether to start a site that is stopped.
    start: bool
    differences: tuple[Difference, ...] = ()

    @property
    def has_changes(self) -> bool:
        """Return whether there are any changes."""
        return bool(
            self.web or self.properties or self.auth is not None or self.settings or self.start
        )


StateFingerprint = tuple[str, str]
"""A site's image, and the hash of its settings."""


@dataclass(frozen=True)
class Decision:
    """What to do."""

    # Whether production is to run another version.
    has_new_version: bool
    # Whether the slot already has that version.
    is_staged: bool
    # Where the version is deployed first: the slot, or production.
    first_site: str
    desired: DesiredState
    differences: tuple[Difference, ...]
    site_updates: tuple[SiteUpdate, ...]
    # Names to add to the settings that stay with their slot.
    new_sticky_names: tuple[str, ...]
    # Production's settings that a swap does not remove, to be removed after it.
    obsolete_settings: tuple[str, ...]
    # The slot's settings to remove, because production does not have them.
    removed_slot_settings: tuple[str, ...]
    # Production when this was decided.
    fingerprint: StateFingerprint

    @property
    def is_in_place(self) -> bool:
        """Return whether production itself is changed, because there is no slot."""
        return self.first_site == PRODUCTION

    @property
    def has_changes(self) -> bool:
        """Return whether there is anything to do."""
        return (
            self.has_new_version
            or bool(self.new_sticky_names)
            or any(fix.has_changes for fix in self.site_updates)
        )


def decide(spec: SiteSpec, image: Image, observed: ObservedState, auth: AuthChanges) -> Decision:
    """Return what to do to get from the observed to the desired state."""
    desired_state = desired.build_desired_state(spec, image, observed)
    production, slot = observed.production, observed.slot
    desired_settings = site_settings.production_settings(spec, production, desired_state)
    has_new_version = not _is_deployed(spec, image, production, desired_state, desired_settings)
    staged: Mapping[str, str] = (
        site_settings.build_settings(spec, observed, slot, desired_state) if slot else {}
    )
    removed: set[str] = set()
    if slot:
        kept = {*staged, *VOLATILE_SETTINGS, *site_settings.managed_names(spec, slot)}
        removed = set(slot.settings) - kept
    production_names = site_settings.managed_names(spec, production)
    formerly_managed = production_names & set(observed.sticky) & set(production.settings)
    return Decision(
        has_new_version=has_new_version,
        is_staged=slot is not None and _is_deployed(spec, image, slot, desired_state, staged),
        first_site=(slot or production).name,
        desired=desired_state,
        differences=_list_differences(spec, production, desired_state, desired_settings)
        if has_new_version
        else (),
        site_updates=tuple(
            build_site_update(spec, observed, site, desired_state, auth, has_new_version)
            for site in observed.sites
        ),
        new_sticky_names=tuple(sorted(desired_state.sticky_names - set(observed.sticky)))
        if slot
        else (),
        obsolete_settings=tuple(sorted(formerly_managed - desired_state.managed_names))
        if slot and has_new_version
        else (),
        removed_slot_settings=tuple(sorted(removed)) if has_new_version else (),
        fingerprint=fingerprint(production),
    )


def fingerprint(site: Site) -> StateFingerprint:
    """Return the parts of the site that a plan depends on: if they change, the plan is invalid."""
    return site.image, state.hash_settings(site.settings)


def build_site_update(
    spec: SiteSpec,
    observed: ObservedState,
    site: Site,
    desired_state: DesiredState,
    auth: AuthChanges,
    deploys: bool,
) -> SiteUpdate:
    """Return the changes to a site, except the version that it runs.

    The health check path stays with production in a swap. In-place deployments set it with the
    image.
    """
    health = site.name == PRODUCTION and not (deploys and observed.slot is None)
    web = desired.configuration_changes(spec, site, observed.plan.tier, health)
    properties = desired.property_changes(spec, site)
    auth_change = auth.get(site.name)
    in_place = observed.slot is None and deploys
    sticky = {} if in_place else desired_state.sticky.get(site.name, {})
    settings: dict[str, str | None] = {
        n: setting for n, setting in sticky.items() if site.settings.get(n) != setting
    }
    if site.name != PRODUCTION and deploys:
        # These settings are written together with the new version.
        settings = {}
    differences = [
        *difference.compare((n, site.web.get(n), value) for n, value in web.items()),
        *difference.compare((n, site.properties.get(n), value) for n, value in properties.items()),
        *(
            _setting_difference(spec, site, desired_state, n, setting)
            for n, setting in settings.items()
        ),
    ]
    start = site.state == state.STOPPED
    return SiteUpdate(site.name, web, properties, auth_change, settings, start, tuple(differences))


def build_record(
    spec: SiteSpec,
    image: Image,
    observed: ObservedState,
    desired_state: DesiredState,
    by: str,
    at: str,
) -> DeploymentRecord:
    """Return the record that this deployment writes to the site."""
    current = observed.production.record
    managed = current if current and current.is_managed_by(spec) else None
    previous_image, previous_tag = _previous_image(
        observed.production, managed, naming.linux_fx_version(image)
    )
    return DeploymentRecord(
        flow=spec.flow.name,
        environment=spec.environment,
        tag=image.tag,
        id=f"{image.tag[:12]}-{secrets.token_hex(4)}",
        digest=image.digest or "",
        commit=image.commit,
        by=by,
        at=at,
        names=tuple(sorted(desired_state.managed_names)),
        first=managed.first if managed else observed.production.image,
        previous=managed.id if managed and observed.slot else "",
        before="" if observed.slot else previous_image,
        before_tag="" if observed.slot else previous_tag,
    )


def _previous_image(site: Site, record: DeploymentRecord | None, coming: str) -> tuple[str, str]:
    """Return image and tag of the version before the image `coming`, for an in-place deployment."""
    if record is None:
        return "", ""
    is_complete = site.image.endswith(record.digest)
    if is_complete and site.image != coming:
        return site.image, record.tag
    # Only settings change, or a deployment was interrupted before it wrote the image.
    return record.before, record.before_tag


def _is_deployed(
    spec: SiteSpec,
    image: Image,
    site: Site,
    desired_state: DesiredState,
    settings: Mapping[str, str],
) -> bool:
    """Return whether a site's configuration has the image and these settings."""
    record = site.record
    actual = site_settings.comparable_settings(site)
    return bool(
        desired_state.image
        and record
        and record.is_managed_by(spec)
        and (site.image, record.tag) == (desired_state.image, image.tag)
        and actual == settings
    )


def _list_differences(
    spec: SiteSpec,
    production: Site,
    desired_state: DesiredState,
    desired_settings: Mapping[str, str],
) -> tuple[Difference, ...]:
    differences = []
    if production.image != desired_state.image:
        after = naming.format_image(desired_state.image) if desired_state.image else "the new image"
        differences.append(
            Difference("image", naming.format_image(production.image) or "none", after)
        )
    actual = site_settings.comparable_settings(production)
    for name in sorted({*actual, *desired_settings}):
        if actual.get(name) != desired_settings.get(name):
            differences.append(
                _setting_difference(
                    spec, production, desired_state, name, desired_settings.get(name)
                )
            )
    return tuple(differences)


def _setting_difference(
    spec: SiteSpec, site: Site, desired_state: DesiredState, name: str, value: str | None
) -> Difference:
    """Return the difference of a setting, formatted for a plan.

    The old value is shown only if an earlier deployment set it and did not hide it.
    """
    hidden = desired_state.hidden | container_variables.read_masked_names(site.settings)
    unmanaged = frozenset(site.settings) - site_settings.managed_names(spec, site)
    before = desired.format_setting(name, site.settings.get(name), hidden | unmanaged)
    return Difference(f"setting {name}", before, desired.format_setting(name, value, hidden))
