"""The application settings that production and the slot should have; settings of others stay."""

from __future__ import annotations

from deploy.targets.appservice.desired import DesiredState
from deploy.targets.appservice.naming import PRODUCTION, VOLATILE_SETTINGS
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import ObservedState, Site


def build_settings(
    spec: SiteSpec, observed: ObservedState, site: Site, desired_state: DesiredState
) -> dict[str, str]:
    """Return all settings for the site that is deployed to first, without the record."""
    if site.name == PRODUCTION:
        return production_settings(spec, site, desired_state)
    return slot_settings(
        spec,
        site,
        observed.production,
        desired_state,
        frozenset(observed.sticky) | desired_state.sticky_names,
    )


def production_settings(spec: SiteSpec, site: Site, desired_state: DesiredState) -> dict[str, str]:
    """Return all settings that production should have, without the record."""
    return {
        **unmanaged_settings(spec, site, desired_state),
        **desired_state.settings,
        **desired_state.sticky.get(site.name, {}),
    }


def slot_settings(
    spec: SiteSpec,
    slot: Site,
    production: Site,
    desired_state: DesiredState,
    staying: frozenset[str],
) -> dict[str, str]:
    """Return all settings that the slot should have before a swap, without the record.

    Settings that a swap moves to production are the managed ones and production's unmanaged ones.
    Settings that stay are the slot's own.
    """
    own = unmanaged_settings(spec, slot, desired_state)
    return {
        **{n: text for n, text in own.items() if n in staying},
        **{
            n: t
            for n, t in unmanaged_settings(spec, production, desired_state).items()
            if n not in staying
        },
        **desired_state.settings,
        **desired_state.sticky.get(slot.name, {}),
    }


def comparable_settings(site: Site) -> dict[str, str]:
    """Return the settings of a site without those that change with every deployment."""
    return {name: text for name, text in site.settings.items() if name not in VOLATILE_SETTINGS}


def managed_names(spec: SiteSpec, site: Site) -> frozenset[str]:
    """Return the names of the settings that an earlier deployment of `spec` manages."""
    record = site.record
    return frozenset(record.names) if record and record.is_managed_by(spec) else frozenset()


def unmanaged_settings(spec: SiteSpec, site: Site, desired_state: DesiredState) -> dict[str, str]:
    """Return the settings that this tool neither manages now nor managed before."""
    managed = {*managed_names(spec, site), *desired_state.managed_names, *VOLATILE_SETTINGS}
    return {name: text for name, text in site.settings.items() if name not in managed}
