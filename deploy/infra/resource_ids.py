"""Azure resource ids of an environment."""

from __future__ import annotations

from deploy.infra import naming
from deploy.infra.desired import DesiredState


def build_group_id(desired: DesiredState) -> str:
    """Return the id of the environment's resource group."""
    subscription = desired.subscription or naming.PLACEHOLDER
    return f"/subscriptions/{subscription}/resourceGroups/{desired.names.group}"


def build_id_in_group(group: str, kind: str, name: str) -> str:
    """Return the id of a resource in the group with this id; `name` includes its parents' names."""
    provider, *types = kind.split("/")
    names = name.split("/")
    pairs = [part for pair in zip(types, names, strict=True) for part in pair]
    return "/".join([group, "providers", provider, *pairs])


def build_resource_id(desired: DesiredState, kind: str, name: str) -> str:
    """Return the id of a resource in the environment's group."""
    return build_id_in_group(build_group_id(desired), kind, name)


def format_id(scope: str) -> str:
    """Return an id in readable form: `registries crflows`, `resource group rg-flows`."""
    kind, _, name = scope.rpartition("/")
    short = kind.rpartition("/")[2]
    return f"{'resource group' if short.lower() == 'resourcegroups' else short} {name}"
