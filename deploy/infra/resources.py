"""The resources of an environment, and what each must say of itself."""

from __future__ import annotations

from deploy.infra import ids, kinds
from deploy.infra.model import Resource, Setting
from deploy.infra.wanted import APPSERVICE, AZUREML, Wanted

ON, OFF = "Enabled", "Disabled"
# "Azure Private Endpoint private DNS zone values", the public cloud.
SHARED_ZONES = ("privatelink.azurecr.io", "privatelink.vaultcore.azure.net")
MODEL_ZONE = "privatelink.openai.azure.com"
ZONES = {
    AZUREML: (
        "privatelink.api.azureml.ms",
        "privatelink.notebooks.azure.net",
        "privatelink.blob.core.windows.net",
        "privatelink.file.core.windows.net",
    ),
    APPSERVICE: ("privatelink.azurewebsites.net",),
}


def resources_of(wanted: Wanted) -> tuple[Resource, ...]:
    """Return every resource that `wanted` needs, in the order in which they are made."""
    return (
        *_shared(wanted),
        *(_machine_learning(wanted) if AZUREML in wanted.options else ()),
        *(_web(wanted) if APPSERVICE in wanted.options else ()),
        *(_private(wanted) if wanted.infra.private else ()),
    )


def _shared(wanted: Wanted) -> list[Resource]:
    names, infra = wanted.names, wanted.infra
    large = infra.private or infra.zone_redundant
    found = [
        Resource(
            kinds.GROUP,
            names.group,
            kinds.VERSIONS[kinds.GROUP],
            ids.group_of(wanted),
            "",
            "holds all of the environment",
        ),
        _made(
            wanted,
            kinds.LOGS,
            names.logs,
            "PerGB2018",
            "logs and metrics of everything",
            Setting("properties.retentionInDays", infra.log_days, "how long logs are kept"),
            Setting("properties.features.disableLocalAuth", True, "no shared keys"),
        ),
        _made(wanted, kinds.INSIGHTS, names.insights, "", "traces and metrics of the flows"),
        _made(wanted, kinds.ALERTS, names.alerts, "", "who is told"),
        _made(
            wanted,
            kinds.REGISTRY,
            names.registry,
            "Premium" if large else "Standard",
            "the images of the flows",
            Setting("properties.adminUserEnabled", False, "no admin user"),
            Setting("properties.anonymousPullEnabled", False, "no pull without a log-in"),
            _public(wanted),
        ),
        _vault(wanted, names.vault, "the secrets of the flows"),
        _made(wanted, kinds.IDENTITY, names.runner, "", "what flows run as"),
        _made(wanted, kinds.IDENTITY, names.deployer, "", "what CI deploys as"),
    ]
    if infra.budget:
        why = "tells when the month's amount is nearly spent"
        limit = Setting("properties.amount", infra.budget.amount, "the month's amount")
        found.append(_made(wanted, kinds.BUDGET, names.budget, "", why, limit))
    if infra.models:
        found.append(
            _made(
                wanted,
                kinds.OPENAI,
                names.openai,
                "S0",
                "the models that flows ask",
                Setting("properties.disableLocalAuth", True, "no keys"),
                Setting("properties.customSubDomainName", names.openai, "taken by Entra's tokens"),
                _public(wanted),
            )
        )
    for model in infra.models:
        size = f"{model.sku} × {model.capacity}"
        made = Setting("properties.model.name", model.model, "which model")
        version = Setting("properties.model.version", model.version, "which version of it")
        name = f"{names.openai}/{model.name}"
        found.append(_made(wanted, kinds.MODEL, name, size, model.model, made, version))
    return found


def _machine_learning(wanted: Wanted) -> list[Resource]:
    names, infra = wanted.names, wanted.infra
    identity = ids.id_of(wanted, kinds.IDENTITY, names.workspaceIdentity)
    isolation = "AllowOnlyApprovedOutbound" if infra.private else "Disabled"
    return [
        _made(wanted, kinds.IDENTITY, names.workspaceIdentity, "", "what the workspace acts as"),
        _made(
            wanted,
            kinds.STORAGE,
            names.storage,
            "Standard_ZRS" if infra.zone_redundant else "Standard_LRS",
            "a workspace must have one",
            Setting("properties.allowSharedKeyAccess", False, "no keys"),
            Setting("properties.allowBlobPublicAccess", False, "no anonymous access"),
            Setting("properties.minimumTlsVersion", "TLS1_2", "no old TLS"),
            Setting("properties.supportsHttpsTrafficOnly", True, "no plain HTTP"),
            _public(wanted),
        ),
        _vault(wanted, names.workspaceVault, "the workspace's own: it must administer one"),
        _made(
            wanted,
            kinds.WORKSPACE,
            names.workspace,
            "Basic",
            "managed online endpoints, made by inv deploy",
            Setting("properties.systemDatastoresAuthMode", "Identity", "storage without keys"),
            Setting("properties.managedNetwork.isolationMode", isolation, "what may go out"),
            _public(wanted),
            identity=identity,
        ),
    ]


def _web(wanted: Wanted) -> list[Resource]:
    names, infra = wanted.names, wanted.infra
    fewest, most = wanted.instances
    found = [
        _made(wanted, kinds.IDENTITY, names.slotIdentity, "", "what the staging slots run as"),
        _made(
            wanted,
            kinds.PLAN,
            names.plan,
            f"{infra.plan.sku} × {fewest}",
            "the instances of the web apps",
            Setting("properties.reserved", True, "Linux"),
            Setting("properties.zoneRedundant", infra.zone_redundant, "spread over zones"),
        ),
    ]
    if most > fewest:
        why = f"from {fewest} to {most} instances, by load"
        found.append(_made(wanted, kinds.AUTOSCALE, names.autoscale, "", why))
    for site in wanted.sites:
        flow, name, staging = site.flow, site.name, f"{site.name}/{site.slot}"
        runner = ids.id_of(wanted, kinds.IDENTITY, names.runner)
        slot = ids.id_of(wanted, kinds.IDENTITY, names.slotIdentity)
        safe = (
            Setting("properties.httpsOnly", True, "no plain HTTP"),
            Setting("properties.clientAffinityEnabled", False, "requests go to any instance"),
            _public(wanted),
        )
        found += [
            _made(wanted, kinds.SITE, name, "", f"the flow {flow}", *safe, identity=runner),
            _made(
                wanted,
                kinds.SLOT,
                staging,
                "",
                f"where a new version of {flow} starts",
                *safe,
                identity=slot,
            ),
            *_passwords(wanted, kinds.PASSWORDS, name),
            *_passwords(wanted, kinds.SLOT_PASSWORDS, staging),
            _output(wanted, kinds.CONFIG, name),
            _output(wanted, kinds.SLOT_CONFIG, staging),
            _made(wanted, kinds.ALERT, f"{name}-failing", "", f"tells when {flow} fails"),
        ]
    return found


def _private(wanted: Wanted) -> list[Resource]:
    names = wanted.names
    targets = [(names.registry, "registry"), (names.vault, "vault")]
    if wanted.infra.models:
        targets.append((names.openai, "account"))
    if AZUREML in wanted.options:
        targets += [(names.storage, "blob"), (names.storage, "file")]
        targets += [(names.workspaceVault, "vault"), (names.workspace, "amlworkspace")]
    for site in wanted.sites:
        targets += [(site.name, "sites"), (site.name, f"sites-{site.slot}")]
    zones = list(SHARED_ZONES)
    if wanted.infra.models:
        zones.append(MODEL_ZONE)
    zones += [zone for option in wanted.options for zone in ZONES[option]]
    space = Setting(
        "properties.addressSpace.addressPrefixes", [wanted.infra.addresses], "its addresses"
    )
    return [
        _made(wanted, kinds.GUARD, f"{names.network}-guard", "", "nothing in from the internet"),
        _made(wanted, kinds.NETWORK, names.network, "", "the private network", space),
        *(_made(wanted, kinds.ZONE, zone, "", "names of private endpoints") for zone in zones),
        *(
            _made(wanted, kinds.ENDPOINT, f"pe-{name}-{part}", "", f"{name} in the private network")
            for name, part in targets
        ),
    ]


def _vault(wanted: Wanted, name: str, why: str) -> Resource:
    return _made(
        wanted,
        kinds.VAULT,
        name,
        "standard",
        why,
        Setting("properties.enableRbacAuthorization", True, "roles, no access policies"),
        Setting("properties.enablePurgeProtection", True, "what is deleted can be had back"),
        _public(wanted),
    )


def _passwords(wanted: Wanted, kind: str, owner: str) -> list[Resource]:
    denied = Setting("properties.allow", False, "no password to publish with")
    return [
        _made(
            wanted, kind, f"{owner}/{name}", "", f"no publishing by {name} with a password", denied
        )
        for name in ("ftp", "scm")
    ]


def _output(wanted: Wanted, kind: str, owner: str) -> Resource:
    kept = Setting("properties.httpLogs.fileSystem.enabled", True, "it tells why a start failed")
    return _made(wanted, kind, f"{owner}/logs", "", "what containers say is kept", kept)


def _public(wanted: Wanted) -> Setting:
    value, why = (
        (OFF, "private only") if wanted.infra.private else (ON, "reached by public address")
    )
    return Setting("properties.publicNetworkAccess", value, why)


def _made(
    wanted: Wanted,
    kind: str,
    name: str,
    sku: str,
    why: str,
    *settings: Setting,
    identity: str = "",
) -> Resource:
    id = ids.id_of(wanted, kind, name)
    return Resource(kind, name, kinds.VERSIONS[kind], id, sku, why, settings, identity)
