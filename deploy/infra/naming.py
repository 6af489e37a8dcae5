"""The names and the tags of everything, by one convention.

Bicep gets them as parameters, so that this is the only place that knows it. The beginnings are
those of "Abbreviation recommendations for Azure resources", the lengths those of "Naming rules and
restrictions for Azure resources" (Cloud Adoption Framework, Azure Resource Manager).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from deploy.errors import DeployError, nearest
from deploy.schema import InfraModel

WORKLOAD, ENVIRONMENT, FLOW = "flow-deploy.workload", "flow-deploy.environment", "flow-deploy.flow"
OWNER, COST_CENTER = "owner", "cost-center"
# Stands for what cannot be known before the subscription is.
UNKNOWN = "xxxxx"


@dataclass(frozen=True)
class Names:
    """The name of each resource that an environment may have."""

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


def names_of(infra: InfraModel, environment: str, unique: str) -> Names:
    """Return the names of `environment`. Raises `DeployError` for a name of nothing."""
    base = f"{infra.workload}-{_plain(environment)}"
    made = Names(
        group=f"rg-{base}",
        budget=f"budget-{base}",
        logs=f"log-{base}",
        insights=f"appi-{base}",
        alerts=f"ag-{base}",
        registry=_fit("cr", base, unique, 50, ""),
        vault=_fit("kv", base, unique, 24),
        openai=_fit("oai", base, unique, 64),
        deployer=f"id-{base}-deploy",
        runner=f"id-{base}-run",
        network=f"vnet-{base}",
        storage=_fit("st", base, unique, 24, ""),
        workspaceVault=_fit("kvml", base, unique, 24),
        workspaceIdentity=f"id-{base}-workspace",
        workspace=_fit("mlw", base, "", 33),
        slotIdentity=f"id-{base}-slot",
        plan=f"asp-{base}",
        autoscale=f"asp-{base}-by-load",
    )
    known = [field.name for field in fields(Names)]
    for key in infra.names:
        if key not in known:
            where = f"environments.yaml: {environment}.infra.names.{key}"
            raise DeployError(where, "this is no resource of an environment", nearest(key, known))
    return replace(made, **infra.names)


def app_of(environment: str, unique: str) -> str:
    """Return the names of web apps, with {flow} in the place of the flow's."""
    return f"app-{{flow}}-{_plain(environment)}-{unique}"


def unique_of(infra: InfraModel, subscription: str | None, environment: str) -> str:
    """Return the end of names that nobody else in Azure may have."""
    if infra.unique:
        return infra.unique
    if not subscription:
        return UNKNOWN
    where = f"{subscription}/{infra.workload}/{environment}".lower()
    return hashlib.sha256(where.encode()).hexdigest()[:5]


def tags_of(infra: InfraModel, environment: str) -> Mapping[str, str]:
    """Return the tags of every resource."""
    given = {OWNER: infra.owner, COST_CENTER: infra.cost_center}
    return {
        WORKLOAD: infra.workload,
        ENVIRONMENT: environment,
        **{name: value for name, value in given.items() if value},
    }


def _plain(environment: str) -> str:
    """Return an environment's name in letters that every name may have."""
    return re.sub("[^a-z0-9]+", "-", environment.lower()).strip("-")


def _fit(kind: str, base: str, unique: str, longest: int, dash: str = "-") -> str:
    """Return a name of at most `longest` characters; what is cut is the middle."""
    middle = re.sub("[^a-z0-9]", "", base) if not dash else base
    ends = len(kind) + len(unique) + 2 * len(dash)
    return dash.join(part for part in (kind, middle[: longest - ends].strip("-"), unique) if part)
