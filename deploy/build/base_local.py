"""The base images that the engine has, by platform.

An engine with Docker's classic image store knows one image by a digest: where the digest is of an
index for several platforms, that of the platform that was pulled first ("Cannot overwrite digest",
moby, reference/store.go). Those of further platforms have a tag of their own here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import docker
import docker.errors
import docker.utils
from docker.models.images import Image as DockerImage

from deploy.docker import engine

ALIAS = "flow-base-pulled"
# From this version on the engine can be asked for the image of one platform.
PLATFORM_API = "1.49"


def find(
    client: docker.DockerClient, reference: str, platform: str
) -> tuple[DockerImage, str] | None:
    """Return the image of `reference` for `platform`, and its tag here where it needs one."""
    image = _get(client, reference, platform)
    if image and resolves(client, image, reference):
        return image, ""
    name = alias(reference, platform)
    if image:
        image.tag(*name.split(":"))
        return image, name
    image = _get(client, name, platform)
    return (image, name) if image else None


def resolves(client: docker.DockerClient, image: DockerImage, reference: str) -> bool:
    """Return whether a build finds `reference` on the engine.

    The containerd store finds an image by any digest of it, while BuildKit asks the registry unless
    the image was pulled by that very name, which is among its tags then.
    """
    if "@" not in reference or not _has_all_platforms(client):
        return True
    return engine.familiar(reference) in engine.tags_of(image)


def alias(reference: str, platform: str) -> str:
    """Return the tag of the image that `reference` names for `platform`."""
    return f"{ALIAS}:{hashlib.sha256(f'{reference} {platform}'.encode()).hexdigest()[:12]}"


def make_room(client: docker.DockerClient, reference: str, platform: str) -> None:
    """Let `reference`, which names the image of another platform, name that of `platform` next.

    The other one keeps its tag here.
    """
    if "@" not in reference or _has_all_platforms(client):
        return
    with contextlib.suppress(docker.errors.ImageNotFound):
        image = client.images.get(reference)
        other = platform_of(image)
        if other != platform:
            image.tag(*alias(reference, other).split(":"))
            client.images.remove(reference, noprune=True)


def keep(client: docker.DockerClient, image: DockerImage, reference: str, platform: str) -> str:
    """Return the tag by which `image` is found where `reference` names another; tag it so."""
    found = _get(client, reference, platform)
    if found and found.id == image.id and resolves(client, found, reference):
        return ""
    name = alias(reference, platform)
    image.tag(*name.split(":"))
    return name


def forget(client: docker.DockerClient, reference: str, platform: str) -> None:
    """Remove the tag of an image that is no longer needed."""
    with contextlib.suppress(docker.errors.APIError):
        client.images.remove(alias(reference, platform), noprune=True)


def platform_of(image: DockerImage) -> str:
    """Return what `image` runs on: linux/amd64."""
    return f"{image.attrs['Os']}/{image.attrs['Architecture']}"


def get(client: docker.DockerClient, reference: str, platform: str) -> DockerImage:
    """Return the image of `reference`, that for `platform` where the engine has several."""
    image = client.images.get(reference)
    api: Any = client.api
    if platform_of(image) == platform or not docker.utils.version_gte(api._version, PLATFORM_API):
        return image
    system, _, architecture = platform.partition("/")
    wanted = json.dumps({"os": system, "architecture": architecture})
    response = api._get(api._url("/images/{0}/json", reference), params={"platform": wanted})
    with contextlib.suppress(docker.errors.NotFound):
        # Its id is that of the platform's manifest, by which no container can be made.
        return DockerImage(api._result(response, True), client=client)
    return image


def _get(client: docker.DockerClient, reference: str, platform: str) -> DockerImage | None:
    try:
        image = get(client, reference, platform)
    except docker.errors.ImageNotFound:
        return None
    return image if platform_of(image) == platform else None


def _has_all_platforms(client: docker.DockerClient) -> bool:
    """Return whether the engine keeps the images of all platforms by one digest (containerd)."""
    status = client.info().get("DriverStatus") or []
    return any("io.containerd.snapshotter" in str(value) for _, value in status)
