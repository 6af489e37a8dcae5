"""The site that a spec and an image describe: image, settings, configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.azure import container_variables
from deploy.core.entities import Image
from deploy.server.settings import UNRESOLVED_REFERENCE
from deploy.targets.appservice import naming, state
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import NO_ALWAYS_ON, ObservedState, Site

HEALTH_PATH = "/health"
# azure-identity reads this variable to select one of several identities.
CLIENT_ID_VARIABLE = "AZURE_CLIENT_ID"
# Name prefix and first priority of the access restrictions that this tool manages.
RULE_PREFIX = "flow-deploy-"
FIRST_PRIORITY = 100
MIN_TLS_VERSION = "1.2"
# Longer than the server's own grace period (SERVE_GRACE); the platform's default is 5 s.
STOP_SECONDS = "30"


@dataclass(frozen=True)
class DesiredState:
    """The desired image and settings of production and its slot."""

    # None until the image is in the registry.
    image: str | None
    # Settings that a swap moves together with the image.
    settings: Mapping[str, str] = field(repr=False)
    # Settings that stay with their site in a swap, by site.
    sticky: Mapping[str, Mapping[str, str]] = field(repr=False)
    # Names of settings whose values must not be shown.
    hidden: frozenset[str] = frozenset()
    # Names of secret settings whose values would be stored as plain text.
    plain: tuple[str, ...] = ()

    @property
    def sticky_names(self) -> frozenset[str]:
        """Return the names of the settings that stay with their site."""
        return frozenset(name for settings in self.sticky.values() for name in settings)

    @property
    def managed_names(self) -> frozenset[str]:
        """Return the names of all settings that this tool manages."""
        return frozenset(self.settings) | self.sticky_names


def build_desired_state(spec: SiteSpec, image: Image, observed: ObservedState) -> DesiredState:
    """Return the site that `spec` and `image` describe."""
    settings = spec.settings
    container = environment_variables(spec)
    variables = {**_platform_settings(spec), **container}
    # A swap never moves a setting that is declared sticky, in deploy.yaml or on the site.
    sticky_names = {*settings.env.sticky, *observed.sticky} & set(variables)
    return DesiredState(
        image=naming.linux_fx_version(image) or None,
        settings={name: value for name, value in variables.items() if name not in sticky_names},
        sticky={
            site.name: {
                **{name: variables[name] for name in sorted(sticky_names)},
                **({} if CLIENT_ID_VARIABLE in variables else _client_id_setting(spec, site)),
            }
            for site in observed.sites
        },
        hidden=container_variables.list_secret_names(spec),
        plain=container_variables.list_plain_secrets(spec, container),
    )


def environment_variables(spec: SiteSpec) -> dict[str, str]:
    """Return the container's environment variables, with references for secrets that have one."""
    references = container_variables.collect_references(spec)
    variables = {
        **container_variables.collect_plain(spec),
        **{n: _vault_reference(url) for n, url in references.items()},
    }
    return container_variables.add_masked_names(spec, variables)


def configuration_changes(spec: SiteSpec, site: Site, tier: str, health: bool) -> dict[str, Any]:
    """Return the changes to a site's configuration, except its image.

    `health` is whether the site's container answers the health check.
    """
    current, settings = site.web, spec.settings
    identity = state.select_identity(spec, site)
    desired_values: dict[str, Any] = {
        "acrUseManagedIdentityCreds": True,
        "acrUserManagedIdentityID": identity.client if identity else "",
        "alwaysOn": settings.always_on and tier not in NO_ALWAYS_ON,
        "ftpsState": "Disabled",
        **({"healthCheckPath": HEALTH_PATH} if health else {}),
        **(
            {"minTlsVersion": MIN_TLS_VERSION}
            if str(current.get("minTlsVersion") or "") < MIN_TLS_VERSION
            else {}
        ),
        **_restriction_changes(current, settings.allow),
    }
    return {
        name: value
        for name, value in desired_values.items()
        if (current.get(name) or "") != (value or "")
    }


def property_changes(spec: SiteSpec, site: Site) -> dict[str, Any]:
    """Return the changes to a site's properties outside its configuration."""
    current, identity = site.properties, state.select_identity(spec, site)
    has_references = any(
        text.startswith(UNRESOLVED_REFERENCE) for text in environment_variables(spec).values()
    )
    reference_identity = (identity.id if identity else "") or "SystemAssigned"
    desired_values = {
        "httpsOnly": True,
        "clientAffinityEnabled": False,
        "publicNetworkAccess": "Enabled" if spec.settings.public_network else "Disabled",
        **({"keyVaultReferenceIdentity": reference_identity} if has_references else {}),
    }
    defaults = {"publicNetworkAccess": "Enabled", "keyVaultReferenceIdentity": "SystemAssigned"}
    return {
        name: value
        for name, value in desired_values.items()
        if _normalize(current.get(name) or defaults.get(name, False)) != _normalize(value)
    }


def format_setting(name: str, value: str | None, hidden: frozenset[str]) -> str:
    """Return a setting's value for display; hidden values are masked."""
    if value is not None and value.startswith(UNRESOLVED_REFERENCE):
        return f"secret {value.rpartition('/secrets/')[2].rstrip(')')}"
    return container_variables.mask_value(name, value, hidden)


def _platform_settings(spec: SiteSpec) -> dict[str, str]:
    """Return the settings that the service itself reads.

    Source: "Environment variables and app settings in Azure App Service". Without the statuses, any
    response to a ping counts as started, even 502.
    """
    settings = spec.settings
    return {
        "WEBSITES_PORT": "8080",
        "WEBSITES_CONTAINER_START_TIME_LIMIT": str(settings.start_time_limit),
        "WEBSITES_CONTAINER_STOP_TIME_LIMIT": STOP_SECONDS,
        "WEBSITES_ENABLE_APP_SERVICE_STORAGE": "false",
        "WEBSITE_WARMUP_PATH": HEALTH_PATH,
        "WEBSITE_WARMUP_STATUSES": "200",
        "WEBSITE_SWAP_WARMUP_PING_PATH": HEALTH_PATH,
        "WEBSITE_SWAP_WARMUP_PING_STATUSES": "200",
        "SERVE_TIMEOUT": str(settings.request_timeout),
    }


def _client_id_setting(spec: SiteSpec, site: Site) -> dict[str, str]:
    identity = state.select_identity(spec, site)
    return {CLIENT_ID_VARIABLE: identity.client} if identity and identity.client else {}


def _vault_reference(url: str) -> str:
    return f"{UNRESOLVED_REFERENCE}SecretUri={url})"


def _restriction_changes(current: Mapping[str, Any], allow: Sequence[str]) -> dict[str, Any]:
    """Return the changes to the access restrictions; rules that this tool does not manage stay.

    Source: "Set up Azure App Service access restrictions".
    """
    present_rules = [dict(rule) for rule in current.get("ipSecurityRestrictions") or ()]
    # The service lists its default action as a rule for Any.
    rules = [rule for rule in present_rules if rule.get("ipAddress") != "Any"]
    managed = [rule for rule in rules if str(rule.get("name", "")).startswith(RULE_PREFIX)]
    others = [rule for rule in rules if rule not in managed]
    desired_rules = [_build_rule(number, source) for number, source in enumerate(allow)]
    has_allow_rule = any(rule.get("action") == "Allow" for rule in (*desired_rules, *others))
    default_action = "Deny" if has_allow_rule else "Allow"
    # Without an explicit default action, the service denies the rest once any rule allows access.
    current_action = str(current.get("ipSecurityRestrictionsDefaultAction") or "")
    current_action = current_action or (
        "Deny" if any(present_rule.get("action") == "Allow" for present_rule in rules) else "Allow"
    )
    unchanged = [_rule_key(rule) for rule in managed] == [_rule_key(rule) for rule in desired_rules]
    if unchanged and (current_action == default_action or not desired_rules):
        return {}
    return {
        "ipSecurityRestrictions": [*others, *desired_rules],
        "ipSecurityRestrictionsDefaultAction": default_action,
    }


def find_open_rule(current: Mapping[str, Any]) -> str:
    """Return the name of a rule that allows all clients; empty if there is none."""
    for rule in current.get("ipSecurityRestrictions") or ():
        if rule.get("action") == "Allow" and rule.get("ipAddress") in ("0.0.0.0/0", "::/0"):
            return str(rule.get("name") or rule["ipAddress"])
    return ""


def _build_rule(number: int, source: str) -> dict[str, Any]:
    return {
        "name": f"{RULE_PREFIX}{number + 1}",
        "action": "Allow",
        "priority": FIRST_PRIORITY + number,
        "ipAddress": source,
        "tag": "ServiceTag" if source[0].isupper() else "Default",
    }


def _rule_key(rule: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(rule.get(key) for key in ("name", "action", "ipAddress"))


def _normalize(value: Any) -> Any:
    """Return a value in a comparable form: resource IDs are case-insensitive."""
    return value.lower() if isinstance(value, str) else value
