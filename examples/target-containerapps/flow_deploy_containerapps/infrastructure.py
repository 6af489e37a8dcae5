"""What container apps need of an environment's infrastructure: the managed environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from deploy.azure import caller_key
from deploy.infra import resource_types
from deploy.infra.desired import DesiredState, FlowPlacement
from deploy.infra.entities import NetworkFlow, Quota, Resource, RoleAssignment, Setting
from deploy.infra.naming import NamingConvention
from deploy.infra.network_flows import CI, CLIENTS
from deploy.infra.resource_types import ResourceType
from deploy.infra.resources import build_resource
from deploy.infra.target import TargetInfrastructure
from flow_deploy_containerapps.settings import Settings

MANAGED_ENVIRONMENT = ResourceType(
    "Microsoft.App/managedEnvironments",
    "2024-03-01",
    "itself nothing; the apps by processor, memory and requests, also the version that is kept for "
    "a rollback",
    is_monitored=True,
)
# The serving version, the previous one and the one that starts.
VERSIONS = 3


class ContainerAppsInfrastructure(TargetInfrastructure):
    """A managed environment; a deploy creates the apps in it."""

    title = "Azure Container Apps"
    existing_resource_keys: ClassVar[Mapping[str, str]] = {
        "managed_environment": "managedEnvironment"
    }
    # "Azure built-in roles".
    role_ids: ClassVar[Mapping[str, str]] = {
        "Container Apps Contributor": "358470bc-b998-42bd-ab17-a7e34c199c0f"
    }

    def build_names(self, convention: NamingConvention) -> Mapping[str, str]:
        return {"managedEnvironment": f"cae-{convention.base}"}

    def list_resources(self, desired: DesiredState) -> Sequence[Resource]:
        zones = Setting(
            "properties.zoneRedundant", desired.infra.zone_redundant, "availability zones"
        )
        name = desired.target_names["managedEnvironment"]
        return (build_resource(desired, MANAGED_ENVIRONMENT, name, "runs the apps", zones),)

    def list_role_assignments(self, desired: DesiredState) -> Sequence[RoleAssignment]:
        deployer, why = desired.names.deployer, "inv deploy creates and changes apps"
        roles = [RoleAssignment(deployer, "Container Apps Contributor", desired.group_id, why)]
        if any(item.settings.auth == "key" for item in desired.list_placements(Settings)):
            vault = desired.build_id(resource_types.VAULT, desired.names.vault)
            why = "the sample is scored with the clients' key, which is in the vault"
            roles.append(RoleAssignment(deployer, "Key Vault Secrets User", vault, why))
        return roles

    def list_network_flows(self, desired: DesiredState) -> Sequence[NetworkFlow]:
        hosts = f"*.{desired.infra.location or '‹region›'}.azurecontainerapps.io"
        return (
            NetworkFlow(CI, hosts, "health, version and the sample; logs"),
            NetworkFlow(CLIENTS, hosts, "requests"),
        )

    def list_quotas(self, desired: DesiredState) -> Sequence[Quota]:
        placements = desired.list_placements(Settings)
        cores = sum(item.settings.cpu * item.settings.replicas for item in placements)
        name, why = "Container Apps: Consumption cores", f"all replicas of {VERSIONS} versions"
        return (Quota(name, math.ceil(cores * VERSIONS), "cores", why),)

    def list_secret_names(self, desired: DesiredState, placement: FlowPlacement) -> Sequence[str]:
        if isinstance(placement.settings, Settings) and placement.settings.auth == "key":
            return (caller_key.build_secret_name(placement.flow.name, desired.environment),)
        return ()

    def list_questions(self, desired: DesiredState) -> Sequence[str]:
        question = "The environment is private, and apps have public addresses: is that intended?"
        return (question,) if desired.infra.private else ()
