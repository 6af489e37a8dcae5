"""Images of the scripted flow (deploy/testing/flow) in a registry of the emulated Azure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import docker

from deploy.core.entities import Image
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PUSH
from deploy.testing import scripted_project
from deploy.testing.scripted_project import FLOW

# Where its images are.
REGISTRY, FOLDER = "crflows", "shared"


def published(azure: Azure, client: docker.DockerClient, folder: Path) -> tuple[Image, ...]:
    """Return two images of the flow that differ by a comment, as the registry has them.

    Other test runs on the same engine have images of their own, which they remove.
    """
    acr = azure.registry(REGISTRY)
    published = []
    for built in scripted_project.build_images(scripted_project.create(folder)):
        repository, digest = push(azure, acr, client, built.id, f"{FOLDER}/{FLOW}")
        published.append(replace(built, repository=repository, digest=digest))
    return tuple(published)


def push(
    azure: Azure, acr: Acr, client: docker.DockerClient, image: str, name: str
) -> tuple[str, str]:
    """Push an image of the engine, without what goes with one; return its repository and digest."""
    publisher = azure.identity("publisher", **{acr.name: [ACR_PUSH]})
    auth = {"identitytoken": azure.puller.refresh_token(acr, publisher)}
    repository = f"{acr.login_server}/{name}"
    client.images.get(image).tag(repository, "1")
    try:
        lines = client.api.push(repository, "1", auth_config=auth, stream=True, decode=True)
        (digest,) = [line["aux"]["Digest"] for line in lines if "aux" in line]
    finally:
        client.images.remove(f"{repository}:1")
    return repository, digest
