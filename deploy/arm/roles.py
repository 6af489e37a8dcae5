"""Who may pull from a registry, as far as whoever deploys may know."""

from __future__ import annotations

from deploy.arm.client import ResourceManager
from deploy.errors import DeployError

REGISTRY_API = "2025-11-01"
ROLES_API = "2022-04-01"
# "Azure built-in roles": those that may pull, by ids that are the same everywhere.
PULLING = {
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "8311e382-0749-4cb8-b61a-304f252e45ec": "AcrPush",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": "Container Registry Repository Reader",
    "2a1e307c-b015-4ebd-883e-5b7698a07328": "Container Registry Repository Writer",
}


def registry_id(arm: ResourceManager, subscription: str, server: str) -> str:
    """Return the resource id of the registry at `server`; empty where it may not be seen."""
    path = f"/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/registries"
    try:
        found = arm.every(path, REGISTRY_API)
    except DeployError:
        return ""
    return next(
        (str(one["id"]) for one in found if one["properties"].get("loginServer") == server), ""
    )


def may_pull(arm: ResourceManager, registry: str, principal: str) -> bool | None:
    """Tell whether `principal` may pull from the registry of this id; None where it is hidden."""
    if not registry or not principal:
        return None
    path = f"{registry}/providers/Microsoft.Authorization/roleAssignments"
    try:
        found = arm.every(path, ROLES_API, **{"$filter": f"assignedTo('{principal}')"})
    except DeployError:
        return None
    roles = {str(one["properties"]["roleDefinitionId"]).rpartition("/")[2] for one in found}
    if roles & set(PULLING):
        return True
    # A role of the company's own may hold the right.
    return None if roles else False
