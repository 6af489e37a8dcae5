"""Authentication of clients: a key from Key Vault, or a token for the platform's authentication."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.azure import caller_key, clouds
from deploy.azure.resource_manager import ResourceManager
from deploy.server.auth import KEY_VARIABLE
from deploy.targets.appservice.settings import SiteSpec


def headers(spec: SiteSpec) -> Mapping[str, str]:
    """Return the headers that authenticate a request; they are secret. Raise `DeployError`."""
    auth = spec.settings.auth
    if auth == "public":
        return {}
    if auth == "key":
        return caller_key.read_headers(spec)
    cloud = clouds.resolve_cloud(spec.place.cloud)
    return {
        "Authorization": f"Bearer {clouds.get_token(cloud, f'{token_audience(spec)}/.default')}"
    }


def token_audience(spec: SiteSpec) -> str:
    """Return the audience of clients' tokens for `auth: entra`."""
    return f"api://{spec.place.auth_client}"


def desired_auth(
    spec: SiteSpec, arm: ResourceManager, current: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the desired configuration of the platform's authentication; None if `current` matches.

    Settings that others added stay. Source: "Configure your App Service app to use Microsoft Entra
    sign-in", "File-based configuration".
    """
    if spec.settings.auth != "entra":
        if not (current.get("platform") or {}).get("enabled"):
            return None
        return _merge(current, {"platform": {"enabled": False}})
    place = spec.place
    desired_values = {
        "platform": {"enabled": True},
        "globalValidation": {
            "requireAuthentication": True,
            "unauthenticatedClientAction": "Return401",
        },
        "identityProviders": {
            "azureActiveDirectory": {
                "enabled": True,
                "registration": {
                    "openIdIssuer": arm.get_token_issuer(),
                    "clientId": place.auth_client,
                },
                "validation": {"allowedAudiences": [token_audience(spec)]},
            }
        },
    }
    merged = _merge(current, desired_values)
    return merged if merged != dict(current) else None


def auth_mode(auth: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    """Return how a site authenticates clients now: entra, key or public."""
    if (auth.get("platform") or {}).get("enabled"):
        required = (auth.get("globalValidation") or {}).get("requireAuthentication")
        return "entra" if required else "entra, not required"
    return "key" if KEY_VARIABLE in settings else "public"


def _merge(current: Mapping[str, Any], desired_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `current` with `desired_values` merged into it at every level."""
    merged = dict(current)
    for name, value in desired_values.items():
        inner = merged.get(name)
        merged[name] = (
            _merge(inner if isinstance(inner, Mapping) else {}, value)
            if isinstance(value, Mapping)
            else value
        )
    return merged
