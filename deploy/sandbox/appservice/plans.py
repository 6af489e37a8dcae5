"""App Service plans: the machines that sites run on, as far as sites depend on them.

Documented: "Azure subscription and service limits" (slots of each tier), "App Service plan
overview"; REST API of App Service ("App Service Plans"). Assumed: a plan always has enough
machines, so a site runs in one container at any capacity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.appservice.errors import AppServiceError, bad_request, slot_limit_error
from deploy.sandbox.appservice.request_bodies import FIELDS
from deploy.sandbox.arm import GROUP, LOCATION
from deploy.sandbox.request_bodies import InvalidBodyError, reject_unknown_fields

RESOURCE_TYPE = "Microsoft.Web/serverfarms"
# For each tier: a pattern of its sizes, and the slots that a site can have besides production.
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
    """A plan."""

    id: str
    name: str
    size: str
    # Whether the plan is for Linux.
    reserved: bool
    capacity: int = 1
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def tier(self) -> str:
        """The tier of the plan's size."""
        return find_tier(self.size)

    @property
    def slots(self) -> int:
        """The number of slots that a site can have besides production."""
        return TIERS[self.tier][1]

    def document(self, sites: int) -> dict[str, Any]:
        """Return the plan in the form of a response's body."""
        return {
            "id": self.id,
            "name": self.name,
            "type": RESOURCE_TYPE,
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


def find_tier(size: str) -> str:
    """Return the tier of a size. Raise `AppServiceError` if there is none."""
    for name, (pattern, _) in TIERS.items():
        if re.fullmatch(pattern, size, re.IGNORECASE):
            return name
    raise bad_request(f"The SKU '{size}' is not available.")


def create_plan(id: str, name: str, body: dict[str, Any]) -> Plan:
    """Return the plan that a request creates. Raise `AppServiceError` or `InvalidBodyError`."""
    reject_unknown_fields(body, FIELDS["plan"], "a plan")
    sku, properties = body.get("sku") or {}, dict(body.get("properties") or {})
    reject_unknown_fields(sku, FIELDS["sku"], "a plan's sku")
    reject_unknown_fields(properties, FIELDS["plan_properties"], "a plan's properties")
    if body.get("location") != LOCATION or not sku.get("name"):
        raise InvalidBodyError(f"a plan without sku, or in {body.get('location')}")
    reserved = bool(properties.pop("reserved", False))
    plan = Plan(id, name, sku["name"], reserved, int(sku.get("capacity") or 1))
    find_tier(plan.size)
    plan.tags, plan.properties = body.get("tags") or {}, properties
    return plan


def update_plan(plan: Plan, body: dict[str, Any], slots: int) -> None:
    """Change a plan whose sites have at most `slots` slots.

    Raise `AppServiceError` or `InvalidBodyError`.
    """
    reject_unknown_fields(body, FIELDS["plan"] - {"location"}, "a change of a plan")
    sku, properties = body.get("sku") or {}, dict(body.get("properties") or {})
    reject_unknown_fields(sku, FIELDS["sku"], "a plan's sku")
    reject_unknown_fields(properties, FIELDS["plan_properties"], "a plan's properties")
    size = sku.get("name") or plan.size
    if slots > TIERS[find_tier(size)][1]:
        raise slot_limit_error(find_tier(size))
    if properties.pop("reserved", plan.reserved) != plan.reserved:
        raise bad_request("A plan cannot change between Windows and Linux.")
    plan.size, plan.capacity = size, int(sku.get("capacity") or plan.capacity)
    plan.tags = body.get("tags", plan.tags) or {}
    plan.properties |= properties


def check_unused(plan: Plan, sites: int) -> None:
    """Raise `AppServiceError` if a plan that is to be deleted has sites."""
    if sites:
        text = (
            f"Server farm '{plan.name}' cannot be deleted because it has web app(s) assigned to it."
        )
        raise AppServiceError(409, "Conflict", "{0}", text)
