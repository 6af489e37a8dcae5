"""A site as a spec and an image ask for it: what it runs, its settings, its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.arm import variables
from deploy.model import Image, Spec
from deploy.runtime.settings import UNRESOLVED
from deploy.targets.appservice import naming, state
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.state import NO_ALWAYS_ON, Site, World

HEALTH = "/health"
# azure-identity's variable for which of several identities is meant.
CLIENT_ID = "AZURE_CLIENT_ID"
# Of the access restrictions that are ours.
RULE = "flow-deploy-"
FIRST_PRIORITY = 100
LEAST_TLS = "1.2"
# Longer than the server's own grace period (SERVE_GRACE); the platform would give it 5 s.
STOP_SECONDS = "30"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as wanted, for people; no secret is in it."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Wanted:
    """What a site should run.

    `image` is None until it is in the registry. `settings` go with the image when slots are
    swapped, `sticky` stay: of each site its own. `hidden` are those that may not be shown, and
    `plain` those of them whose value would be stored as it is.
    """

    image: str | None
    settings: Mapping[str, str] = field(repr=False)
    sticky: Mapping[str, Mapping[str, str]] = field(repr=False)
    hidden: frozenset[str] = frozenset()
    plain: tuple[str, ...] = ()

    @property
    def staying(self) -> frozenset[str]:
        """The names of those that stay with their site."""
        return frozenset(name for given in self.sticky.values() for name in given)

    @property
    def names(self) -> frozenset[str]:
        """The names of all that are the tool's."""
        return frozenset(self.settings) | self.staying


def of(spec: Spec, image: Image, world: World) -> Wanted:
    """Return what `spec` and `image` ask for."""
    settings = settings_of(spec)
    values = {**_platform(spec), **variables_of(spec)}
    # What stays with a slot by somebody's declaration never comes with a swap.
    staying = {*settings.env.sticky, *world.sticky} & set(values)
    return Wanted(
        image=naming.reference(image) or None,
        settings={name: text for name, text in values.items() if name not in staying},
        sticky={
            site.name: {
                **{name: values[name] for name in sorted(staying)},
                **({} if CLIENT_ID in values else _client(spec, site)),
            }
            for site in world.sites
        },
        hidden=variables.hidden(spec),
        plain=plain_secrets(spec),
    )


def variables_of(spec: Spec) -> dict[str, str]:
    """Return the container's variables, references in place of secrets where there are some."""
    references = variables.references(spec)
    values = {**variables.plain(spec), **{n: _reference(url) for n, url in references.items()}}
    return variables.with_masked(spec, values)


def plain_secrets(spec: Spec) -> tuple[str, ...]:
    """Return the variables whose secret value would be stored in a setting as it is."""
    referred = settings_of(spec).env.secret_refs
    return tuple(
        sorted(name for name in variables_of(spec) if name in spec.secrets and name not in referred)
    )


def web(spec: Spec, site: Site, tier: str, health: bool) -> dict[str, Any]:
    """Return what to change in a site's configuration, apart from what it runs.

    `health` tells whether what runs there answers the health check.
    """
    now, settings = site.web, settings_of(spec)
    identity = state.identity_of(spec, site)
    asked: dict[str, Any] = {
        "acrUseManagedIdentityCreds": True,
        "acrUserManagedIdentityID": identity.client if identity else "",
        "alwaysOn": settings.always_on and tier not in NO_ALWAYS_ON,
        "ftpsState": "Disabled",
        **({"healthCheckPath": HEALTH} if health else {}),
        **({"minTlsVersion": LEAST_TLS} if str(now.get("minTlsVersion") or "") < LEAST_TLS else {}),
        **_restrictions(now, settings.allow),
    }
    return {name: value for name, value in asked.items() if (now.get(name) or "") != (value or "")}


def properties(spec: Spec, site: Site) -> dict[str, Any]:
    """Return what to change of a site that is not in its configuration."""
    now, identity = site.properties, state.identity_of(spec, site)
    refers = any(text.startswith(UNRESOLVED) for text in variables_of(spec).values())
    reader = (identity.id if identity else "") or "SystemAssigned"
    asked = {
        "httpsOnly": True,
        "clientAffinityEnabled": False,
        "publicNetworkAccess": "Enabled" if settings_of(spec).public_network else "Disabled",
        **({"keyVaultReferenceIdentity": reader} if refers else {}),
    }
    defaults = {"publicNetworkAccess": "Enabled", "keyVaultReferenceIdentity": "SystemAssigned"}
    return {
        name: value
        for name, value in asked.items()
        if _plain(now.get(name) or defaults.get(name, False)) != _plain(value)
    }


def shown(name: str, value: str | None, hidden: frozenset[str]) -> str:
    """Return a setting's value for people."""
    if value is not None and value.startswith(UNRESOLVED):
        return f"secret {value.rpartition('/secrets/')[2].rstrip(')')}"
    return variables.shown(name, value, hidden)


def _platform(spec: Spec) -> dict[str, str]:
    """Return the settings that the service itself reads.

    "Environment variables and app settings in Azure App Service". Without the statuses any answer
    to a ping counts as started, even 502.
    """
    settings = settings_of(spec)
    return {
        "WEBSITES_PORT": "8080",
        "WEBSITES_CONTAINER_START_TIME_LIMIT": str(settings.start_time_limit),
        "WEBSITES_CONTAINER_STOP_TIME_LIMIT": STOP_SECONDS,
        "WEBSITES_ENABLE_APP_SERVICE_STORAGE": "false",
        "WEBSITE_WARMUP_PATH": HEALTH,
        "WEBSITE_WARMUP_STATUSES": "200",
        "WEBSITE_SWAP_WARMUP_PING_PATH": HEALTH,
        "WEBSITE_SWAP_WARMUP_PING_STATUSES": "200",
        "SERVE_TIMEOUT": str(settings.request_timeout),
    }


def _client(spec: Spec, site: Site) -> dict[str, str]:
    identity = state.identity_of(spec, site)
    return {CLIENT_ID: identity.client} if identity and identity.client else {}


def _reference(url: str) -> str:
    return f"{UNRESOLVED}SecretUri={url})"


def _restrictions(now: Mapping[str, Any], allow: Sequence[str]) -> dict[str, Any]:
    """Return access restrictions with ours; those of others stay.

    "Set up Azure App Service access restrictions".
    """
    present = [dict(rule) for rule in now.get("ipSecurityRestrictions") or ()]
    # The service lists what it does with all the rest as a rule for Any.
    given = [rule for rule in present if rule.get("ipAddress") != "Any"]
    ours = [rule for rule in given if str(rule.get("name", "")).startswith(RULE)]
    others = [rule for rule in given if rule not in ours]
    asked = [_rule(number, source) for number, source in enumerate(allow)]
    allows = any(rule.get("action") == "Allow" for rule in (*asked, *others))
    default = "Deny" if allows else "Allow"
    # Without a default of its own it denies the rest as soon as there is a rule that allows.
    before = str(now.get("ipSecurityRestrictionsDefaultAction") or "")
    before = before or ("Deny" if any(one.get("action") == "Allow" for one in given) else "Allow")
    unchanged = [_compared(rule) for rule in ours] == [_compared(rule) for rule in asked]
    if unchanged and (before == default or not asked):
        return {}
    return {
        "ipSecurityRestrictions": [*others, *asked],
        "ipSecurityRestrictionsDefaultAction": default,
    }


def opened(now: Mapping[str, Any]) -> str:
    """Return the name of a rule of others that lets everybody in; empty where there is none."""
    for rule in now.get("ipSecurityRestrictions") or ():
        if rule.get("action") == "Allow" and rule.get("ipAddress") in ("0.0.0.0/0", "::/0"):
            return str(rule.get("name") or rule["ipAddress"])
    return ""


def _rule(number: int, source: str) -> dict[str, Any]:
    return {
        "name": f"{RULE}{number + 1}",
        "action": "Allow",
        "priority": FIRST_PRIORITY + number,
        "ipAddress": source,
        "tag": "ServiceTag" if source[0].isupper() else "Default",
    }


def _compared(rule: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(rule.get(key) for key in ("name", "action", "ipAddress"))


def _plain(value: Any) -> Any:
    """Return a value as it is compared: ids of resources have no case."""
    return value.lower() if isinstance(value, str) else value
