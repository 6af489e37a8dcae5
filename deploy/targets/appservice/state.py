"""What is there: a site, its slot, their configuration. Values only, read from Azure's JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.model import Spec
from deploy.targets.appservice import naming
from deploy.targets.appservice.naming import PRODUCTION, Record
from deploy.targets.appservice.settings import place_of, settings_of

# "Set up staging environments in Azure App Service": tiers without slots.
NO_SLOTS = frozenset({"Free", "Shared", "Basic"})
STOPPED = "Stopped"
NO_ALWAYS_ON = frozenset({"Free", "Shared"})


@dataclass(frozen=True)
class Identity:
    """A user-assigned identity, or the site's own, which has no `id` and no `client`."""

    principal: str
    id: str = ""
    client: str = ""


@dataclass(frozen=True)
class Site:
    """Production, or a slot of it: what runs, and how.

    `properties` are the resource's own, `web` its configuration, `auth` the platform's
    authentication.
    """

    name: str
    state: str
    host: str
    plan: str
    own: str
    assigned: tuple[Identity, ...]
    properties: Mapping[str, Any]
    web: Mapping[str, Any]
    settings: Mapping[str, str] = field(repr=False)
    auth: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{self.host}"

    @property
    def image(self) -> str:
        """What it is configured to run."""
        return str(self.web.get("linuxFxVersion") or "")

    @property
    def record(self) -> Record | None:
        """What the last deploy left."""
        return naming.read(self.settings)

    def identity(self, id: str | None) -> Identity | None:
        """Return the identity with which it pulls and reads secrets.

        That is the one of this `id`, the only one that it has, or its own.
        """
        named = [one for one in self.assigned if id and one.id.lower() == id.lower()]
        if named or id:
            return named[0] if named else None
        if len(self.assigned) == 1:
            return self.assigned[0]
        return Identity(self.own) if self.own else None


@dataclass(frozen=True)
class ServicePlan:
    """What the sites run on."""

    name: str
    tier: str
    linux: bool


@dataclass(frozen=True)
class World:
    """All that a plan needs to know.

    `sticky` are the settings that stay with their slot. `pullers` tell of each site's identity
    whether it may pull; None where nobody here can tell.
    """

    production: Site
    slot: Site | None
    sticky: tuple[str, ...]
    plan: ServicePlan
    pullers: Mapping[str, bool | None] = field(default_factory=dict)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Production, and the slot where there is one."""
        return (self.production, self.slot) if self.slot else (self.production,)


def site(
    name: str,
    data: Mapping[str, Any],
    web: Mapping[str, Any],
    settings: Mapping[str, Any],
    auth: Mapping[str, Any],
) -> Site:
    """Read a site, or a slot."""
    properties, identity = data["properties"], data.get("identity") or {}
    assigned: Mapping[str, Any] = identity.get("userAssignedIdentities") or {}
    return Site(
        name=name,
        state=str(properties.get("state") or ""),
        host=str(properties.get("defaultHostName") or ""),
        plan=str(properties.get("serverFarmId") or ""),
        own=str(identity.get("principalId") or ""),
        assigned=tuple(
            Identity(str(one.get("principalId") or ""), id, str(one.get("clientId") or ""))
            for id, one in sorted(assigned.items())
        ),
        properties=properties,
        web=web.get("properties") or {},
        settings={
            key: "" if value is None else str(value)
            for key, value in (settings.get("properties") or {}).items()
        },
        auth=auth.get("properties") or {},
    )


def plan(data: Mapping[str, Any]) -> ServicePlan:
    """Read an App Service plan."""
    tier = str((data.get("sku") or {}).get("tier") or "")
    return ServicePlan(str(data["name"]), tier, bool(data["properties"].get("reserved")))


def plan_of(site: Site) -> ServicePlan:
    """Return what a site says of its plan."""
    name, tier = site.plan.rpartition("/")[2], str(site.properties.get("sku") or "")
    return ServicePlan(name, tier, bool(site.properties.get("reserved")))


def identity_of(spec: Spec, site: Site) -> Identity | None:
    """Return the identity with which a site, or its slot, pulls the image and reads secrets."""
    place = place_of(spec)
    return site.identity(place.identity if site.name == PRODUCTION else place.slot_identity)


def where(spec: Spec, site: Site | None = None) -> str:
    """Return a site for messages: `site faq-prod`, `slot staging of faq-prod`."""
    app = naming.app_of(spec)
    return (
        f"slot {settings_of(spec).slot} of {app}"
        if site and site.name != PRODUCTION
        else (f"site {app}")
    )


def fingerprint(settings: Mapping[str, str]) -> str:
    """Return what changes whenever a setting does, and tells nothing of their values."""
    text = "\0".join(f"{name}={value}" for name, value in sorted(settings.items()))
    return hashlib.sha256(text.encode()).hexdigest()
