"""The resources of an environment, and the properties that each must have."""

from __future__ import annotations

from deploy.infra import resource_ids, resource_types
from deploy.infra.desired import APPSERVICE, AZUREML, DesiredState
from deploy.infra.entities import Resource, Setting

ON, OFF = "Enabled", "Disabled"
# "Azure Private Endpoint private DNS zone values", for the public cloud.
SHARED_DNS_ZONES = ("privatelink.azurecr.io", "privatelink.vaultcore.azure.net")
MODEL_DNS_ZONE = "privatelink.openai.azure.com"
TARGET_DNS_ZONES = {
    AZUREML: (
        "privatelink.api.azureml.ms",
        "privatelink.notebooks.azure.net",
        "privatelink.blob.core.windows.net",
        "privatelink.file.core.windows.net",
    ),
    APPSERVICE: ("privatelink.azurewebsites.net",),
}


def list_resources(desired: DesiredState) -> tuple[Resource, ...]:
    """Return every resource that `desired` requires, in the order of their creation."""
    return (
        *_shared(desired),
        *(_machine_learning(desired) if AZUREML in desired.options else ()),
        *(_web(desired) if APPSERVICE in desired.options else ()),
        *(_private(desired) if desired.infra.private else ()),
    )


def _shared(desired: DesiredState) -> list[Resource]:
    names, infra = desired.names, desired.infra
    premium = infra.private or infra.zone_redundant
    resources = [
        Resource(
            resource_types.GROUP,
            names.group,
            resource_types.API_VERSIONS[resource_types.GROUP],
            resource_ids.build_group_id(desired),
            "",
            "holds all of the environment",
        ),
        _build_resource(
            desired,
            resource_types.LOG_WORKSPACE,
            names.logs,
            "PerGB2018",
            "logs and metrics of everything",
            Setting("properties.retentionInDays", infra.log_days, "how long logs are kept"),
            Setting("properties.features.disableLocalAuth", True, "no shared keys"),
        ),
        _build_resource(
            desired, resource_types.INSIGHTS, names.insights, "", "traces and metrics of the flows"
        ),
        _build_resource(desired, resource_types.ACTION_GROUP, names.alerts, "", "who is told"),
        _build_resource(
            desired,
            resource_types.REGISTRY,
            names.registry,
            "Premium" if premium else "Standard",
            "the images of the flows",
            Setting("properties.adminUserEnabled", False, "no admin user"),
            Setting("properties.anonymousPullEnabled", False, "no pull without a log-in"),
            _public(desired),
        ),
        _vault(desired, names.vault, "the secrets of the flows"),
        _build_resource(desired, resource_types.IDENTITY, names.runner, "", "what flows run as"),
        _build_resource(desired, resource_types.IDENTITY, names.deployer, "", "what CI deploys as"),
    ]
    if infra.budget:
        why = "tells when the month's amount is nearly spent"
        amount = Setting("properties.amount", infra.budget.amount, "the month's amount")
        resources.append(
            _build_resource(desired, resource_types.BUDGET, names.budget, "", why, amount)
        )
    if infra.models:
        resources.append(
            _build_resource(
                desired,
                resource_types.OPENAI_ACCOUNT,
                names.openai,
                "S0",
                "the models that flows ask",
                Setting("properties.disableLocalAuth", True, "no keys"),
                Setting("properties.customSubDomainName", names.openai, "taken by Entra's tokens"),
                _public(desired),
            )
        )
    for model in infra.models:
        size = f"{model.sku} × {model.capacity}"
        model_name = Setting("properties.model.name", model.model, "which model")
        version = Setting("properties.model.version", model.version, "which version of it")
        name = f"{names.openai}/{model.name}"
        resources.append(
            _build_resource(
                desired,
                resource_types.MODEL_DEPLOYMENT,
                name,
                size,
                model.model,
                model_name,
                version,
            )
        )
    return resources


def _machine_learning(desired: DesiredState) -> list[Resource]:
    names, infra = desired.names, desired.infra
    identity = resource_ids.build_resource_id(
        desired, resource_types.IDENTITY, names.workspaceIdentity
    )
    isolation = "AllowOnlyApprovedOutbound" if infra.private else "Disabled"
    return [
        _build_resource(
            desired,
            resource_types.IDENTITY,
            names.workspaceIdentity,
            "",
            "what the workspace acts as",
        ),
        _build_resource(
            desired,
            resource_types.STORAGE,
            names.storage,
            "Standard_ZRS" if infra.zone_redundant else "Standard_LRS",
            "a workspace must have one",
            Setting("properties.allowSharedKeyAccess", False, "no keys"),
            Setting("properties.allowBlobPublicAccess", False, "no anonymous access"),
            Setting("properties.minimumTlsVersion", "TLS1_2", "no old TLS"),
            Setting("properties.supportsHttpsTrafficOnly", True, "no plain HTTP"),
            _public(desired),
        ),
        _vault(desired, names.workspaceVault, "the workspace's own: it must administer one"),
        _build_resource(
            desired,
            resource_types.WORKSPACE,
            names.workspace,
            "Basic",
            "managed online endpoints, made by inv deploy",
            Setting("properties.systemDatastoresAuthMode", "Identity", "storage without keys"),
            Setting("properties.managedNetwork.isolationMode", isolation, "what may go out"),
            _public(desired),
            identity=identity,
        ),
    ]


def _web(desired: DesiredState) -> list[Resource]:
    names, infra = desired.names, desired.infra
    fewest, most = desired.instance_range
    resources = [
        _build_resource(
            desired,
            resource_types.IDENTITY,
            names.slotIdentity,
            "",
            "what the staging slots run as",
        ),
        _build_resource(
            desired,
            resource_types.PLAN,
            names.plan,
            f"{infra.plan.sku} × {fewest}",
            "the instances of the web apps",
            Setting("properties.reserved", True, "Linux"),
            Setting("properties.zoneRedundant", infra.zone_redundant, "spread over zones"),
        ),
    ]
    if most > fewest:
        why = f"from {fewest} to {most} instances, by load"
        resources.append(
            _build_resource(desired, resource_types.AUTOSCALE, names.autoscale, "", why)
        )
    for site in desired.sites:
        flow, name, slot_name = site.flow, site.name, f"{site.name}/{site.slot}"
        runner = resource_ids.build_resource_id(desired, resource_types.IDENTITY, names.runner)
        slot_identity = resource_ids.build_resource_id(
            desired, resource_types.IDENTITY, names.slotIdentity
        )
        site_settings = (
            Setting("properties.httpsOnly", True, "no plain HTTP"),
            Setting("properties.clientAffinityEnabled", False, "requests go to any instance"),
            _public(desired),
        )
        resources += [
            _build_resource(
                desired,
                resource_types.SITE,
                name,
                "",
                f"the flow {flow}",
                *site_settings,
                identity=runner,
            ),
            _build_resource(
                desired,
                resource_types.SLOT,
                slot_name,
                "",
                f"where a new version of {flow} starts",
                *site_settings,
                identity=slot_identity,
            ),
            *_build_publishing_policies(desired, resource_types.PUBLISHING_POLICY, name),
            *_build_publishing_policies(desired, resource_types.SLOT_PUBLISHING_POLICY, slot_name),
            _build_log_config(desired, resource_types.CONFIG, name),
            _build_log_config(desired, resource_types.SLOT_CONFIG, slot_name),
            _build_resource(
                desired,
                resource_types.METRIC_ALERT,
                f"{name}-failing",
                "",
                f"tells when {flow} fails",
            ),
        ]
    return resources


def _private(desired: DesiredState) -> list[Resource]:
    names = desired.names
    targets = [(names.registry, "registry"), (names.vault, "vault")]
    if desired.infra.models:
        targets.append((names.openai, "account"))
    if AZUREML in desired.options:
        targets += [(names.storage, "blob"), (names.storage, "file")]
        targets += [(names.workspaceVault, "vault"), (names.workspace, "amlworkspace")]
    for site in desired.sites:
        targets += [(site.name, "sites"), (site.name, f"sites-{site.slot}")]
    zones = list(SHARED_DNS_ZONES)
    if desired.infra.models:
        zones.append(MODEL_DNS_ZONE)
    zones += [zone for option in desired.options for zone in TARGET_DNS_ZONES[option]]
    space = Setting(
        "properties.addressSpace.addressPrefixes", [desired.infra.addresses], "its addresses"
    )
    return [
        _build_resource(
            desired,
            resource_types.NETWORK_SECURITY_GROUP,
            f"{names.network}-guard",
            "",
            "nothing in from the internet",
        ),
        _build_resource(
            desired, resource_types.NETWORK, names.network, "", "the private network", space
        ),
        *(
            _build_resource(
                desired, resource_types.PRIVATE_DNS_ZONE, zone, "", "names of private endpoints"
            )
            for zone in zones
        ),
        *(
            _build_resource(
                desired,
                resource_types.PRIVATE_ENDPOINT,
                f"pe-{name}-{part}",
                "",
                f"{name} in the private network",
            )
            for name, part in targets
        ),
    ]


def _vault(desired: DesiredState, name: str, why: str) -> Resource:
    return _build_resource(
        desired,
        resource_types.VAULT,
        name,
        "standard",
        why,
        Setting("properties.enableRbacAuthorization", True, "roles, no access policies"),
        Setting("properties.enablePurgeProtection", True, "what is deleted can be had back"),
        _public(desired),
    )


def _build_publishing_policies(desired: DesiredState, kind: str, site: str) -> list[Resource]:
    setting = Setting("properties.allow", False, "no password to publish with")
    return [
        _build_resource(
            desired, kind, f"{site}/{name}", "", f"no publishing by {name} with a password", setting
        )
        for name in ("ftp", "scm")
    ]


def _build_log_config(desired: DesiredState, kind: str, site: str) -> Resource:
    setting = Setting("properties.httpLogs.fileSystem.enabled", True, "it tells why a start failed")
    return _build_resource(
        desired, kind, f"{site}/logs", "", "what containers say is kept", setting
    )


def _public(desired: DesiredState) -> Setting:
    value, why = (
        (OFF, "private only") if desired.infra.private else (ON, "reached by public address")
    )
    return Setting("properties.publicNetworkAccess", value, why)


def _build_resource(
    desired: DesiredState,
    kind: str,
    name: str,
    sku: str,
    why: str,
    *settings: Setting,
    identity: str = "",
) -> Resource:
    id = resource_ids.build_resource_id(desired, kind, name)
    return Resource(kind, name, resource_types.API_VERSIONS[kind], id, sku, why, settings, identity)
