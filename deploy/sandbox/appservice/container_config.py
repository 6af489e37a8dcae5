"""The configuration of a slot's container: image, identities, environment, warm-up requests.

Documented: "Environment variables and app settings in Azure App Service" (each setting is a
variable, and a second one with the prefix APPSETTING_; the platform's own), "Configure a custom
container" (WEBSITES_PORT, by default 80), "Use Key Vault references" (a reference that cannot be
resolved stays as text). Recorded: the variables of `docker run` in the platform's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from deploy.sandbox.appservice import key_vault_references
from deploy.sandbox.appservice.instance import ContainerConfig, WarmUpPing
from deploy.sandbox.arm import GROUP

if TYPE_CHECKING:
    from deploy.sandbox.appservice.slot import Slot
    from deploy.sandbox.vault import Vault

PORT = 80
LIMIT, MOST_LIMIT = 230, 1800
WARM_UP_PATH = "/robots933456.txt"


def build_container_config(
    slot: Slot, settings: Mapping[str, str], vaults: Mapping[str, Vault]
) -> ContainerConfig:
    """Return the configuration of a slot's container with `settings`, which differ in a swap."""
    resolved = {
        name: key_vault_references.resolve_value(text, vaults, slot.vault_reader())
        for name, text in settings.items()
    }
    port = _parse_number(resolved.get("WEBSITES_PORT") or resolved.get("PORT"), PORT)
    limit = _parse_number(resolved.get("WEBSITES_CONTAINER_START_TIME_LIMIT"), LIMIT)
    return ContainerConfig(
        slot.label,
        slot.image,
        slot.pullers(),
        {**_platform_variables(slot, port), **_duplicate_settings(resolved)},
        port,
        min(limit, MOST_LIMIT),
        WarmUpPing(
            resolved.get("WEBSITE_WARMUP_PATH") or WARM_UP_PATH,
            parse_statuses(resolved.get("WEBSITE_WARMUP_STATUSES", "")),
        ),
    )


def build_swap_ping(settings: Mapping[str, str]) -> WarmUpPing:
    """Return the request that warms up the source of a swap."""
    return WarmUpPing(
        settings.get("WEBSITE_SWAP_WARMUP_PING_PATH") or "/",
        parse_statuses(settings.get("WEBSITE_SWAP_WARMUP_PING_STATUSES", "")),
    )


def parse_statuses(text: str) -> frozenset[int]:
    """Return the status codes in a setting such as `200,202`."""
    return frozenset(int(part) for part in text.split(",") if part.strip().isdigit())


def _platform_variables(slot: Slot, port: int) -> dict[str, str]:
    return {
        "PORT": str(port),
        "WEBSITE_SITE_NAME": slot.site.name,
        "WEBSITE_SLOT_NAME": slot.name.capitalize() if slot.name == "production" else slot.name,
        "WEBSITE_HOSTNAME": slot.front.server.name,
        "WEBSITE_RESOURCE_GROUP": GROUP,
        "WEBSITE_SKU": slot.site.plan.tier,
        "WEBSITE_AUTH_ENABLED": str(slot.has_authentication),
        "WEBSITE_ROLE_INSTANCE_ID": "0",
    }


def _duplicate_settings(settings: Mapping[str, str]) -> dict[str, str]:
    return {**settings, **{f"APPSETTING_{name}": text for name, text in settings.items()}}


def _parse_number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default
