"""What the workspaces of one region share: the quota of machines, and the names of endpoints.

Documented: "Manage and increase quotas" (cores count for each region and family, a fifth more than the
instances is kept for upgrades), "Usages - List", "Quotas - List"; "Endpoints for inference": an
endpoint's name is unique in its region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.emulator.ml import catalogue

if TYPE_CHECKING:
    from tests.emulator.ml.workspace import Workspace

CORES = 100


class Region:
    """The only region; `limits` is the quota of each family of machines in cores."""

    def __init__(self) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self.limits: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """Empty every workspace, and give the quota back."""
        for workspace in self.workspaces.values():
            workspace.reset()
        self.limits.clear()
        self.limits.update(dict.fromkeys(catalogue.FAMILIES, CORES))

    def used(self) -> dict[str, int]:
        """Return the cores in use of each family."""
        made = dict.fromkeys(catalogue.FAMILIES, 0)
        for workspace in self.workspaces.values():
            for endpoint in list(workspace.endpoints.values()):
                for deployment in list(endpoint.deployments.values()):
                    size = catalogue.SIZES[str(deployment.properties["instanceType"]).lower()]
                    made[size.family] += catalogue.needed(size, deployment.capacity)
        return made

    def has_endpoint(self, name: str) -> bool:
        """Whether any workspace has an endpoint of this name."""
        return any(name.lower() in one.endpoints for one in self.workspaces.values())

    def usages(self, base: str) -> list[dict[str, Any]]:
        """Return what usages lists; `base` is the region's resource id."""
        return catalogue.usages(base, self.used(), self.limits)

    def quotas(self, base: str) -> list[dict[str, Any]]:
        """Return what quotas lists."""
        return catalogue.quotas(base, self.limits)
