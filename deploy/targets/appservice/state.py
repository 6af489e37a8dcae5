"""Observed state: a site, its slot and configuration, parsed from Azure's JSON. Values only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.targets.appservice import naming
from deploy.targets.appservice.naming import PRODUCTION, DeploymentRecord
from deploy.targets.appservice.settings import SiteSpec

# Tiers without slots ("Set up staging environments in Azure App Service").
NO_SLOTS = frozenset({"Free", "Shared", "Basic"})
STOPPED = "Stopped"
NO_ALWAYS_ON = frozenset({"Free", "Shared"})


@dataclass(frozen=True)
class Identity:
    """A managed identity; the system-assigned one has no `id` and no `client`."""

    # Object ID.
    principal: str
    # Resource ID.
    id: str = ""
    # Client ID.
    client: str = ""


@dataclass(frozen=True)
class Site:
    """The production site or one of its slots."""

    name: str
    state: str
    host: str
    # Resource ID of its App Service plan.
    plan: str
    # Object ID of the system-assigned identity; empty without one.
    system_principal: str
    user_identities: tuple[Identity, ...]
    # Properties of the resource itself.
    properties: Mapping[str, Any]
    # Its configuration (config/web).
    web: Mapping[str, Any]
    settings: Mapping[str, str] = field(repr=False)
    # Configuration of the platform's authentication.
    auth: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Return the site's address."""
        return f"https://{self.host}"

    @property
    def image(self) -> str:
        """Return the configured image."""
        return str(self.web.get("linuxFxVersion") or "")

    @property
    def record(self) -> DeploymentRecord | None:
        """Return the record of the last deployment, or None."""
        return naming.read_record(self.settings)

    def find_identity(self, id: str | None) -> Identity | None:
        """Return the identity that pulls images and reads secrets, or None.

        It is the identity `id`; without `id`, the only user-assigned identity or the
        system-assigned one.
        """
        named = [
            identity
            for identity in self.user_identities
            if id and identity.id.lower() == id.lower()
        ]
        if named or id:
            return named[0] if named else None
        if len(self.user_identities) == 1:
            return self.user_identities[0]
        return Identity(self.system_principal) if self.system_principal else None


@dataclass(frozen=True)
class ServicePlan:
    """The App Service plan of a site."""

    name: str
    tier: str
    linux: bool


@dataclass(frozen=True)
class ObservedState:
    """The observed state that a plan is based on."""

    production: Site
    slot: Site | None
    # Names of the settings that stay with their slot in a swap.
    sticky: tuple[str, ...]
    plan: ServicePlan
    # Whether a site's identity may pull the image, by site; None if unknown.
    pull_permissions: Mapping[str, bool | None] = field(default_factory=dict)

    def find_site(self, name: str) -> Site:
        """Return production or the slot `name`, which exists."""
        return next(site for site in self.sites if site.name == name)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Return production and the slot, if there is one."""
        return (self.production, self.slot) if self.slot else (self.production,)


def parse_site(
    name: str,
    data: Mapping[str, Any],
    web: Mapping[str, Any],
    settings: Mapping[str, Any],
    auth: Mapping[str, Any],
) -> Site:
    """Return the site or slot in responses of Azure."""
    properties, identity = data["properties"], data.get("identity") or {}
    assigned: Mapping[str, Any] = identity.get("userAssignedIdentities") or {}
    return Site(
        name=name,
        state=str(properties.get("state") or ""),
        host=str(properties.get("defaultHostName") or ""),
        plan=str(properties.get("serverFarmId") or ""),
        system_principal=str(identity.get("principalId") or ""),
        user_identities=tuple(
            Identity(
                str(assigned_identity.get("principalId") or ""),
                id,
                str(assigned_identity.get("clientId") or ""),
            )
            for id, assigned_identity in sorted(assigned.items())
        ),
        properties=properties,
        web=web.get("properties") or {},
        settings={
            key: "" if value is None else str(value)
            for key, value in (settings.get("properties") or {}).items()
        },
        auth=auth.get("properties") or {},
    )


def parse_plan(data: Mapping[str, Any]) -> ServicePlan:
    """Return the App Service plan in a response of Azure."""
    tier = str((data.get("sku") or {}).get("tier") or "")
    return ServicePlan(str(data["name"]), tier, bool(data["properties"].get("reserved")))


def parse_site_plan(site: Site) -> ServicePlan:
    """Return the App Service plan as far as the site's properties describe it."""
    name, tier = site.plan.rpartition("/")[2], str(site.properties.get("sku") or "")
    return ServicePlan(name, tier, bool(site.properties.get("reserved")))


def select_identity(spec: SiteSpec, site: Site) -> Identity | None:
    """Return the identity that pulls images and reads secrets for a site or slot, or None."""
    place = spec.place
    return site.find_identity(place.identity if site.name == PRODUCTION else place.slot_identity)


def describe_site(spec: SiteSpec, site: Site | None = None) -> str:
    """Return the name of a site for messages: `site faq-prod`, `slot staging of faq-prod`."""
    app = naming.app_name(spec)
    return (
        f"slot {spec.settings.slot} of {app}"
        if site and site.name != PRODUCTION
        else (f"site {app}")
    )


def hash_settings(settings: Mapping[str, str]) -> str:
    """Return a hash of the settings, which changes with any value but reveals none."""
    text = "\0".join(f"{name}={value}" for name, value in sorted(settings.items()))
    return hashlib.sha256(text.encode()).hexdigest()
