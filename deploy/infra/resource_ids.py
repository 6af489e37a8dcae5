"""Azure resource ids: built from names, and formatted for people."""

from __future__ import annotations


def build_group_id(subscription: str, group: str) -> str:
    """Return the id of a resource group."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}"


def build_resource_id(group_id: str, kind: str, name: str) -> str:
    """Return the id of a resource in a group; `name` includes its parents' names."""
    provider, *types = kind.split("/")
    names = name.split("/")
    pairs = [part for pair in zip(types, names, strict=True) for part in pair]
    return "/".join([group_id, "providers", provider, *pairs])


def format_id(scope: str) -> str:
    """Return an id in readable form: `registries crflows`, `resource group rg-flows`."""
    kind, _, name = scope.rpartition("/")
    short = kind.rpartition("/")[2]
    return f"{'resource group' if short.lower() == 'resourcegroups' else short} {name}"
