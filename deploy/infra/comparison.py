"""What is there beside what was requested: missing, different, or more than was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy import cloud, console
from deploy.infra import ids, kinds
from deploy.infra.model import Assignment, Needs, Resource
from deploy.infra.needs import needs_of
from deploy.infra.reader import Reader
from deploy.infra.roles import ROLES
from deploy.infra.wanted import Wanted, complete

MISSING, DIFFERENT, EXTRA = "missing", "different", "too much"
# How many resources are asked for at once.
AT_ONCE = 8
# These say more of their size than how large they are: it changes by load.
SCALED = {kinds.PLAN, kinds.MODEL}
NOWHERE = "global"
UNTAGGED = {kinds.BUDGET, kinds.MODEL, *kinds.PARTS}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as requested."""

    finding: str
    what: str
    there: str
    requested: str
    why: str


def compare(wanted: Wanted) -> list[Finding]:
    """Return what is not as `wanted` requests. Reads only. Raises `DeployError`."""
    needs = needs_of(complete(wanted))
    reader = Reader(cloud.chosen(wanted.cloud))
    with console.phase("check", wanted.names.group) as phase, ThreadPoolExecutor(AT_ONCE) as pool:
        bodies = list(pool.map(lambda one: reader.get(one.id, one.api), needs.resources))
        there = {one.id: body for one, body in zip(needs.resources, bodies, strict=True)}
        found = [
            finding for one in needs.resources for finding in _resource(one, there[one.id], wanted)
        ]
        found += _federations(needs, reader, there)
        found += _roles(needs, reader, there)
        phase.result = f"{len(needs.resources)} resources, {len(needs.assignments)} roles"
    return found


def _resource(
    resource: Resource, body: Mapping[str, Any] | None, wanted: Wanted
) -> Iterator[Finding]:
    if body is None:
        yield Finding(MISSING, resource.title, "-", resource.name, resource.why)
        return
    place = str(body.get("location") or NOWHERE).replace(" ", "").lower()
    if place not in (NOWHERE, wanted.infra.location):
        yield _different(f"{resource.title}: location", place, wanted.infra.location, "one region")
    size, asked = _size(body), resource.sku
    if resource.kind in SCALED:
        asked = asked.partition(" ")[0]
    if asked and size.lower() != asked.lower():
        yield _different(f"{resource.title}: sku", size, asked, resource.why)
    for setting in resource.settings:
        value = _at(body, setting.path)
        if value != setting.value:
            yield _different(f"{resource.title}: {setting.path}", value, setting.value, setting.why)
    given = (body.get("identity") or {}).get("userAssignedIdentities") or {}
    if resource.identity and resource.identity.lower() not in {id.lower() for id in given}:
        name = resource.identity.rpartition("/")[2]
        held = ", ".join(id.rpartition("/")[2] for id in given)
        why = "it acts as this identity"
        yield Finding(MISSING, f"{resource.title}: identity", held or "-", name, why)
    if resource.kind not in UNTAGGED:
        tags = body.get("tags") or {}
        for name, value in wanted.tags.items():
            if tags.get(name) != value:
                yield _different(f"{resource.title}: tag {name}", tags.get(name), value, "tags")


def _federations(
    needs: Needs, reader: Reader, there: Mapping[str, Mapping[str, Any] | None]
) -> Iterator[Finding]:
    deployer = needs.wanted.names.deployer
    id = ids.id_of(needs.wanted, kinds.IDENTITY, deployer)
    if there.get(id) is None:
        return
    version = kinds.VERSIONS[kinds.FEDERATION]
    listed = reader.every(f"{id}/federatedIdentityCredentials", version)
    held = {(one["properties"]["issuer"], one["properties"]["subject"]) for one in listed}
    asked = {(one.issuer, one.subject) for one in needs.federations}
    why = "CI deploys without a stored secret"
    for issuer, subject in sorted(asked - held):
        what = f"federated credential of {deployer}"
        yield Finding(MISSING, what, "-", f"{issuer} {subject}", why)
    for issuer, subject in sorted(held - asked):
        what = f"federated credential of {deployer}"
        yield Finding(EXTRA, what, f"{issuer} {subject}", "-", "nobody else may deploy")


def _roles(
    needs: Needs, reader: Reader, there: Mapping[str, Mapping[str, Any] | None]
) -> Iterator[Finding]:
    """Compare the roles of each identity; one that is not there was told of already."""
    group = ids.group_of(needs.wanted)
    if there.get(group) is None:
        return
    for resource in needs.resources:
        body = there.get(resource.id)
        if resource.kind != kinds.IDENTITY or body is None:
            continue
        asked = [one for one in needs.assignments if one.who == resource.name]
        yield from _roles_of(
            resource.name, str(_at(body, "properties.principalId")), asked, reader, group
        )


def _roles_of(
    who: str, principal: str, asked: list[Assignment], reader: Reader, group: str
) -> Iterator[Finding]:
    elsewhere = sorted({one.scope for one in asked if not one.scope.startswith(group)})
    held = {
        (role, scope.lower())
        for where in (group, *elsewhere)
        for role, scope in reader.roles(where, principal)
    }
    wanted = {(ROLES[one.role], one.scope.lower()): one for one in asked}
    for key, one in wanted.items():
        if key not in held:
            what = f"role of {who} on {ids.shown(one.scope)}"
            yield Finding(MISSING, what, _held(held, one.scope), one.role, one.why)
    for role, scope in sorted(held - set(wanted)):
        what = f"role of {who} on {ids.shown(scope)}"
        yield Finding(EXTRA, what, _name(role), "-", "as little as works")


def _held(held: set[tuple[str, str]], scope: str) -> str:
    return ", ".join(sorted(_name(role) for role, on in held if on == scope.lower())) or "-"


def _name(role: str) -> str:
    return next((name for name, id in ROLES.items() if id == role), role)


def _different(what: str, there: Any, requested: Any, why: str) -> Finding:
    return Finding(DIFFERENT, what, _said(there), _said(requested), why)


def _said(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _size(body: Mapping[str, Any]) -> str:
    sku = body.get("sku") or (body.get("properties") or {}).get("sku") or {}
    return str(sku.get("name", ""))


def _at(body: Mapping[str, Any], path: str) -> Any:
    found: Any = body
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
