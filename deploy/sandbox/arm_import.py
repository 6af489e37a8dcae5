"""The operation importImage of Azure Resource Manager: checks, errors, and the copy itself.

Documented: Microsoft Learn, "Registries - Import Image" (REST API 2025-11-01), "Import container
images to a container registry" (permissions). Recorded: the text for an existing tag, which appears
while the operation is polled (Azure/azure-cli, pull request 10938); the text for a source without
read permission (MicrosoftDocs/azure-docs, issue 33442). Assumed: the status codes of these two, and
of missing resources.
"""

from __future__ import annotations

import uuid
from typing import Any

from deploy.sandbox import image_copy
from deploy.sandbox.acr import Acr
from deploy.sandbox.arm_errors import ArmError, linked_authorization_error, require_permission
from deploy.sandbox.background import Operation, Tasks
from deploy.sandbox.identities import IMPORT_ACTION, PULL_ACTION, READ_REGISTRY_ACTION, Identity
from deploy.sandbox.image_copy import ManifestNotFoundError, RepositoryClient
from deploy.sandbox.request_bodies import InvalidBodyError, reject_unknown_fields

MODES = ("NoForce", "Force")
FIELDS = {"source", "targetTags", "untaggedTargetRepositories", "mode"}
SOURCE_FIELDS = {"sourceImage", "resourceId", "registryUri", "credentials"}


def start_import(
    body: dict[str, Any],
    target: Acr,
    known: dict[str, Acr],
    who: Identity,
    at_once: bool,
    tasks: Tasks,
) -> Operation:
    """Check the request and start the copy. `known` has all registries by resource id.

    With `at_once` an existing tag is rejected here, else while the operation is polled. Raise
    `ArmError` or `InvalidBodyError`.
    """
    _check_shape(body)
    scope = next(id for id, acr in known.items() if acr is target)
    require_permission(who, IMPORT_ACTION, target.name, scope)
    source = _find_source(body["source"], known, who, scope)
    repository, reference = _parse_image(body["source"]["sourceImage"])
    targets = [_parse_target(name, reference) for name in body.get("targetTags") or []]
    targets += [(name, "") for name in body.get("untaggedTargetRepositories") or []]
    if not targets:
        targets = [(repository, "" if reference.startswith("sha256:") else reference)]
    force = body.get("mode", "NoForce") == "Force"
    if at_once and not force:
        _reject_existing_tags(target, targets)

    def work() -> None:
        if not force:
            _reject_existing_tags(target, targets)
        try:
            for name, tag in targets:
                with (
                    RepositoryClient(source, repository) as source_client,
                    RepositoryClient(target, name) as target_client,
                ):
                    image_copy.copy_image(
                        source_client, reference, target_client, [tag] if tag else []
                    )
        except ManifestNotFoundError:
            text = f"The source image {body['source']['sourceImage']} cannot be found."
            raise ArmError(404, "ImageNotFound", text) from None

    return tasks.begin(Operation(id=f"registries-{uuid.uuid4()}"), work)


def _check_shape(body: dict[str, Any]) -> None:
    source = body.get("source")
    if not isinstance(source, dict) or not source.get("sourceImage"):
        raise InvalidBodyError("importImage without source.sourceImage")
    if len({"resourceId", "registryUri"} & set(source)) != 1:
        raise InvalidBodyError("importImage: give one of source.resourceId and source.registryUri")
    reject_unknown_fields(body, FIELDS, "importImage")
    reject_unknown_fields(source, SOURCE_FIELDS, "importImage")
    if body.get("mode", "NoForce") not in MODES:
        raise InvalidBodyError(f"importImage with {body['mode']}")


def _find_source(source: dict[str, Any], known: dict[str, Acr], who: Identity, scope: str) -> Acr:
    if "registryUri" in source:
        for acr in known.values():
            if acr.login_server == source["registryUri"] and who.has_permission(
                PULL_ACTION, acr.name
            ):
                return acr
        text = f"Access to {source['registryUri']} denied."
        raise ArmError(401, "Unauthorized", text)
    resource_id = source["resourceId"]
    registry = next((acr for id, acr in known.items() if id.lower() == resource_id.lower()), None)
    if registry is None:
        raise ArmError(404, "ResourceNotFound", f"The resource '{resource_id}' was not found.")
    if not who.has_permission(READ_REGISTRY_ACTION, registry.name):
        raise linked_authorization_error(who, IMPORT_ACTION, scope, "read", resource_id)
    return registry


def _reject_existing_tags(target: Acr, targets: list[tuple[str, str]]) -> None:
    for name, tag in targets:
        with RepositoryClient(target, name) as target_client:
            if tag and target_client.digest(tag):
                text = f"Tag {name}:{tag} already exists in target registry."
                raise ArmError(409, "Conflict", text)


def _parse_image(image: str) -> tuple[str, str]:
    """Split `name@sha256:…`, `name:tag` or `name`, which means the tag latest."""
    if "@" in image:
        name, _, digest = image.partition("@")
        return name, digest
    name, _, tag = image.partition(":")
    return name, tag or "latest"


def _parse_target(name: str, reference: str) -> tuple[str, str]:
    """Split `repo[:tag]`; the tag defaults to the source's (documented), for a digest to latest."""
    repository, _, tag = name.partition(":")
    if not tag:
        tag = "latest" if reference.startswith("sha256:") else reference
    return repository, tag
