"""What flows on App Service need of an environment's infrastructure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from deploy.azure import caller_key
from deploy.infra import resource_types
from deploy.infra.desired import DesiredState, FlowPlacement
from deploy.infra.entities import NetworkFlow, Quota, Resource, RoleAssignment, Setting
from deploy.infra.naming import NamingConvention
from deploy.infra.network_flows import CI, CLIENTS, FLOW
from deploy.infra.resource_types import ResourceType
from deploy.infra.resources import build_resource, public_network_access
from deploy.infra.role_assignments import list_runner_roles
from deploy.infra.target import TargetInfrastructure
from deploy.targets.appservice.settings import FLOW_PLACEHOLDER, Settings

# The version of all types of Microsoft.Web.
API_VERSION = "2025-03-01"
PLAN = ResourceType(
    "Microsoft.Web/serverfarms",
    API_VERSION,
    "instances by the hour, with or without requests; staging slots share them",
    is_scaled=True,
)
SITE = ResourceType("Microsoft.Web/sites", API_VERSION, is_monitored=True)
SLOT = ResourceType("Microsoft.Web/sites/slots", API_VERSION)
PUBLISHING_POLICY = ResourceType(
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies", API_VERSION, has_tags=False
)
SLOT_PUBLISHING_POLICY = ResourceType(
    "Microsoft.Web/sites/slots/basicPublishingCredentialsPolicies", API_VERSION, has_tags=False
)
CONFIG = ResourceType("Microsoft.Web/sites/config", API_VERSION, has_tags=False)
SLOT_CONFIG = ResourceType("Microsoft.Web/sites/slots/config", API_VERSION, has_tags=False)
# Parts of a site, which diagrams leave out.
SITE_PARTS = frozenset({PUBLISHING_POLICY, SLOT_PUBLISHING_POLICY, CONFIG, SLOT_CONFIG})
# Used if a flow names no slot: a deploy without downtime needs one.
DEFAULT_SLOT = "staging"
# "Reliability in Azure App Service": the fewest instances of a plan that spans zones.
MIN_ZONE_INSTANCES = 3


@dataclass(frozen=True)
class Site:
    """The web app of a flow, and the slot in which a new version starts."""

    flow: str
    name: str
    slot: str


class AppServiceInfrastructure(TargetInfrastructure):
    """A plan, and for each flow a site with a slot."""

    title = "App Service"
    entry_point = "appservice.bicep"
    existing_resource_keys: ClassVar[Mapping[str, str]] = {"slot_identity": "slotIdentity"}
    private_dns_zones = ("privatelink.azurewebsites.net",)

    def build_names(self, convention: NamingConvention) -> Mapping[str, str]:
        return {
            "slotIdentity": f"id-{convention.base}-slot",
            "plan": f"asp-{convention.base}",
            "autoscale": f"asp-{convention.base}-by-load",
        }

    def list_resources(self, desired: DesiredState) -> Sequence[Resource]:
        names, infra = desired.target_names, desired.infra
        fewest, most = find_instance_range(desired)
        resources = [
            build_resource(
                desired,
                resource_types.IDENTITY,
                names["slotIdentity"],
                "the identity of the staging slots",
            ),
            build_resource(
                desired,
                PLAN,
                names["plan"],
                "the instances of the web apps",
                Setting("properties.reserved", True, "Linux"),
                Setting("properties.zoneRedundant", infra.zone_redundant, "availability zones"),
                sku=f"{infra.plan.sku} × {fewest}",
            ),
        ]
        if most > fewest:
            why = f"from {fewest} to {most} instances, by load"
            resources.append(
                build_resource(desired, resource_types.AUTOSCALE, names["autoscale"], why)
            )
        for site in list_sites(desired):
            resources += _build_site(desired, site)
        return resources

    def list_private_endpoints(self, desired: DesiredState) -> Sequence[tuple[str, str]]:
        return [
            (site.name, part)
            for site in list_sites(desired)
            for part in ("sites", f"sites-{site.slot}")
        ]

    def list_role_assignments(self, desired: DesiredState) -> Sequence[RoleAssignment]:
        why = "inv deploy sets the image and the settings of the site and its slot"
        deployer = desired.names.deployer
        assignments = list_runner_roles(desired, desired.target_names["slotIdentity"])
        assignments += [
            RoleAssignment(deployer, "Website Contributor", desired.build_id(SITE, site.name), why)
            for site in list_sites(desired)
        ]
        if _has_key_auth(desired):
            vault = desired.build_id(resource_types.VAULT, desired.names.vault)
            why = "the sample is scored with the clients' key, which is in the vault"
            assignments.append(RoleAssignment(deployer, "Key Vault Secrets User", vault, why))
        return assignments

    def list_network_flows(self, desired: DesiredState) -> Sequence[NetworkFlow]:
        names, flows = desired.names, []
        if _has_key_auth(desired):
            vault = f"{names.vault}.vault.azure.net"
            flows.append(NetworkFlow(CI, vault, "the clients' key, to score the sample"))
        for site in list_sites(desired):
            hosts = f"{site.name}.azurewebsites.net, {site.name}-{site.slot}.azurewebsites.net"
            flows += [
                NetworkFlow(CI, hosts, "health, version and the sample, before and after the swap"),
                NetworkFlow(CLIENTS, f"{site.name}.azurewebsites.net", "requests"),
            ]
        if desired.infra.private:
            why = "outbound traffic of web apps uses its own subnet, also image pulls"
            flows.append(NetworkFlow(FLOW, f"subnet sites of {names.network}", why))
        return flows

    def list_quotas(self, desired: DesiredState) -> Sequence[Quota]:
        _, most = find_instance_range(desired)
        name = f"App Service: {desired.infra.plan.sku} instances"
        return (Quota(name, most, "instances", "the most instances of the plan"),)

    def list_secret_names(self, desired: DesiredState, placement: FlowPlacement) -> Sequence[str]:
        if isinstance(placement.settings, Settings) and placement.settings.auth == "key":
            return (caller_key.build_secret_name(placement.flow.name, desired.environment),)
        return ()

    def list_questions(self, desired: DesiredState) -> Sequence[str]:
        placements, questions = desired.list_placements(Settings), []
        by_entra = [item.flow.name for item in placements if item.settings.auth == "entra"]
        if by_entra and not desired.environment_values.get("auth_client"):
            questions.append(
                f"For which app registration do clients of {', '.join(by_entra)} request tokens? "
                "(auth_client)"
            )
        public = [item.flow.name for item in placements if item.settings.public_network]
        if public and desired.infra.private:
            questions.append(
                f"The environment is private: should {', '.join(public)} not have "
                "`public_network: false` in deploy.yaml?"
            )
        return questions

    def build_parameters(self, desired: DesiredState) -> Mapping[str, Any]:
        fewest, most = find_instance_range(desired)
        return {
            "plan": {"sku": desired.infra.plan.sku, "minimum": fewest, "maximum": most},
            "sites": [asdict(site) for site in list_sites(desired)],
            "app": build_name_pattern(desired),
            "keyed": _has_key_auth(desired),
        }


def list_sites(desired: DesiredState) -> tuple[Site, ...]:
    """Return the site of each flow."""
    pattern = build_name_pattern(desired)
    return tuple(
        Site(
            placement.flow.name,
            placement.settings.app or pattern.replace(FLOW_PLACEHOLDER, placement.flow.name),
            placement.settings.slot or DEFAULT_SLOT,
        )
        for placement in desired.list_placements(Settings)
    )


def build_name_pattern(desired: DesiredState) -> str:
    """Return the name of web apps, with a placeholder for the flow's name."""
    convention = desired.convention
    return str(
        desired.environment_values.get("app")
        or f"app-{FLOW_PLACEHOLDER}-{convention.environment}-{convention.unique}"
    )


def find_instance_range(desired: DesiredState) -> tuple[int, int]:
    """Return the fewest and the most instances of the plan."""
    plan = desired.infra.plan
    fewest = max(plan.min, MIN_ZONE_INSTANCES) if desired.infra.zone_redundant else plan.min
    return fewest, max(plan.max, fewest)


def _has_key_auth(desired: DesiredState) -> bool:
    """Return whether any web app authenticates its clients by a key."""
    return any(item.settings.auth == "key" for item in desired.list_placements(Settings))


def _build_site(desired: DesiredState, site: Site) -> list[Resource]:
    flow, name, slot_name = site.flow, site.name, f"{site.name}/{site.slot}"
    runner = desired.build_id(resource_types.IDENTITY, desired.names.runner)
    slot_identity = desired.build_id(resource_types.IDENTITY, desired.target_names["slotIdentity"])
    settings = (
        Setting("properties.httpsOnly", True, "no plain HTTP"),
        Setting("properties.clientAffinityEnabled", False, "any instance serves any request"),
        public_network_access(desired),
    )
    why_slot = f"a new version of {flow} starts here"
    return [
        build_resource(desired, SITE, name, f"the flow {flow}", *settings, identity=runner),
        build_resource(desired, SLOT, slot_name, why_slot, *settings, identity=slot_identity),
        *_build_publishing_policies(desired, PUBLISHING_POLICY, name),
        *_build_publishing_policies(desired, SLOT_PUBLISHING_POLICY, slot_name),
        _build_log_config(desired, CONFIG, name),
        _build_log_config(desired, SLOT_CONFIG, slot_name),
        build_resource(
            desired,
            resource_types.METRIC_ALERT,
            f"{name}-failing",
            f"alerts if {flow} fails",
        ),
    ]


def _build_publishing_policies(
    desired: DesiredState, kind: ResourceType, site: str
) -> list[Resource]:
    setting = Setting("properties.allow", False, "no publishing password")
    return [
        build_resource(
            desired, kind, f"{site}/{name}", f"no publishing by {name} with a password", setting
        )
        for name in ("ftp", "scm")
    ]


def _build_log_config(desired: DesiredState, kind: ResourceType, site: str) -> Resource:
    path = "properties.httpLogs.fileSystem.enabled"
    setting = Setting(path, True, "the log shows why a container did not start")
    return build_resource(desired, kind, f"{site}/logs", "keeps the containers' output", setting)
