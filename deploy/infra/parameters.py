"""The Bicep parameter file of an environment, from its desired state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from deploy.core.errors import DeployError
from deploy.infra.desired import DesiredState
from deploy.infra.federation import list_federated_credentials

# The Bicep entry point for several targets.
COMMON_ENTRY_POINT = "main.bicep"


def render_parameters(desired: DesiredState) -> str:
    """Return the text of an environment's parameter file."""
    lines = [
        f"// Written by `inv infra.plan --env {desired.environment}`, from environments.yaml",
        f"// and the flows' deploy.yaml: change those. For subscription {desired.subscription}.",
        f"using '{find_entry_point(desired)}'",
        "",
    ]
    lines += [
        f"param {name} = {_bicep(value)}" for name, value in build_parameters(desired).items()
    ]
    return "\n".join(lines) + "\n"


def find_entry_point(desired: DesiredState) -> str:
    """Return the Bicep entry point. Raise `DeployError` if Bicep does not know a target."""
    unknown = [name for name, target in desired.targets.items() if not target.entry_point]
    if unknown:
        raise DeployError(
            f"--env {desired.environment}",
            f"infra/ has no Bicep files for {', '.join(unknown)}",
            f"`inv infra.request --env {desired.environment}` lists what to create by other means",
        )
    entry_points = [target.entry_point for target in desired.targets.values()]
    return entry_points[0] if len(entry_points) == 1 else COMMON_ENTRY_POINT


def build_parameters(desired: DesiredState) -> dict[str, Any]:
    """Return the entry point's parameters by name."""
    infra = desired.infra
    origin = desired.promotion_source
    values: dict[str, Any] = {
        "names": {**asdict(desired.names), **desired.target_names},
        "settings": {
            "location": infra.location or "",
            "tags": dict(desired.tags),
            "private": infra.private,
            "addresses": infra.addresses,
            "zoneRedundant": infra.zone_redundant,
            "logDays": infra.log_days,
            "contacts": list(infra.contacts),
        },
        "federations": [
            {"name": credential.name, "issuer": credential.issuer, "subject": credential.subject}
            for credential in list_federated_credentials(infra, desired.environment)
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
    for target in desired.targets.values():
        values |= target.build_parameters(desired)
    return values


def _bicep(value: Any, indent: str = "") -> str:
    """Return a value in Bicep syntax."""
    inner = indent + "  "
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        rows = [f"{inner}{_key(key)}: {_bicep(item, inner)}" for key, item in value.items()]
        return "\n".join(["{", *rows, f"{indent}}}"]) if rows else "{}"
    if isinstance(value, list):
        rows = [f"{inner}{_bicep(item, inner)}" for item in value]
        return "\n".join(["[", *rows, f"{indent}]"]) if rows else "[]"
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"


def _key(name: str) -> str:
    return name if name.isidentifier() else f"'{name}'"
