"""VM sizes, their families, and the quota of a region.

Documented: REST API of Azure Machine Learning ("Virtual Machine Sizes - List", "Usages - List",
"Quotas - List"); "Manage and increase quotas": a fifth more than the instances is reserved for
upgrades. Recorded: 8 cores are needed for one instance of Standard_F4s_v2. Assumed: the value of a
usage's name is the family's, and the localized value is what the portal shows; which sizes are
offered.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

PROVIDER = "Microsoft.MachineLearningServices"
TOTAL = "Total Cluster Dedicated Regional vCPUs"


@dataclass(frozen=True)
class VmSize:
    """A VM size."""

    name: str
    family: str
    cores: int
    # In GB.
    memory: float

    def document(self) -> dict[str, Any]:
        """Return the size in the form of the list of vmSizes."""
        return {
            "name": self.name,
            "family": self.family,
            "vCPUs": self.cores,
            "gpus": 0,
            "osVhdSizeMB": 1047552,
            "maxResourceVolumeMB": 8192 * self.cores,
            "memoryGB": self.memory,
            "lowPriorityCapable": True,
            "premiumIO": True,
            "supportedComputeTypes": ["AmlCompute", "ComputeInstance", "OnlineEndpoint"],
        }


SIZES = {
    size.name.lower(): size
    for size in (
        VmSize("Standard_DS2_v2", "standardDSv2Family", 2, 7.0),
        VmSize("Standard_DS3_v2", "standardDSv2Family", 4, 14.0),
        VmSize("Standard_F2s_v2", "standardFSv2Family", 2, 4.0),
        VmSize("Standard_F4s_v2", "standardFSv2Family", 4, 8.0),
        VmSize("Standard_D2as_v4", "standardDASv4Family", 2, 8.0),
        VmSize("Standard_D4as_v4", "standardDASv4Family", 4, 16.0),
        VmSize("Standard_D2ads_v5", "standardDADSv5Family", 2, 8.0),
        VmSize("Standard_D4ads_v5", "standardDADSv5Family", 4, 16.0),
        VmSize("Standard_E2s_v3", "standardESv3Family", 2, 16.0),
        VmSize("Standard_E4s_v3", "standardESv3Family", 4, 32.0),
    )
}
FAMILIES = sorted({size.family for size in SIZES.values()})


def count_quota_cores(size: VmSize, instances: int) -> int:
    """Return the cores of quota that a deployment with so many instances takes."""
    return math.ceil(1.2 * instances) * size.cores


def list_usages(base: str, used: dict[str, int], limits: dict[str, int]) -> list[dict[str, Any]]:
    """Return the list of usages; `limits` has the quota of each family."""
    rows = [_row(base, "usages", TOTAL, TOTAL, sum(limits.values()), sum(used.values()))]
    for family in FAMILIES:
        kind, limit = "vmFamily/usages", limits[family]
        rows.append(_row(base, kind, family, _title(family), limit, used.get(family, 0)))
    return rows


def list_quotas(base: str, limits: dict[str, int]) -> list[dict[str, Any]]:
    """Return the list of quotas."""
    return [
        _row(base, "vmFamily/quotas", family, _title(family), limits[family]) for family in FAMILIES
    ]


def _row(
    base: str, kind: str, name: str, title: str, limit: int, used: int | None = None
) -> dict[str, Any]:
    row = {
        "id": f"{base}/{kind}/{name}",
        "type": f"{PROVIDER}/{kind}",
        "unit": "Count",
        "limit": limit,
        "name": {"value": name, "localizedValue": title},
    }
    return row if used is None else {**row, "currentValue": used}


def _title(family: str) -> str:
    match = re.fullmatch(r"standard(.*)Family", family)
    return f"Standard {match[1] if match else family} Family Cluster Dedicated vCPUs"
