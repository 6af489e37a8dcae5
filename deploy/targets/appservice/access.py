"""How callers are let in: a key from its vault, or a token and the platform's authentication."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy import cloud
from deploy.arm import keys
from deploy.arm.client import ResourceManager
from deploy.model import Spec
from deploy.runtime.access import KEY
from deploy.targets.appservice.settings import place_of, settings_of


def headers(spec: Spec) -> Mapping[str, str]:
    """Return what a request needs. Raises `DeployError`; show it nobody."""
    auth = settings_of(spec).auth
    if auth == "public":
        return {}
    if auth == "key":
        return keys.headers(spec)
    where = cloud.chosen(place_of(spec).cloud)
    return {"Authorization": f"Bearer {cloud.token(where, f'{audience(spec)}/.default')}"}


def audience(spec: Spec) -> str:
    """Return whom a caller's token must be for, where Entra lets callers in."""
    return f"api://{place_of(spec).auth_client}"


def wanted(spec: Spec, arm: ResourceManager, now: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the platform's authentication as it should be; None where `now` is that.

    "Configure your App Service app to use Microsoft Entra sign-in", "File-based configuration".
    What somebody else set beside it stays.
    """
    if settings_of(spec).auth != "entra":
        if not (now.get("platform") or {}).get("enabled"):
            return None
        return _merged(now, {"platform": {"enabled": False}})
    place = place_of(spec)
    asked = {
        "platform": {"enabled": True},
        "globalValidation": {
            "requireAuthentication": True,
            "unauthenticatedClientAction": "Return401",
        },
        "identityProviders": {
            "azureActiveDirectory": {
                "enabled": True,
                "registration": {"openIdIssuer": arm.issuer(), "clientId": place.auth_client},
                "validation": {"allowedAudiences": [audience(spec)]},
            }
        },
    }
    merged = _merged(now, asked)
    return merged if merged != dict(now) else None


def shown(auth: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    """Return in a word how a site lets callers in now."""
    if (auth.get("platform") or {}).get("enabled"):
        required = (auth.get("globalValidation") or {}).get("requireAuthentication")
        return "entra" if required else "entra, not required"
    return "key" if KEY in settings else "public"


def _merged(now: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return `now` with what is `asked` in it, at every depth."""
    found = dict(now)
    for name, value in asked.items():
        inner = found.get(name)
        found[name] = (
            _merged(inner if isinstance(inner, Mapping) else {}, value)
            if isinstance(value, Mapping)
            else value
        )
    return found
