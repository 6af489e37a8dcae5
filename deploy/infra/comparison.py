"""Comparison of the resources in Azure with the desired state: missing, different, or extra."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy.azure import clouds
from deploy.core import progress
from deploy.infra import resource_ids, resource_types
from deploy.infra.desired import DesiredState, require_complete
from deploy.infra.entities import Resource, RoleAssignment
from deploy.infra.reader import ResourceReader
from deploy.infra.requirements import Requirements, collect_requirements
from deploy.infra.role_assignments import collect_role_ids

MISSING, DIFFERENT, EXTRA = "missing", "different", "not requested"
# How many resources are read at once.
MAX_PARALLEL_REQUESTS = 8
GLOBAL_LOCATION = "global"


@dataclass(frozen=True)
class Finding:
    """A difference between the requested and the actual infrastructure."""

    # MISSING, DIFFERENT or EXTRA.
    finding: str
    # The resource, property, role or tag.
    what: str
    # The actual value.
    there: str
    requested: str
    why: str


def compare(desired: DesiredState) -> list[Finding]:
    """Return the differences from `desired`; write nothing. Raise `DeployError` on failure."""
    requirements = collect_requirements(require_complete(desired))
    reader = ResourceReader(clouds.resolve_cloud(desired.cloud))
    with (
        progress.phase("check", desired.names.group) as phase,
        ThreadPoolExecutor(MAX_PARALLEL_REQUESTS) as pool,
    ):
        bodies = list(
            pool.map(
                lambda resource: reader.get(resource.id, resource.kind.api_version),
                requirements.resources,
            )
        )
        body_by_id = {
            resource.id: body for resource, body in zip(requirements.resources, bodies, strict=True)
        }
        findings = [
            finding
            for resource in requirements.resources
            for finding in _resource(resource, body_by_id[resource.id], desired)
        ]
        findings += _federations(requirements, reader, body_by_id)
        findings += _roles(requirements, reader, body_by_id)
        phase.result = (
            f"{len(requirements.resources)} resources, {len(requirements.assignments)} roles"
        )
    return findings


def _resource(
    resource: Resource, body: Mapping[str, Any] | None, desired: DesiredState
) -> Iterator[Finding]:
    if body is None:
        yield Finding(MISSING, resource.title, "-", resource.name, resource.why)
        return
    location = str(body.get("location") or GLOBAL_LOCATION).replace(" ", "").lower()
    if location not in (GLOBAL_LOCATION, desired.infra.location):
        yield _build_difference(
            f"{resource.title}: location", location, desired.infra.location, "one region"
        )
    size, requested_sku = _read_sku(body), resource.sku
    if resource.kind.is_scaled:
        # Ignore the number of instances, which changes with the load.
        requested_sku = requested_sku.partition(" ")[0]
    if requested_sku and size.lower() != requested_sku.lower():
        yield _build_difference(f"{resource.title}: sku", size, requested_sku, resource.why)
    for setting in resource.settings:
        value = _read_path(body, setting.path)
        if value != setting.value:
            yield _build_difference(
                f"{resource.title}: {setting.path}", value, setting.value, setting.why
            )
    identities = (body.get("identity") or {}).get("userAssignedIdentities") or {}
    if resource.identity and resource.identity.lower() not in {id.lower() for id in identities}:
        name = resource.identity.rpartition("/")[2]
        assigned = ", ".join(id.rpartition("/")[2] for id in identities)
        why = "it runs as this identity"
        yield Finding(MISSING, f"{resource.title}: identity", assigned or "-", name, why)
    if resource.kind.has_tags:
        tags = body.get("tags") or {}
        for name, value in desired.tags.items():
            if tags.get(name) != value:
                yield _build_difference(
                    f"{resource.title}: tag {name}", tags.get(name), value, "tags"
                )


def _federations(
    requirements: Requirements,
    reader: ResourceReader,
    body_by_id: Mapping[str, Mapping[str, Any] | None],
) -> Iterator[Finding]:
    deployer = requirements.desired.names.deployer
    id = requirements.desired.build_id(resource_types.IDENTITY, deployer)
    if body_by_id.get(id) is None:
        return
    credentials = reader.list_all(
        f"{id}/federatedIdentityCredentials", resource_types.FEDERATED_CREDENTIAL.api_version
    )
    existing = {
        (credential["properties"]["issuer"], credential["properties"]["subject"])
        for credential in credentials
    }
    requested = {(credential.issuer, credential.subject) for credential in requirements.federations}
    why = "CI deploys without a stored secret"
    for issuer, subject in sorted(requested - existing):
        what = f"federated credential of {deployer}"
        yield Finding(MISSING, what, "-", f"{issuer} {subject}", why)
    for issuer, subject in sorted(existing - requested):
        what = f"federated credential of {deployer}"
        yield Finding(EXTRA, what, f"{issuer} {subject}", "-", "no other job may deploy")


def _roles(
    requirements: Requirements,
    reader: ResourceReader,
    body_by_id: Mapping[str, Mapping[str, Any] | None],
) -> Iterator[Finding]:
    """Compare the roles of each existing identity; a missing one is already reported."""
    group = requirements.desired.group_id
    if body_by_id.get(group) is None:
        return
    role_ids = collect_role_ids(requirements.desired)
    for resource in requirements.resources:
        body = body_by_id.get(resource.id)
        if resource.kind != resource_types.IDENTITY or body is None:
            continue
        assignments = [
            assignment
            for assignment in requirements.assignments
            if assignment.principal == resource.name
        ]
        yield from _compare_identity_roles(
            resource.name,
            str(_read_path(body, "properties.principalId")),
            assignments,
            reader,
            group,
            role_ids,
        )


def _compare_identity_roles(
    identity: str,
    principal: str,
    assignments: list[RoleAssignment],
    reader: ResourceReader,
    group: str,
    role_ids: Mapping[str, str],
) -> Iterator[Finding]:
    role_names = {id: name for name, id in role_ids.items()}
    other_scopes = sorted(
        {assignment.scope for assignment in assignments if not assignment.scope.startswith(group)}
    )
    existing = {
        (role, scope.lower())
        for base_scope in (group, *other_scopes)
        for role, scope in reader.list_roles(base_scope, principal)
    }
    required = {
        (role_ids[assignment.role], assignment.scope.lower()): assignment
        for assignment in assignments
    }
    for key, assignment in required.items():
        if key not in existing:
            what = f"role of {identity} on {resource_ids.format_id(assignment.scope)}"
            others = sorted(
                role_names.get(role, role)
                for role, scope in existing
                if scope == assignment.scope.lower()
            )
            yield Finding(MISSING, what, ", ".join(others) or "-", assignment.role, assignment.why)
    for role, scope in sorted(existing - set(required)):
        what = f"role of {identity} on {resource_ids.format_id(scope)}"
        yield Finding(EXTRA, what, role_names.get(role, role), "-", "least privilege")


def _build_difference(what: str, actual: Any, requested: Any, why: str) -> Finding:
    return Finding(DIFFERENT, what, _format_value(actual), _format_value(requested), why)


def _format_value(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _read_sku(body: Mapping[str, Any]) -> str:
    sku = body.get("sku") or (body.get("properties") or {}).get("sku") or {}
    return str(sku.get("name", ""))


def _read_path(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
