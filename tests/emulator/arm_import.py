"""The operation importImage of Azure Resource Manager: what it is asked, what it refuses, what it does.

Documented: Microsoft Learn, "Registries - Import Image" (REST API 2025-11-01), "Import container images
to a container registry" (rights). Recorded: the text for a tag that exists, which comes while the
operation is polled (Azure/azure-cli, pull request 10938); the text for a source that may not be read
(MicrosoftDocs/azure-docs, issue 33442). Assumed: the status codes of these two, and of what is missing.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.emulator import image_copy
from tests.emulator.acr import Acr
from tests.emulator.arm_errors import RefusedError, unauthorized
from tests.emulator.identities import IMPORT, PULL, READ, Identity
from tests.emulator.image_copy import NotFoundError, Place

MODES = ("NoForce", "Force")


@dataclass
class Operation:
    """One import under way; `refused` is how it ended, if it failed."""

    id: str = field(default_factory=lambda: f"registries-{uuid.uuid4()}")
    done: threading.Event = field(default_factory=threading.Event)
    refused: RefusedError | None = None
    failure: str = ""


def start(
    body: dict[str, Any], target: Acr, known: dict[str, Acr], who: Identity, at_once: bool
) -> Operation:
    """Check the request, and start the copy. `known` has every registry by its resource id.

    With `at_once` a tag that exists is refused here, else while the operation is polled.
    Raises `RefusedError`; `ValueError` for a request that the real service was never sent.
    """
    _check_shape(body)
    scope = next(id for id, acr in known.items() if acr is target)
    if not who.may(IMPORT, target.name):
        raise unauthorized(who, IMPORT, scope)
    source = _source(body["source"], known, who, scope)
    repository, reference = _reference(body["source"]["sourceImage"])
    wanted = [_target(name, reference) for name in body.get("targetTags") or []]
    wanted += [(name, "") for name in body.get("untaggedTargetRepositories") or []]
    if not wanted:
        wanted = [(repository, "" if reference.startswith("sha256:") else reference)]
    force = body.get("mode", "NoForce") == "Force"
    if at_once and not force:
        _refuse_existing(target, wanted)
    operation = Operation()

    def work() -> None:
        try:
            if not force:
                _refuse_existing(target, wanted)
            for name, tag in wanted:
                with Place(source, repository) as place, Place(target, name) as goal:
                    image_copy.copy(place, reference, goal, [tag] if tag else [])
        except RefusedError as refused:
            operation.refused = refused
        except NotFoundError:
            text = f"The source image {body['source']['sourceImage']} cannot be found."
            operation.refused = RefusedError(404, "ImageNotFound", text)
        except Exception as error:
            operation.failure = f"importImage: {type(error).__name__}: {error}"
            operation.refused = RefusedError(500, "InternalServerError", "the emulator failed")
        finally:
            operation.done.set()

    threading.Thread(target=work, daemon=True).start()
    return operation


def _check_shape(body: dict[str, Any]) -> None:
    source = body.get("source")
    if not isinstance(source, dict) or not source.get("sourceImage"):
        raise ValueError("importImage without source.sourceImage")
    if len({"resourceId", "registryUri"} & set(source)) != 1:
        raise ValueError("importImage: give one of source.resourceId and source.registryUri")
    unknown = set(body) - {"source", "targetTags", "untaggedTargetRepositories", "mode"}
    unknown |= set(source) - {"sourceImage", "resourceId", "registryUri", "credentials"}
    if unknown or body.get("mode", "NoForce") not in MODES:
        raise ValueError(f"importImage with {sorted(unknown) or body['mode']}")


def _source(given: dict[str, Any], known: dict[str, Acr], who: Identity, scope: str) -> Acr:
    if "registryUri" in given:
        for acr in known.values():
            if acr.login_server == given["registryUri"] and who.may(PULL, acr.name):
                return acr
        text = f"Access to {given['registryUri']} denied."
        raise RefusedError(401, "Unauthorized", text)
    wanted = given["resourceId"]
    found = next((acr for id, acr in known.items() if id.lower() == wanted.lower()), None)
    if found is None:
        raise RefusedError(404, "ResourceNotFound", f"The resource '{wanted}' was not found.")
    if not who.may(READ, found.name):
        text = (
            f"The client '{who.client_id}' with object id '{who.object_id}' has permission to perform "
            f"action '{IMPORT}' on scope '{scope}'; however, it does not have permission to perform "
            f"action 'read' on the linked scope(s) '{wanted}' or the linked scope(s) are invalid."
        )
        raise RefusedError(403, "LinkedAuthorizationFailed", text)
    return found


def _refuse_existing(target: Acr, wanted: list[tuple[str, str]]) -> None:
    for name, tag in wanted:
        with Place(target, name) as place:
            if tag and place.digest(tag):
                text = f"Tag {name}:{tag} already exists in target registry."
                raise RefusedError(409, "Conflict", text)


def _reference(image: str) -> tuple[str, str]:
    """Split `name@sha256:…`, `name:tag` or `name`, which means latest."""
    if "@" in image:
        name, _, digest = image.partition("@")
        return name, digest
    name, _, tag = image.partition(":")
    return name, tag or "latest"


def _target(name: str, reference: str) -> tuple[str, str]:
    """Split `repo[:tag]`; without a tag it is the source's (documented), for a digest latest."""
    repository, _, tag = name.partition(":")
    if not tag:
        tag = "latest" if reference.startswith("sha256:") else reference
    return repository, tag
