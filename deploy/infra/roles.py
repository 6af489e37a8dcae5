"""Who may do what: every role assignment of an environment, as little as works, and why."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.infra import ids, kinds
from deploy.infra.model import Assignment
from deploy.infra.wanted import APPSERVICE, AZUREML, Wanted

ROLES: dict[str, str] = json.loads(Path(__file__).with_name("roles.json").read_text("utf-8"))
"""The ids of roles ("Azure built-in roles"), the same everywhere. Bicep reads them too."""

IMPORTER = "Container Registry Data Importer and Data Reader"
APPROVER = "Azure AI Enterprise Network Connection Approver"


def assignments_of(wanted: Wanted) -> tuple[Assignment, ...]:
    """Return every role assignment that `wanted` needs."""
    return (
        *_runner(wanted, wanted.names.runner),
        *_deployer(wanted),
        *(_machine_learning(wanted) if AZUREML in wanted.options else ()),
        *(_web(wanted) if APPSERVICE in wanted.options else ()),
    )


def _runner(wanted: Wanted, who: str) -> list[Assignment]:
    names = wanted.names
    registry = ids.id_of(wanted, kinds.REGISTRY, names.registry)
    vault = ids.id_of(wanted, kinds.VAULT, names.vault)
    found = [
        Assignment(who, "AcrPull", registry, "the image of the flow is pulled as this identity"),
        Assignment(
            who,
            "Key Vault Secrets User",
            vault,
            "the flow gets its secrets from the vault when it starts",
        ),
    ]
    if wanted.infra.models:
        account = ids.id_of(wanted, kinds.OPENAI, names.openai)
        why = "the flow asks the model without a key"
        found.append(Assignment(who, "Cognitive Services OpenAI User", account, why))
    return found


def _deployer(wanted: Wanted) -> list[Assignment]:
    names, who = wanted.names, wanted.names.deployer
    registry = ids.id_of(wanted, kinds.REGISTRY, names.registry)
    runner = ids.id_of(wanted, kinds.IDENTITY, names.runner)
    look = "a plan looks at what is there, and so does inv infra.check"
    found = [Assignment(who, "Reader", ids.group_of(wanted), look)]
    if wanted.infra.publishes:
        why = "images and the documents about them are published to the registry"
        found.append(Assignment(who, "AcrPush", registry, why))
    else:
        why = "a deploy looks up the digest of the image"
        found.append(Assignment(who, "AcrPull", registry, why))
    if wanted.origin:
        why = "an image is promoted by an import of Azure"
        found.append(Assignment(who, IMPORTER, registry, why))
        origin = wanted.origin
        group = f"/subscriptions/{origin.subscription}/resourceGroups/{origin.group}"
        source = ids.id_in(group, kinds.REGISTRY, origin.registry)
        why = "an image is promoted from the registry of the environment before"
        found.append(Assignment(who, IMPORTER, source, why))
    why = "what is deployed is given this identity to run as"
    found.append(Assignment(who, "Managed Identity Operator", runner, why))
    return found


def _machine_learning(wanted: Wanted) -> list[Assignment]:
    names, who = wanted.names, wanted.names.workspaceIdentity
    storage = ids.id_of(wanted, kinds.STORAGE, names.storage)
    own = ids.id_of(wanted, kinds.VAULT, names.workspaceVault)
    registry = ids.id_of(wanted, kinds.REGISTRY, names.registry)
    insights = ids.id_of(wanted, kinds.INSIGHTS, names.insights)
    workspace = ids.id_of(wanted, kinds.WORKSPACE, names.workspace)
    # "Set up authentication between Azure Machine Learning and other services": what a workspace
    # with a user-assigned identity needs.
    found = [
        Assignment(who, "Contributor", storage, "the workspace manages its storage"),
        Assignment(
            who,
            "Storage Blob Data Contributor",
            storage,
            "the workspace keeps its files in its storage, without keys",
        ),
        Assignment(who, "Contributor", own, "the workspace manages its own vault"),
        Assignment(
            who,
            "Key Vault Administrator",
            own,
            "the workspace keeps the credentials of its connections in its own vault",
        ),
        Assignment(
            who, "Contributor", registry, "the workspace manages the registry that it is linked to"
        ),
        Assignment(
            who,
            "Contributor",
            insights,
            "the workspace manages the Application Insights that it is linked to",
        ),
        Assignment(who, "Contributor", workspace, "the workspace manages what is in it"),
        Assignment(
            names.runner,
            "Storage Blob Data Reader",
            storage,
            "an endpoint with this identity reads what the service keeps for it",
        ),
        Assignment(
            names.runner,
            "Azure Machine Learning Workspace Connection Secrets Reader",
            workspace,
            "the flow gets the credentials of connections when it starts",
        ),
        Assignment(
            names.deployer,
            "AzureML Data Scientist",
            workspace,
            "endpoints and deployments are made by inv deploy",
        ),
    ]
    if wanted.scales:
        why = "the rule that scales a deployment is written with it"
        group = ids.group_of(wanted)
        found.append(Assignment(names.deployer, "Monitoring Contributor", group, why))
    if wanted.infra.private:
        reached = [(ids.id_of(wanted, kinds.VAULT, names.vault), "vault")]
        if wanted.infra.models:
            reached.append((ids.id_of(wanted, kinds.OPENAI, names.openai), "model"))
        for scope, name in reached:
            why = (
                f"the private endpoint from the managed network to the {name} is approved by the "
                "workspace"
            )
            found.append(Assignment(who, APPROVER, scope, why))
    return found


def _web(wanted: Wanted) -> list[Assignment]:
    why = "the image and the settings of the site and its slot are set by inv deploy"
    deployer = wanted.names.deployer
    found = _runner(wanted, wanted.names.slotIdentity)
    for site in wanted.sites:
        scope = ids.id_of(wanted, kinds.SITE, site.name)
        found.append(Assignment(deployer, "Website Contributor", scope, why))
    if wanted.keyed:
        vault = ids.id_of(wanted, kinds.VAULT, wanted.names.vault)
        why = "the sample is scored with the key of the callers, which is in the vault"
        found.append(Assignment(deployer, "Key Vault Secrets User", vault, why))
    return found
