"""What a slot's container is made from: its image, who pulls it, its environment, how it is asked.

Documented: "Environment variables and app settings in Azure App Service" (every setting is a variable, a
second time with APPSETTING_ before it; the platform's own), "Configure a custom container" (WEBSITES_PORT,
80 without it), "Use Key Vault references" (what cannot be resolved stays as it is written). Recorded: the
variables of `docker run` in the platform's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.emulator.arm import GROUP
from tests.emulator.web import references
from tests.emulator.web.instance import Ping, Recipe

if TYPE_CHECKING:
    from tests.emulator.vault import Vault
    from tests.emulator.web.slot import Slot

PORT = 80
LIMIT, MOST_LIMIT = 230, 1800
START_PING = "/robots933456.txt"


def recipe(slot: Slot, settings: Mapping[str, str], vaults: Mapping[str, Vault]) -> Recipe:
    """Return what a slot is made from with `settings`, which a swap changes."""
    resolved = {
        name: references.resolved(text, vaults, slot.vault_reader())
        for name, text in settings.items()
    }
    port = _number(resolved.get("WEBSITES_PORT") or resolved.get("PORT"), PORT)
    limit = _number(resolved.get("WEBSITES_CONTAINER_START_TIME_LIMIT"), LIMIT)
    return Recipe(
        slot.label,
        slot.image,
        slot.pullers(),
        {**_platform(slot, port), **_twice(resolved)},
        port,
        min(limit, MOST_LIMIT),
        Ping(
            resolved.get("WEBSITE_WARMUP_PATH") or START_PING,
            statuses(resolved.get("WEBSITE_WARMUP_STATUSES", "")),
        ),
    )


def swap_ping(settings: Mapping[str, str]) -> Ping:
    """Return what is asked of the source before a swap."""
    return Ping(
        settings.get("WEBSITE_SWAP_WARMUP_PING_PATH") or "/",
        statuses(settings.get("WEBSITE_SWAP_WARMUP_PING_STATUSES", "")),
    )


def statuses(text: str) -> frozenset[int]:
    """Return the statuses of a setting, as in `200,202`."""
    return frozenset(int(part) for part in text.split(",") if part.strip().isdigit())


def _platform(slot: Slot, port: int) -> dict[str, str]:
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


def _twice(settings: Mapping[str, str]) -> dict[str, str]:
    return {**settings, **{f"APPSETTING_{name}": text for name, text in settings.items()}}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default
