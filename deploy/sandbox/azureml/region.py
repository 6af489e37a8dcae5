"""What the workspaces of one region share: the quota of cores, and the names of endpoints.

Documented: "Manage and increase quotas" (cores count by region and family, and a fifth more than
the instances is reserved for upgrades), "Usages - List", "Quotas - List"; "Endpoints for
inference": an endpoint's name is unique in its region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.sandbox.azureml import vm_sizes

if TYPE_CHECKING:
    from deploy.sandbox.azureml.workspace import Workspace

CORES = 100


class Region:
    """The only region."""

    def __init__(self) -> None:
        self.workspaces: dict[str, Workspace] = {}
        # The quota of each family of VM sizes, in cores.
        self.limits: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """Empty every workspace, and restore the quota."""
        for workspace in self.workspaces.values():
            workspace.reset()
        self.limits.clear()
        self.limits.update(dict.fromkeys(vm_sizes.FAMILIES, CORES))

    def count_used_cores(self) -> dict[str, int]:
        """Return the cores in use of each family."""
        used = dict.fromkeys(vm_sizes.FAMILIES, 0)
        for workspace in self.workspaces.values():
            for endpoint in list(workspace.endpoints.values()):
                for deployment in list(endpoint.deployments.values()):
                    size = vm_sizes.SIZES[str(deployment.properties["instanceType"]).lower()]
                    used[size.family] += vm_sizes.count_quota_cores(size, deployment.capacity)
        return used

    def has_endpoint(self, name: str) -> bool:
        """Return whether any workspace has an endpoint with this name."""
        return any(name.lower() in workspace.endpoints for workspace in self.workspaces.values())
