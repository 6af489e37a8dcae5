"""App Service plans: the machines that sites run on, as far as sites depend on them.

Documented: "Azure subscription and service limits" (slots of each tier), "App Service plan overview";
REST API of App Service ("App Service Plans"). Assumed: a plan has machines enough, so that a site runs
in one container whatever its capacity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.arm import GROUP, LOCATION
from tests.emulator.bodies import UnknownError, only
from tests.emulator.web.errors import WebError, bad_request, no_slots

KIND = "Microsoft.Web/serverfarms"
FIELDS = {"identity", "kind", "location", "properties", "sku", "tags"}
PROPERTIES = {
    "asyncScalingEnabled",
    "elasticScaleEnabled",
    "hyperV",
    "isSpot",
    "isXenon",
    "maximumElasticWorkerCount",
    "perSiteScaling",
    "reserved",
    "targetWorkerCount",
    "targetWorkerSizeId",
    "workerTierName",
    "zoneRedundant",
}
SKU = {"capacity", "family", "name", "size", "tier"}
# Of each tier: its sizes, and how many slots a site has beside production.
TIERS = {
    "Free": ("F1", 0),
    "Shared": ("D1", 0),
    "Basic": ("B[1-3]", 0),
    "Standard": ("S[1-3]", 5),
    "PremiumV2": ("P[1-3]v2", 20),
    "PremiumV3": ("P[0-5]m?v3", 20),
    "PremiumV4": ("P[0-5]m?v4", 20),
    "IsolatedV2": ("I[1-6]m?v2", 20),
}


@dataclass
class Plan:
    """A plan; it is for Linux if it is `reserved`."""

    id: str
    name: str
    size: str
    reserved: bool
    capacity: int = 1
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def tier(self) -> str:
        """The tier of its size."""
        return tier(self.size)

    @property
    def slots(self) -> int:
        """How many slots a site on it has beside production."""
        return TIERS[self.tier][1]

    def document(self, sites: int) -> dict[str, Any]:
        """Return it as a body."""
        return {
            "id": self.id,
            "name": self.name,
            "type": KIND,
            "kind": "linux" if self.reserved else "app",
            "location": LOCATION,
            "tags": self.tags,
            "properties": {
                "zoneRedundant": False,
                **self.properties,
                "status": "Ready",
                "provisioningState": "Succeeded",
                "reserved": self.reserved,
                "numberOfSites": sites,
                "numberOfWorkers": self.capacity,
                "maximumNumberOfWorkers": 30,
                "geoRegion": LOCATION,
                "resourceGroup": GROUP,
            },
            "sku": {
                "name": self.size,
                "size": self.size,
                "tier": self.tier,
                "family": re.sub(r"\d", "", self.size),
                "capacity": self.capacity,
            },
        }


def tier(size: str) -> str:
    """Return the tier of a size. Raises `WebError`."""
    for name, (pattern, _) in TIERS.items():
        if re.fullmatch(pattern, size, re.IGNORECASE):
            return name
    raise bad_request(f"The SKU '{size}' is not available.")


def made(id: str, name: str, body: dict[str, Any]) -> Plan:
    """Return the plan that a request makes. Raises `WebError`, `UnknownError`."""
    only(body, FIELDS, "a plan")
    sku, properties = body.get("sku") or {}, dict(body.get("properties") or {})
    only(sku, SKU, "a plan's sku")
    only(properties, PROPERTIES, "a plan's properties")
    if body.get("location") != LOCATION or not sku.get("name"):
        raise UnknownError(f"a plan without sku, or in {body.get('location')}")
    reserved = bool(properties.pop("reserved", False))
    plan = Plan(id, name, sku["name"], reserved, int(sku.get("capacity") or 1))
    tier(plan.size)
    plan.tags, plan.properties = body.get("tags") or {}, properties
    return plan


def change(plan: Plan, body: dict[str, Any], slots: int) -> None:
    """Change a plan whose sites have `slots` slots at most. Raises `WebError`, `UnknownError`."""
    only(body, FIELDS - {"location"}, "a change of a plan")
    sku, properties = body.get("sku") or {}, dict(body.get("properties") or {})
    only(sku, SKU, "a plan's sku")
    only(properties, PROPERTIES, "a plan's properties")
    size = sku.get("name") or plan.size
    if slots > TIERS[tier(size)][1]:
        raise no_slots(tier(size))
    if properties.pop("reserved", plan.reserved) != plan.reserved:
        raise bad_request("A plan cannot change between Windows and Linux.")
    plan.size, plan.capacity = size, int(sku.get("capacity") or plan.capacity)
    plan.tags = body.get("tags", plan.tags) or {}
    plan.properties |= properties


def check_unused(plan: Plan, sites: int) -> None:
    """Raise `WebError` where sites run on a plan that is to be deleted."""
    if sites:
        text = (
            f"Server farm '{plan.name}' cannot be deleted because it has web app(s) assigned to it."
        )
        raise WebError(409, "Conflict", "{0}", text)
