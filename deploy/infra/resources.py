"""The resources of an environment, and the properties that each must have."""

from __future__ import annotations

from deploy.infra import resource_types
from deploy.infra.desired import DesiredState
from deploy.infra.entities import Resource, Setting
from deploy.infra.resource_types import ResourceType

# "Azure Private Endpoint private DNS zone values", for the public cloud.
SHARED_DNS_ZONES = ("privatelink.azurecr.io", "privatelink.vaultcore.azure.net")
MODEL_DNS_ZONE = "privatelink.openai.azure.com"


def list_resources(desired: DesiredState) -> tuple[Resource, ...]:
    """Return every resource that `desired` requires, in the order of their creation."""
    return (
        *_shared(desired),
        *_models(desired),
        *(
            resource
            for target in desired.targets.values()
            for resource in target.list_resources(desired)
        ),
        *(_private(desired) if desired.infra.private else ()),
    )


def build_resource(
    desired: DesiredState,
    kind: ResourceType,
    name: str,
    why: str,
    *settings: Setting,
    sku: str = "",
    identity: str = "",
) -> Resource:
    """Return a resource in the environment's group."""
    return Resource(kind, name, desired.build_id(kind, name), sku, why, settings, identity)


def build_vault(desired: DesiredState, name: str, why: str) -> Resource:
    """Return a Key Vault."""
    return build_resource(
        desired,
        resource_types.VAULT,
        name,
        why,
        Setting("properties.enableRbacAuthorization", True, "roles, not access policies"),
        Setting("properties.enablePurgeProtection", True, "deleted secrets can be recovered"),
        public_network_access(desired),
        sku="standard",
    )


def public_network_access(desired: DesiredState) -> Setting:
    """Return the setting that opens or closes a resource's public address."""
    path = "properties.publicNetworkAccess"
    if desired.infra.private:
        return Setting(path, "Disabled", "private access only")
    return Setting(path, "Enabled", "clients use its public address")


def _shared(desired: DesiredState) -> list[Resource]:
    names, infra = desired.names, desired.infra
    premium = infra.private or infra.zone_redundant
    resources = [
        Resource(
            resource_types.GROUP,
            names.group,
            desired.group_id,
            "",
            "contains all resources of the environment",
        ),
        build_resource(
            desired,
            resource_types.LOG_WORKSPACE,
            names.logs,
            "logs and metrics of all resources",
            Setting("properties.retentionInDays", infra.log_days, "how long logs are kept"),
            Setting("properties.features.disableLocalAuth", True, "no shared keys"),
            sku="PerGB2018",
        ),
        build_resource(
            desired, resource_types.INSIGHTS, names.insights, "traces and metrics of the flows"
        ),
        build_resource(
            desired, resource_types.ACTION_GROUP, names.alerts, "the recipients of alerts"
        ),
        build_resource(
            desired,
            resource_types.REGISTRY,
            names.registry,
            "the images of the flows",
            Setting("properties.adminUserEnabled", False, "no admin user"),
            Setting("properties.anonymousPullEnabled", False, "no anonymous pull"),
            public_network_access(desired),
            sku="Premium" if premium else "Standard",
        ),
        build_vault(desired, names.vault, "the secrets of the flows"),
        build_resource(
            desired, resource_types.IDENTITY, names.runner, "the identity of running flows"
        ),
        build_resource(
            desired, resource_types.IDENTITY, names.deployer, "the identity that CI deploys with"
        ),
    ]
    if infra.budget:
        why = "alerts before the month's amount is spent"
        amount = Setting("properties.amount", infra.budget.amount, "the month's amount")
        resources.append(build_resource(desired, resource_types.BUDGET, names.budget, why, amount))
    return resources


def _models(desired: DesiredState) -> list[Resource]:
    names, models = desired.names, desired.infra.models
    if not models:
        return []
    account = build_resource(
        desired,
        resource_types.OPENAI_ACCOUNT,
        names.openai,
        "the models that flows call",
        Setting("properties.disableLocalAuth", True, "no keys"),
        Setting("properties.customSubDomainName", names.openai, "Entra tokens require it"),
        public_network_access(desired),
        sku="S0",
    )
    deployments = [
        build_resource(
            desired,
            resource_types.MODEL_DEPLOYMENT,
            f"{names.openai}/{model.name}",
            model.model,
            Setting("properties.model.name", model.model, "the model"),
            Setting("properties.model.version", model.version, "its version"),
            sku=f"{model.sku} × {model.capacity}",
        )
        for model in models
    ]
    return [account, *deployments]


def _private(desired: DesiredState) -> list[Resource]:
    names, targets = desired.names, desired.targets.values()
    endpoints = [(names.registry, "registry"), (names.vault, "vault")]
    zones = list(SHARED_DNS_ZONES)
    if desired.infra.models:
        endpoints.append((names.openai, "account"))
        zones.append(MODEL_DNS_ZONE)
    for target in targets:
        endpoints += target.list_private_endpoints(desired)
        zones += target.private_dns_zones
    space = Setting(
        "properties.addressSpace.addressPrefixes", [desired.infra.addresses], "its addresses"
    )
    return [
        build_resource(
            desired,
            resource_types.NETWORK_SECURITY_GROUP,
            f"{names.network}-guard",
            "blocks inbound traffic from the internet",
        ),
        build_resource(
            desired, resource_types.NETWORK, names.network, "the private network", space
        ),
        *(
            build_resource(
                desired, resource_types.PRIVATE_DNS_ZONE, zone, "names of private endpoints"
            )
            for zone in zones
        ),
        *(
            build_resource(
                desired,
                resource_types.PRIVATE_ENDPOINT,
                f"pe-{name}-{part}",
                f"{name} in the private network",
            )
            for name, part in endpoints
        ),
    ]
