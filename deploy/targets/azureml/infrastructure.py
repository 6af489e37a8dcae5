"""What managed online endpoints need of an environment's infrastructure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from deploy.infra import resource_types
from deploy.infra.desired import DesiredState, FlowPlacement
from deploy.infra.entities import NetworkFlow, Quota, Resource, RoleAssignment, Setting
from deploy.infra.naming import NamingConvention
from deploy.infra.network_flows import CI, CLIENTS
from deploy.infra.resource_types import ResourceType
from deploy.infra.resources import build_resource, build_vault, public_network_access
from deploy.infra.target import TargetInfrastructure
from deploy.targets.azureml.settings import Settings

STORAGE = ResourceType(
    "Microsoft.Storage/storageAccounts", "2025-06-01", "gigabytes and operations; small"
)
WORKSPACE = ResourceType(
    "Microsoft.MachineLearningServices/workspaces",
    "2025-12-01",
    "itself nothing; each endpoint's instances by the hour, also the idle version that is kept for "
    "a rollback",
    is_monitored=True,
)
APPROVER_ROLE = "Azure AI Enterprise Network Connection Approver"
# "Manage and increase quotas": an endpoint reserves an extra 20 % for upgrades of its machines.
CAPACITY_FACTOR_TENTHS = 12
VM_SIZE_PATTERN = re.compile(
    r"Standard_(?P<letters>[A-Z]+)(?P<cores>\d+)(?P<rest>[a-z]*)(?:_(?P<version>v\d+))?"
)


class AzureMLInfrastructure(TargetInfrastructure):
    """A workspace with its storage, vault and identity; a deploy creates the endpoints in it."""

    title = "Azure Machine Learning, managed online endpoints"
    entry_point = "azureml.bicep"
    existing_resource_keys: ClassVar[Mapping[str, str]] = {"workspace": "workspace"}
    private_dns_zones = (
        "privatelink.api.azureml.ms",
        "privatelink.notebooks.azure.net",
        "privatelink.blob.core.windows.net",
        "privatelink.file.core.windows.net",
    )

    def build_names(self, convention: NamingConvention) -> Mapping[str, str]:
        return {
            "storage": convention.shorten("st", 24, ""),
            "workspaceVault": convention.shorten("kvml", 24),
            "workspaceIdentity": f"id-{convention.base}-workspace",
            "workspace": convention.shorten("mlw", 33, unique=False),
        }

    def list_resources(self, desired: DesiredState) -> Sequence[Resource]:
        names, infra = desired.target_names, desired.infra
        identity = build_resource(
            desired,
            resource_types.IDENTITY,
            names["workspaceIdentity"],
            "the identity of the workspace",
        )
        isolation = "AllowOnlyApprovedOutbound" if infra.private else "Disabled"
        return (
            identity,
            build_resource(
                desired,
                STORAGE,
                names["storage"],
                "every workspace has one",
                Setting("properties.allowSharedKeyAccess", False, "no keys"),
                Setting("properties.allowBlobPublicAccess", False, "no anonymous access"),
                Setting("properties.minimumTlsVersion", "TLS1_2", "no old TLS"),
                Setting("properties.supportsHttpsTrafficOnly", True, "no plain HTTP"),
                public_network_access(desired),
                sku="Standard_ZRS" if infra.zone_redundant else "Standard_LRS",
            ),
            build_vault(
                desired,
                names["workspaceVault"],
                "the workspace's own vault, which it must administer",
            ),
            build_resource(
                desired,
                WORKSPACE,
                names["workspace"],
                "managed online endpoints, created by inv deploy",
                Setting("properties.systemDatastoresAuthMode", "Identity", "storage without keys"),
                Setting("properties.managedNetwork.isolationMode", isolation, "outbound access"),
                public_network_access(desired),
                sku="Basic",
                identity=identity.id,
            ),
        )

    def list_private_endpoints(self, desired: DesiredState) -> Sequence[tuple[str, str]]:
        names = desired.target_names
        return (
            (names["storage"], "blob"),
            (names["storage"], "file"),
            (names["workspaceVault"], "vault"),
            (names["workspace"], "amlworkspace"),
        )

    def list_role_assignments(self, desired: DesiredState) -> Sequence[RoleAssignment]:
        names, shared = desired.target_names, desired.names
        identity = names["workspaceIdentity"]
        storage = desired.build_id(STORAGE, names["storage"])
        own_vault = desired.build_id(resource_types.VAULT, names["workspaceVault"])
        registry = desired.build_id(resource_types.REGISTRY, shared.registry)
        insights = desired.build_id(resource_types.INSIGHTS, shared.insights)
        workspace = desired.build_id(WORKSPACE, names["workspace"])
        # "Set up authentication between Azure Machine Learning and other services": what a
        # workspace with a user-assigned identity needs.
        assignments = [
            RoleAssignment(identity, "Contributor", storage, "the workspace manages its storage"),
            RoleAssignment(
                identity,
                "Storage Blob Data Contributor",
                storage,
                "the workspace keeps its files in its storage, without keys",
            ),
            RoleAssignment(
                identity, "Contributor", own_vault, "the workspace manages its own vault"
            ),
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
            RoleAssignment(
                identity, "Contributor", workspace, "the workspace manages what is in it"
            ),
            RoleAssignment(
                shared.runner,
                "Storage Blob Data Reader",
                storage,
                "an endpoint with this identity reads what the service keeps for it",
            ),
            RoleAssignment(
                shared.runner,
                "Azure Machine Learning Workspace Connection Secrets Reader",
                workspace,
                "the flow gets the credentials of connections when it starts",
            ),
            RoleAssignment(
                shared.deployer,
                "AzureML Data Scientist",
                workspace,
                "inv deploy creates endpoints and deployments",
            ),
        ]
        if _has_autoscale(desired):
            why = "the rule that scales a deployment is written with it"
            assignments.append(
                RoleAssignment(shared.deployer, "Monitoring Contributor", desired.group_id, why)
            )
        if desired.infra.private:
            reached = [(desired.build_id(resource_types.VAULT, shared.vault), "vault")]
            if desired.infra.models:
                account = desired.build_id(resource_types.OPENAI_ACCOUNT, shared.openai)
                reached.append((account, "model"))
            assignments += [
                RoleAssignment(
                    identity,
                    APPROVER_ROLE,
                    scope,
                    f"the private endpoint from the managed network to the {name} is approved by "
                    "the workspace",
                )
                for scope, name in reached
            ]
        return assignments

    def list_network_flows(self, desired: DesiredState) -> Sequence[NetworkFlow]:
        region = desired.infra.location or "‹region›"
        hosts = f"*.{region}.inference.ml.azure.com"
        return (
            NetworkFlow(CI, hosts, "score the sample before traffic moves"),
            NetworkFlow(CLIENTS, hosts, "requests"),
            NetworkFlow(CI, f"*.{region}.api.azureml.ms", "logs of deployments"),
        )

    def list_quotas(self, desired: DesiredState) -> Sequence[Quota]:
        cores: dict[str, int] = {}
        reasons: dict[str, list[str]] = {}
        for placement in desired.list_placements(Settings):
            size = placement.settings.instance_type
            family, cores_per_instance = parse_vm_size(size)
            instances, versions = _count_peak_instances(placement)
            needed = -(-instances * versions * CAPACITY_FACTOR_TENTHS // 10)
            cores[family] = cores.get(family, 0) + needed * cores_per_instance
            reasons.setdefault(family, []).append(
                f"{placement.flow.name}: {instances} × {size}, {versions} versions at once, "
                "times 1.2"
            )
        return [
            Quota(
                f"Azure Machine Learning: Standard {family} Family Cluster Dedicated vCPUs",
                amount,
                "cores",
                "; ".join(reasons[family]),
            )
            for family, amount in sorted(cores.items())
        ]

    def build_parameters(self, desired: DesiredState) -> Mapping[str, Any]:
        return {"scales": _has_autoscale(desired)}


def parse_vm_size(size: str) -> tuple[str, int]:
    """Return a VM size's family and number of cores: `DASv4`, 2 for `Standard_D2as_v4`."""
    match = VM_SIZE_PATTERN.fullmatch(size)
    if not match:
        return f"{size} (its family)", 1
    version = match["version"] or ""
    return f"{match['letters']}{match['rest'].upper()}{version}", int(match["cores"])


def _has_autoscale(desired: DesiredState) -> bool:
    """Return whether a deploy writes autoscale rules for an endpoint's deployments."""
    return any(placement.settings.autoscale for placement in desired.list_placements(Settings))


def _count_peak_instances(placement: FlowPlacement[Settings]) -> tuple[int, int]:
    """Return the most instances of one version of a flow, and the most versions at the same time.

    During a rollout, the serving version and the previous versions that are kept still exist.
    """
    settings = placement.settings
    instances = settings.autoscale.max if settings.autoscale else settings.instance_count
    return instances, 2 + settings.keep_previous
