"""A parameter file for Bicep, from what an environment is wanted to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from deploy.infra.federation import federations_of
from deploy.infra.wanted import APPSERVICE, AZUREML, Wanted

# An entry point for each combination of options.
ENTRIES = {
    (AZUREML,): "azureml.bicep",
    (APPSERVICE,): "appservice.bicep",
    (AZUREML, APPSERVICE): "main.bicep",
}


def text_of(wanted: Wanted) -> str:
    """Return the parameter file of an environment."""
    lines = [
        f"// Written by `inv infra.plan --env {wanted.environment}`, from environments.yaml",
        f"// and the flows' deploy.yaml: change those. For subscription {wanted.subscription}.",
        f"using '{ENTRIES[wanted.options]}'",
        "",
    ]
    lines += [f"param {name} = {_bicep(value)}" for name, value in values_of(wanted).items()]
    return "\n".join(lines) + "\n"


def values_of(wanted: Wanted) -> dict[str, Any]:
    """Return the parameters of the entry point, by name."""
    infra = wanted.infra
    origin = wanted.origin
    values: dict[str, Any] = {
        "names": asdict(wanted.names),
        "settings": {
            "location": infra.location or "",
            "tags": dict(wanted.tags),
            "private": infra.private,
            "addresses": infra.addresses,
            "zoneRedundant": infra.zone_redundant,
            "logDays": infra.log_days,
            "contacts": list(infra.contacts),
        },
        "federations": [
            {"name": one.name, "issuer": one.issuer, "subject": one.subject}
            for one in federations_of(infra, wanted.environment)
        ],
        "publishes": infra.publishes,
        "promotesFrom": {
            "subscription": origin.subscription if origin else "",
            "group": origin.group if origin else "",
            "registry": origin.registry if origin else "",
        },
        "models": [model.model_dump() for model in infra.models],
        "budget": {
            "amount": infra.budget.amount if infra.budget else 0,
            "start": infra.budget.start if infra.budget else "",
        },
    }
    if AZUREML in wanted.options:
        values["scales"] = wanted.scales
    if APPSERVICE in wanted.options:
        fewest, most = wanted.instances
        values["plan"] = {"sku": infra.plan.sku, "minimum": fewest, "maximum": most}
        values["sites"] = [asdict(site) for site in wanted.sites]
        values["app"] = wanted.app
        values["keyed"] = wanted.keyed
    return values


def _bicep(value: Any, indent: str = "") -> str:
    """Return a value as Bicep writes it."""
    inner = indent + "  "
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        rows = [f"{inner}{_key(key)}: {_bicep(one, inner)}" for key, one in value.items()]
        return "\n".join(["{", *rows, f"{indent}}}"]) if rows else "{}"
    if isinstance(value, list):
        rows = [f"{inner}{_bicep(one, inner)}" for one in value]
        return "\n".join(["[", *rows, f"{indent}]"]) if rows else "[]"
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"


def _key(name: str) -> str:
    return name if name.isidentifier() else f"'{name}'"
