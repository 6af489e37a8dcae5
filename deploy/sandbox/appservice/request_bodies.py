"""The bodies of requests about sites: their fields, and how they are parsed.

Recorded (azure-mgmt-web 11.0.1): the fields that a client can write. Documented: REST API of App
Service (2025-05-01; settings in siteConfig replace the whole set), "Configure a custom container".
Assumed: the default values; that tags can be changed alone, which Resource Manager requires of
every provider, though the SDK's model of a change has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deploy.sandbox.appservice.errors import bad_request
from deploy.sandbox.request_bodies import InvalidBodyError, load_fields, reject_unknown_fields

FIELDS = load_fields(__file__)
DEFAULTS = {
    "acrUseManagedIdentityCreds": False,
    "acrUserManagedIdentityID": None,
    "alwaysOn": False,
    "appCommandLine": "",
    "ftpsState": "FtpsOnly",
    "healthCheckPath": None,
    "http20Enabled": False,
    "httpLoggingEnabled": False,
    "ipSecurityRestrictions": [
        {"ipAddress": "Any", "action": "Allow", "priority": 2147483647, "name": "Allow all"}
    ],
    "linuxFxVersion": "",
    "minTlsVersion": "1.2",
    "numberOfWorkers": 1,
    "publicNetworkAccess": None,
    "webSocketsEnabled": False,
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]")
IMAGE = re.compile(r"DOCKER\|(?P<image>\S+)", re.IGNORECASE)


def check_name(name: str) -> None:
    """Raise `AppServiceError` for a name that is not allowed."""
    if not NAME.fullmatch(name):
        raise bad_request(
            f"The name '{name}' must have 2 to 60 characters, letters, digits and '-', and neither "
            "begin nor end with '-'."
        )


def check_config(config: Mapping[str, Any]) -> None:
    """Raise `InvalidBodyError` for a configuration that is unknown or not emulated."""
    reject_unknown_fields(config, FIELDS["configuration"], "siteConfig")
    for name in ("ipSecurityRestrictions", "scmIpSecurityRestrictions"):
        for row in config.get(name) or []:
            reject_unknown_fields(row, FIELDS["access_restriction"], name)
    if config.get("appCommandLine"):
        raise InvalidBodyError("a start-up command, which is not emulated")


def parse_image(config: Mapping[str, Any]) -> str:
    """Return the image in a configuration, empty if there is none."""
    match = IMAGE.fullmatch(str(config.get("linuxFxVersion") or ""))
    return match["image"] if match else ""


def parse_settings(settings: Any) -> dict[str, str]:
    """Return settings from a mapping in a body. Raise `InvalidBodyError`."""
    if not isinstance(settings, dict) or not all(
        isinstance(text, str) for text in settings.values()
    ):
        raise InvalidBodyError("settings that are not all strings")
    return dict(settings)


def parse_setting_list(rows: Any) -> dict[str, str]:
    """Return settings from a list in siteConfig. Raise `InvalidBodyError`."""
    return parse_settings({row.get("name"): row.get("value") for row in rows or []})
