"""The role assignments of an environment: least privilege, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.infra import resource_ids, resource_types
from deploy.infra.desired import APPSERVICE, AZUREML, DesiredState
from deploy.infra.entities import RoleAssignment

ROLE_IDS: dict[str, str] = json.loads(Path(__file__).with_name("roles.json").read_text("utf-8"))
"""The ids of roles ("Azure built-in roles"), the same everywhere. Bicep reads them too."""

IMPORTER_ROLE = "Container Registry Data Importer and Data Reader"
APPROVER_ROLE = "Azure AI Enterprise Network Connection Approver"


def list_role_assignments(desired: DesiredState) -> tuple[RoleAssignment, ...]:
    """Return every role assignment that `desired` requires."""
    return (
        *_runner(desired, desired.names.runner),
        *_deployer(desired),
        *(_machine_learning(desired) if AZUREML in desired.options else ()),
        *(_web(desired) if APPSERVICE in desired.options else ()),
    )


def _runner(desired: DesiredState, identity: str) -> list[RoleAssignment]:
    names = desired.names
    registry = resource_ids.build_resource_id(desired, resource_types.REGISTRY, names.registry)
    vault = resource_ids.build_resource_id(desired, resource_types.VAULT, names.vault)
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
        account = resource_ids.build_resource_id(
            desired, resource_types.OPENAI_ACCOUNT, names.openai
        )
        why = "the flow asks the model without a key"
        assignments.append(RoleAssignment(identity, "Cognitive Services OpenAI User", account, why))
    return assignments


def _deployer(desired: DesiredState) -> list[RoleAssignment]:
    names, identity = desired.names, desired.names.deployer
    registry = resource_ids.build_resource_id(desired, resource_types.REGISTRY, names.registry)
    runner = resource_ids.build_resource_id(desired, resource_types.IDENTITY, names.runner)
    why_reader = "a plan looks at what is there, and so does inv infra.check"
    assignments = [
        RoleAssignment(identity, "Reader", resource_ids.build_group_id(desired), why_reader)
    ]
    if desired.infra.publishes:
        why = "images and the documents about them are published to the registry"
        assignments.append(RoleAssignment(identity, "AcrPush", registry, why))
    else:
        why = "a deploy looks up the digest of the image"
        assignments.append(RoleAssignment(identity, "AcrPull", registry, why))
    if desired.promotion_source:
        why = "an image is promoted by an import of Azure"
        assignments.append(RoleAssignment(identity, IMPORTER_ROLE, registry, why))
        origin = desired.promotion_source
        group = f"/subscriptions/{origin.subscription}/resourceGroups/{origin.group}"
        source = resource_ids.build_id_in_group(group, resource_types.REGISTRY, origin.registry)
        why = "an image is promoted from the registry of the environment before"
        assignments.append(RoleAssignment(identity, IMPORTER_ROLE, source, why))
    why = "what is deployed is given this identity to run as"
    assignments.append(RoleAssignment(identity, "Managed Identity Operator", runner, why))
    return assignments


def _machine_learning(desired: DesiredState) -> list[RoleAssignment]:
    names, identity = desired.names, desired.names.workspaceIdentity
    storage = resource_ids.build_resource_id(desired, resource_types.STORAGE, names.storage)
    own_vault = resource_ids.build_resource_id(desired, resource_types.VAULT, names.workspaceVault)
    registry = resource_ids.build_resource_id(desired, resource_types.REGISTRY, names.registry)
    insights = resource_ids.build_resource_id(desired, resource_types.INSIGHTS, names.insights)
    workspace = resource_ids.build_resource_id(desired, resource_types.WORKSPACE, names.workspace)
    # "Set up authentication between Azure Machine Learning and other services": what a workspace
    # with a user-assigned identity needs.
    assignments = [
        RoleAssignment(identity, "Contributor", storage, "the workspace manages its storage"),
        RoleAssignment(
            identity,
            "Storage Blob Data Contributor",
            storage,
            "the workspace keeps its files in its storage, without keys",
        ),
        RoleAssignment(identity, "Contributor", own_vault, "the workspace manages its own vault"),
        RoleAssignment(
            identity,
            "Key Vault Administrator",
            own_vault,
            "the workspace keeps the credentials of its connections in its own vault",
        ),
        RoleAssignment(
            identity,
            "Contributor",
            registry,
            "the workspace manages the registry that it is linked to",
        ),
        RoleAssignment(
            identity,
            "Contributor",
            insights,
            "the workspace manages the Application Insights that it is linked to",
        ),
        RoleAssignment(identity, "Contributor", workspace, "the workspace manages what is in it"),
        RoleAssignment(
            names.runner,
            "Storage Blob Data Reader",
            storage,
            "an endpoint with this identity reads what the service keeps for it",
        ),
        RoleAssignment(
            names.runner,
            "Azure Machine Learning Workspace Connection Secrets Reader",
            workspace,
            "the flow gets the credentials of connections when it starts",
        ),
        RoleAssignment(
            names.deployer,
            "AzureML Data Scientist",
            workspace,
            "endpoints and deployments are made by inv deploy",
        ),
    ]
    if desired.has_autoscale:
        why = "the rule that scales a deployment is written with it"
        group = resource_ids.build_group_id(desired)
        assignments.append(RoleAssignment(names.deployer, "Monitoring Contributor", group, why))
    if desired.infra.private:
        private_targets = [
            (resource_ids.build_resource_id(desired, resource_types.VAULT, names.vault), "vault")
        ]
        if desired.infra.models:
            private_targets.append(
                (
                    resource_ids.build_resource_id(
                        desired, resource_types.OPENAI_ACCOUNT, names.openai
                    ),
                    "model",
                )
            )
        for scope, name in private_targets:
            why = (
                f"the private endpoint from the managed network to the {name} is approved by the "
                "workspace"
            )
            assignments.append(RoleAssignment(identity, APPROVER_ROLE, scope, why))
    return assignments


def _web(desired: DesiredState) -> list[RoleAssignment]:
    why = "the image and the settings of the site and its slot are set by inv deploy"
    deployer = desired.names.deployer
    assignments = _runner(desired, desired.names.slotIdentity)
    for site in desired.sites:
        scope = resource_ids.build_resource_id(desired, resource_types.SITE, site.name)
        assignments.append(RoleAssignment(deployer, "Website Contributor", scope, why))
    if desired.has_key_auth:
        vault = resource_ids.build_resource_id(desired, resource_types.VAULT, desired.names.vault)
        why = "the sample is scored with the key of the callers, which is in the vault"
        assignments.append(RoleAssignment(deployer, "Key Vault Secrets User", vault, why))
    return assignments
