"""Resource ids."""

from __future__ import annotations

from deploy.infra import naming
from deploy.infra.wanted import Wanted


def group_of(wanted: Wanted) -> str:
    """Return the id of the environment's resource group."""
    subscription = wanted.subscription or naming.UNKNOWN
    return f"/subscriptions/{subscription}/resourceGroups/{wanted.names.group}"


def id_in(group: str, kind: str, name: str) -> str:
    """Return the id of the resource `name` (with its parents') in the group of this id."""
    provider, *types = kind.split("/")
    names = name.split("/")
    pairs = [part for pair in zip(types, names, strict=True) for part in pair]
    return "/".join([group, "providers", provider, *pairs])


def id_of(wanted: Wanted, kind: str, name: str) -> str:
    """Return the id of a resource of the environment."""
    return id_in(group_of(wanted), kind, name)


def shown(scope: str) -> str:
    """Return an id as people say it: `registries crflows`, `resource group rg-flows`."""
    kind, _, name = scope.rpartition("/")
    short = kind.rpartition("/")[2]
    return f"{'resource group' if short.lower() == 'resourcegroups' else short} {name}"
