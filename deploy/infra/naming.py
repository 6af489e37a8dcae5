"""Names and tags of all resources, by one convention.

Bicep gets them as parameters, so it does not know the convention. The prefixes are from
"Abbreviation recommendations for Azure resources", the maximum lengths from "Naming rules and
restrictions for Azure resources" (Cloud Adoption Framework, Azure Resource Manager).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.config.infra_model import InfraModel

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
    """The names of the resources that every environment can have."""

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


@dataclass(frozen=True)
class NamingConvention:
    """The convention for the names of an environment's resources."""

    workload: str
    # The environment's name in characters that every resource name allows.
    environment: str
    # The suffix of names that must be globally unique in Azure.
    unique: str

    @property
    def base(self) -> str:
        """Return the part that all names share: `flows-prod`."""
        return f"{self.workload}-{self.environment}"

    def shorten(self, prefix: str, max_length: int, dash: str = "-", *, unique: bool = True) -> str:
        """Return a name of at most `max_length` characters; shorten its middle part."""
        suffix = self.unique if unique else ""
        middle = self.base if dash else re.sub("[^a-z0-9]", "", self.base)
        ends = len(prefix) + len(suffix) + 2 * len(dash)
        return dash.join(
            part for part in (prefix, middle[: max_length - ends].strip("-"), suffix) if part
        )


def create_convention(
    infra: InfraModel, environment: str, subscription: str | None
) -> NamingConvention:
    """Return the naming convention of `environment`."""
    normalized = re.sub("[^a-z0-9]+", "-", environment.lower()).strip("-")
    unique = build_unique_suffix(infra, subscription, environment)
    return NamingConvention(infra.workload, normalized, unique)


def build_names(convention: NamingConvention) -> dict[str, str]:
    """Return the resource names by the fields of `ResourceNames`."""
    base = convention.base
    return {
        "group": f"rg-{base}",
        "budget": f"budget-{base}",
        "logs": f"log-{base}",
        "insights": f"appi-{base}",
        "alerts": f"ag-{base}",
        "registry": convention.shorten("cr", 50, ""),
        "vault": convention.shorten("kv", 24),
        "openai": convention.shorten("oai", 64),
        "deployer": f"id-{base}-deploy",
        "runner": f"id-{base}-run",
        "network": f"vnet-{base}",
    }


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
