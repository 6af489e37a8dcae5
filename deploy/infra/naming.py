"""Names and tags of all resources, by one convention.

Bicep gets them as parameters, so only this module knows the convention. The prefixes are from
"Abbreviation recommendations for Azure resources", the maximum lengths from "Naming rules and
restrictions for Azure resources" (Cloud Adoption Framework, Azure Resource Manager).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from deploy.config.schema import InfraModel
from deploy.core.errors import DeployError, suggest_nearest

WORKLOAD_TAG, ENVIRONMENT_TAG, FLOW_TAG = (
    "flow-deploy.workload",
    "flow-deploy.environment",
    "flow-deploy.flow",
)
OWNER_TAG, COST_CENTER_TAG = "owner", "cost-center"
# Replaces values that depend on the subscription while it is unknown.
PLACEHOLDER = "xxxxx"


@dataclass(frozen=True)
class ResourceNames:
    """The name of each resource that an environment can have."""

    group: str
    budget: str
    logs: str
    insights: str
    alerts: str
    registry: str
    vault: str
    openai: str
    deployer: str
    runner: str
    network: str
    storage: str
    workspaceVault: str
    workspaceIdentity: str
    workspace: str
    slotIdentity: str
    plan: str
    autoscale: str


def build_names(infra: InfraModel, environment: str, unique: str) -> ResourceNames:
    """Return the resource names of `environment`. Raise `DeployError` for an unknown resource."""
    base = f"{infra.workload}-{_normalize_environment(environment)}"
    generated = ResourceNames(
        group=f"rg-{base}",
        budget=f"budget-{base}",
        logs=f"log-{base}",
        insights=f"appi-{base}",
        alerts=f"ag-{base}",
        registry=_shorten_name("cr", base, unique, 50, ""),
        vault=_shorten_name("kv", base, unique, 24),
        openai=_shorten_name("oai", base, unique, 64),
        deployer=f"id-{base}-deploy",
        runner=f"id-{base}-run",
        network=f"vnet-{base}",
        storage=_shorten_name("st", base, unique, 24, ""),
        workspaceVault=_shorten_name("kvml", base, unique, 24),
        workspaceIdentity=f"id-{base}-workspace",
        workspace=_shorten_name("mlw", base, "", 33),
        slotIdentity=f"id-{base}-slot",
        plan=f"asp-{base}",
        autoscale=f"asp-{base}-by-load",
    )
    valid_keys = [field.name for field in fields(ResourceNames)]
    for key in infra.names:
        if key not in valid_keys:
            where = f"environments.yaml: {environment}.infra.names.{key}"
            raise DeployError(
                where, "this is no resource of an environment", suggest_nearest(key, valid_keys)
            )
    return replace(generated, **infra.names)


def build_app_name_template(environment: str, unique: str) -> str:
    """Return the name of web apps, with {flow} as the placeholder for the flow's name."""
    return f"app-{{flow}}-{_normalize_environment(environment)}-{unique}"


def build_unique_suffix(infra: InfraModel, subscription: str | None, environment: str) -> str:
    """Return the suffix that makes names globally unique in Azure."""
    if infra.unique:
        return infra.unique
    if not subscription:
        return PLACEHOLDER
    seed = f"{subscription}/{infra.workload}/{environment}".lower()
    return hashlib.sha256(seed.encode()).hexdigest()[:5]


def build_tags(infra: InfraModel, environment: str) -> Mapping[str, str]:
    """Return the tags of every resource."""
    optional_tags = {OWNER_TAG: infra.owner, COST_CENTER_TAG: infra.cost_center}
    return {
        WORKLOAD_TAG: infra.workload,
        ENVIRONMENT_TAG: environment,
        **{name: value for name, value in optional_tags.items() if value},
    }


def _normalize_environment(environment: str) -> str:
    """Return an environment's name in characters that every resource name allows."""
    return re.sub("[^a-z0-9]+", "-", environment.lower()).strip("-")


def _shorten_name(prefix: str, base: str, unique: str, max_length: int, dash: str = "-") -> str:
    """Return a name of at most `max_length` characters; shorten its middle part."""
    middle = re.sub("[^a-z0-9]", "", base) if not dash else base
    ends = len(prefix) + len(unique) + 2 * len(dash)
    return dash.join(
        part for part in (prefix, middle[: max_length - ends].strip("-"), unique) if part
    )
