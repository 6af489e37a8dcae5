"""Which identity may pull from a registry, as far as the deploying identity can see."""

from __future__ import annotations

from deploy.azure.resource_manager import ResourceManager
from deploy.core.errors import DeployError, Problem

REGISTRY_API_VERSION = "2025-11-01"
ROLES_API_VERSION = "2022-04-01"
# "Azure built-in roles": those that may pull, by ids that are the same in every tenant.
PULL_ROLES = {
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "8311e382-0749-4cb8-b61a-304f252e45ec": "AcrPush",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": "Container Registry Repository Reader",
    "2a1e307c-b015-4ebd-883e-5b7698a07328": "Container Registry Repository Writer",
}


# The note of a plan if the permission cannot be read.
UNKNOWN_NOTE = (
    "it is unknown whether the identity has AcrPull: no permission to read role assignments"
)


def missing_role(where: str, identity: str, registry: str | None) -> Problem:
    """Return the problem of an identity that may not pull; `where` is the resource that has it."""
    message = f"the identity {identity} may not pull from {registry}: the role AcrPull is missing"
    hint = "assign AcrPull on the registry to it; this takes minutes to take effect"
    return Problem(where, message, hint)


def find_registry_id(arm: ResourceManager, subscription: str, server: str) -> str:
    """Return the resource id of the registry at `server`; empty if it is not visible."""
    path = f"/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/registries"
    try:
        registries = arm.list_all(path, REGISTRY_API_VERSION)
    except DeployError:
        return ""
    return next(
        (
            str(registry["id"])
            for registry in registries
            if registry["properties"].get("loginServer") == server
        ),
        "",
    )


def can_pull(arm: ResourceManager, registry: str, principal: str) -> bool | None:
    """Return whether `principal` may pull from the registry with this id; None if not visible."""
    if not registry or not principal:
        return None
    path = f"{registry}/providers/Microsoft.Authorization/roleAssignments"
    try:
        assignments = arm.list_all(
            path, ROLES_API_VERSION, **{"$filter": f"assignedTo('{principal}')"}
        )
    except DeployError:
        return None
    roles = {
        str(assignment["properties"]["roleDefinitionId"]).rpartition("/")[2]
        for assignment in assignments
    }
    if roles & set(PULL_ROLES):
        return True
    # A custom role may include the permission.
    return None if roles else False
