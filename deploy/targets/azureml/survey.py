"""Looking around before something is made: quota, who may pull, rules that are there.

None of it is needed to deploy, so what may not be read is not known, and no failure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deploy.arm import roles
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.azureml import scaling
from deploy.targets.azureml.client import API, PROVIDER, Client
from deploy.targets.azureml.decide import CREATE, Decision
from deploy.targets.azureml.settings import place_of, settings_of
from deploy.targets.azureml.state import Room, World


def around(client: Client, spec: Spec, world: World, decision: Decision) -> World:
    """Return `world` with what `decision` needs to know more."""
    if settings_of(spec).autoscale or world.version(decision.name):
        world = replace(world, scaling=_rule(client, decision.name))
    if decision.version != CREATE and decision.scale is None:
        return world
    room, note = _room(client, world, decision.wanted.instance_type)
    world = replace(world, room=room, notes=(*world.notes, *([note] if note else [])))
    if decision.version == CREATE and world.endpoint:
        world = replace(world, puller=may_pull(client, spec, world))
    return world


def may_pull(client: Client, spec: Spec, world: World) -> bool | None:
    """Tell whether the endpoint's identity may pull from the registry; None where it is hidden."""
    registry = _registry(client, spec)
    principals = world.endpoint.principals if world.endpoint else ()
    if not registry or not principals:
        return None
    if gives_role(client, spec, world):
        return True
    found = {roles.may_pull(client.arm, registry, principal) for principal in principals}
    return True if True in found else None if None in found else False


def gives_role(client: Client, spec: Spec, world: World) -> bool:
    """Tell whether Azure itself gives the endpoint's identity the role to pull; it takes minutes.

    It does so for an identity of the endpoint's own, on the workspace's own registry ("Online
    endpoints and deployments", Authorization).
    """
    if world.endpoint is None or not world.endpoint.kind.startswith("SystemAssigned"):
        return False
    registry = _registry(client, spec)
    return bool(registry) and world.workspace.registry.lower() == registry.lower()


def remove_rule(client: Client, name: str) -> None:
    """Remove the autoscale rule of a deployment, if it has one. Raises `DeployError`."""
    if _rule(client, name):
        client.arm.delete(scaling.path_of(client.group, client.name, name), scaling.API)


def _rule(client: Client, name: str) -> Mapping[str, Any] | None:
    try:
        return client.arm.get(scaling.path_of(client.group, client.name, name), scaling.API)
    except DeployError:
        return None


def _room(client: Client, world: World, instance_type: str) -> tuple[Room | None, str]:
    """Return the quota for `instance_type`; or None, and what is not known in words."""
    location = f"{client.subscription}/providers/{PROVIDER}/locations/{world.workspace.location}"
    try:
        sizes = client.arm.get(f"{location}/vmSizes", API) or {}
        usages = client.arm.every(f"{location}/usages", API)
    except DeployError:
        return None, "the quota was not checked: it may not be read here (Reader, subscription)"
    size = _size(sizes.get("value") or sizes.get("amlCompute") or (), instance_type)
    if size is None:
        return None, f"{world.workspace.location} does not list {instance_type}: is it misspelled?"
    family = str(size["family"])
    for usage in usages:
        if _plain(str(usage["name"]["value"])).startswith(_plain(family)) and str(
            usage.get("type", "")
        ).endswith("/vmFamily/usages"):
            limit = int(usage["limit"])
            used = int(usage["currentValue"])
            return Room(family, int(size["vCPUs"]), None if limit < 0 else limit, used), ""
    return None, f"the quota was not checked: none is told for {family}"


def _size(sizes: Any, instance_type: str) -> Mapping[str, Any] | None:
    for one in sizes:
        if str(one["name"]).lower() == instance_type.lower():
            found: Mapping[str, Any] = one
            return found
    return None


def _plain(text: str) -> str:
    """Return a family's name as both lists write it: `standarddasv4family…`."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _registry(client: Client, spec: Spec) -> str:
    """Return the resource id of the environment's registry; empty where it may not be seen."""
    server = (spec.place.registry or "").partition("/")[0]
    return roles.registry_id(client.arm, place_of(spec).subscription, server)
