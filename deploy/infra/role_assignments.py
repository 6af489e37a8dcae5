"""The role assignments of an environment: least privilege, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.infra import resource_ids, resource_types
from deploy.infra.desired import DesiredState
from deploy.infra.entities import RoleAssignment

ROLE_IDS: dict[str, str] = json.loads(Path(__file__).with_name("roles.json").read_text("utf-8"))
"""The ids of roles ("Azure built-in roles"), the same everywhere. Bicep reads them too."""

IMPORTER_ROLE = "Container Registry Data Importer and Data Reader"


def list_role_assignments(desired: DesiredState) -> tuple[RoleAssignment, ...]:
    """Return every role assignment that `desired` requires."""
    return (
        *list_runner_roles(desired, desired.names.runner),
        *_deployer(desired),
        *(
            assignment
            for target in desired.targets.values()
            for assignment in target.list_role_assignments(desired)
        ),
    )


def collect_role_ids(desired: DesiredState) -> dict[str, str]:
    """Return the ids of all roles that `desired` can require, by name."""
    return ROLE_IDS | {
        name: id for target in desired.targets.values() for name, id in target.role_ids.items()
    }


def list_runner_roles(desired: DesiredState, identity: str) -> list[RoleAssignment]:
    """Return the roles of an identity that flows run as."""
    names = desired.names
    registry = desired.build_id(resource_types.REGISTRY, names.registry)
    vault = desired.build_id(resource_types.VAULT, names.vault)
    assignments = [
        RoleAssignment(
            identity, "AcrPull", registry, "the image of the flow is pulled as this identity"
        ),
        RoleAssignment(
            identity,
            "Key Vault Secrets User",
            vault,
            "the flow gets its secrets from the vault when it starts",
        ),
    ]
    if desired.infra.models:
        account = desired.build_id(resource_types.OPENAI_ACCOUNT, names.openai)
        why = "the flow calls the model without a key"
        assignments.append(RoleAssignment(identity, "Cognitive Services OpenAI User", account, why))
    return assignments


def _deployer(desired: DesiredState) -> list[RoleAssignment]:
    names, identity = desired.names, desired.names.deployer
    registry = desired.build_id(resource_types.REGISTRY, names.registry)
    runner = desired.build_id(resource_types.IDENTITY, names.runner)
    why_reader = "plans and inv infra.check read the resources"
    assignments = [RoleAssignment(identity, "Reader", desired.group_id, why_reader)]
    if desired.infra.publishes:
        why = "images and the documents about them are published to the registry"
        assignments.append(RoleAssignment(identity, "AcrPush", registry, why))
    else:
        why = "a deploy looks up the digest of the image"
        assignments.append(RoleAssignment(identity, "AcrPull", registry, why))
    if desired.promotion_source:
        why = "images are promoted by a registry import"
        assignments.append(RoleAssignment(identity, IMPORTER_ROLE, registry, why))
        origin = desired.promotion_source
        source = resource_ids.build_resource_id(
            resource_ids.build_group_id(origin.subscription, origin.group),
            resource_types.REGISTRY,
            origin.registry,
        )
        why = "images are promoted from this registry"
        assignments.append(RoleAssignment(identity, IMPORTER_ROLE, source, why))
    why = "deployed flows run as this identity"
    assignments.append(RoleAssignment(identity, "Managed Identity Operator", runner, why))
    return assignments
