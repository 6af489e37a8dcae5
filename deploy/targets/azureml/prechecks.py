"""Checks before a deployment is created: quota, pull permission, existing autoscale rules.

None of them is required to deploy. A missing read permission means "unknown", not an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deploy.azure import pull_permission
from deploy.core.entities import Spec
from deploy.core.errors import DeployError
from deploy.targets.azureml import autoscale_rules
from deploy.targets.azureml.client import API, PROVIDER, Client
from deploy.targets.azureml.diff import CREATE, Decision
from deploy.targets.azureml.settings import place_of, settings_of
from deploy.targets.azureml.state import ObservedState, Quota


def add_prechecks(
    client: Client, spec: Spec, observed: ObservedState, decision: Decision
) -> ObservedState:
    """Return `observed` with the results of the checks that `decision` needs."""
    if settings_of(spec).autoscale or observed.find_version(decision.name):
        observed = replace(observed, autoscale_rule=_read_autoscale_rule(client, decision.name))
    if decision.version_action != CREATE and decision.instance_count is None:
        return observed
    quota, note = _read_quota(client, observed, decision.desired.instance_type)
    observed = replace(observed, quota=quota, notes=(*observed.notes, *([note] if note else [])))
    if decision.version_action == CREATE and observed.endpoint:
        observed = replace(observed, pull_permission=can_pull(client, spec, observed))
    return observed


def can_pull(client: Client, spec: Spec, observed: ObservedState) -> bool | None:
    """Return whether the endpoint's identity may pull from the registry; None if unknown."""
    registry = _registry_id(client, spec)
    principals = observed.endpoint.principals if observed.endpoint else ()
    if not registry or not principals:
        return None
    if is_role_automatic(client, spec, observed):
        return True
    permissions = {
        pull_permission.can_pull(client.arm, registry, principal) for principal in principals
    }
    return True if True in permissions else None if None in permissions else False


def is_role_automatic(client: Client, spec: Spec, observed: ObservedState) -> bool:
    """Return whether Azure itself assigns the pull role to the endpoint's identity.

    The assignment takes minutes. Azure makes it for a system-assigned identity on the workspace's
    own registry ("Online endpoints and deployments", Authorization).
    """
    if observed.endpoint is None or not observed.endpoint.identity_type.startswith(
        "SystemAssigned"
    ):
        return False
    registry = _registry_id(client, spec)
    return bool(registry) and observed.workspace.registry.lower() == registry.lower()


def delete_autoscale_rule(client: Client, name: str) -> None:
    """Delete a deployment's autoscale rule, if there is one. Raise `DeployError`."""
    if _read_autoscale_rule(client, name):
        client.arm.delete(
            autoscale_rules.rule_id(client.group, client.name, name), autoscale_rules.API
        )


def _read_autoscale_rule(client: Client, name: str) -> Mapping[str, Any] | None:
    try:
        return client.arm.get(
            autoscale_rules.rule_id(client.group, client.name, name), autoscale_rules.API
        )
    except DeployError:
        return None


def _read_quota(
    client: Client, observed: ObservedState, instance_type: str
) -> tuple[Quota | None, str]:
    """Return the quota for `instance_type`; if it is unknown, None and the reason."""
    location = f"{client.subscription}/providers/{PROVIDER}/locations/{observed.workspace.location}"
    try:
        sizes = client.arm.get(f"{location}/vmSizes", API) or {}
        usages = client.arm.list_all(f"{location}/usages", API)
    except DeployError:
        return None, "the quota was not checked: it may not be read here (Reader, subscription)"
    size = _find_vm_size(sizes.get("value") or sizes.get("amlCompute") or (), instance_type)
    if size is None:
        return (
            None,
            f"{observed.workspace.location} does not list {instance_type}: is it misspelled?",
        )
    family = str(size["family"])
    for usage in usages:
        if _normalize_family(str(usage["name"]["value"])).startswith(
            _normalize_family(family)
        ) and str(usage.get("type", "")).endswith("/vmFamily/usages"):
            limit = int(usage["limit"])
            used = int(usage["currentValue"])
            return Quota(family, int(size["vCPUs"]), None if limit < 0 else limit, used), ""
    return None, f"the quota was not checked: none is told for {family}"


def _find_vm_size(sizes: Any, instance_type: str) -> Mapping[str, Any] | None:
    for size in sizes:
        if str(size["name"]).lower() == instance_type.lower():
            vm_size: Mapping[str, Any] = size
            return vm_size
    return None


def _normalize_family(text: str) -> str:
    """Return a family's name in a form that is equal in both lists: `standarddasv4family…`."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _registry_id(client: Client, spec: Spec) -> str:
    """Return the resource ID of the environment's registry; empty if it cannot be read."""
    server = (spec.place.registry or "").partition("/")[0]
    return pull_permission.find_registry_id(client.arm, place_of(spec).subscription, server)
