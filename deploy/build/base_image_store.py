"""Find and tag the base images that the engine has, by platform.

An engine with Docker's classic image store maps a digest to one image: for the digest of an index
for several platforms, to the image of the platform that was pulled first ("Cannot overwrite
digest", moby, reference/store.go). So images of further platforms get a tag of their own, an alias.
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

ALIAS_REPOSITORY = "flow-base-pulled"
# API version from which the engine returns the image of one platform.
PLATFORM_API_VERSION = "1.49"


def find(
    client: docker.DockerClient, reference: str, platform: str
) -> tuple[DockerImage, str] | None:
    """Return the image of `reference` for `platform`, and its alias if it needs one."""
    image = _find_image(client, reference, platform)
    if image and can_resolve(client, image, reference):
        return image, ""
    name = make_alias(reference, platform)
    if image:
        image.tag(*name.split(":"))
        return image, name
    image = _find_image(client, name, platform)
    return (image, name) if image else None


def can_resolve(client: docker.DockerClient, image: DockerImage, reference: str) -> bool:
    """Return whether a build finds `reference` on the engine.

    The containerd store finds an image by any of its digests. BuildKit, however, queries the
    registry unless the image was pulled by exactly this name, which is then among its tags.
    """
    if "@" not in reference or not _has_all_platforms(client):
        return True
    return engine.shorten_reference(reference) in engine.list_short_tags(image)


def make_alias(reference: str, platform: str) -> str:
    """Return the alias for the image that `reference` names for `platform`."""
    return (
        f"{ALIAS_REPOSITORY}:{hashlib.sha256(f'{reference} {platform}'.encode()).hexdigest()[:12]}"
    )


def release_reference(client: docker.DockerClient, reference: str, platform: str) -> None:
    """Free `reference`, which names the image of another platform, for that of `platform`.

    The other image keeps its alias.
    """
    if "@" not in reference or _has_all_platforms(client):
        return
    with contextlib.suppress(docker.errors.ImageNotFound):
        image = client.images.get(reference)
        other = get_platform(image)
        if other != platform:
            image.tag(*make_alias(reference, other).split(":"))
            client.images.remove(reference, noprune=True)


def ensure_alias(
    client: docker.DockerClient, image: DockerImage, reference: str, platform: str
) -> str:
    """Return the alias of `image`, which is set if `reference` names another image; else ""."""
    existing = _find_image(client, reference, platform)
    if existing and existing.id == image.id and can_resolve(client, existing, reference):
        return ""
    name = make_alias(reference, platform)
    image.tag(*name.split(":"))
    return name


def remove_alias(client: docker.DockerClient, reference: str, platform: str) -> None:
    """Remove the alias of an image that is no longer needed."""
    with contextlib.suppress(docker.errors.APIError):
        client.images.remove(make_alias(reference, platform), noprune=True)


def get_platform(image: DockerImage) -> str:
    """Return the platform of `image`, such as linux/amd64."""
    return f"{image.attrs['Os']}/{image.attrs['Architecture']}"


def get(client: docker.DockerClient, reference: str, platform: str) -> DockerImage:
    """Return the image of `reference`, the one for `platform` if the engine has several."""
    image = client.images.get(reference)
    api: Any = client.api
    if get_platform(image) == platform or not docker.utils.version_gte(
        api._version, PLATFORM_API_VERSION
    ):
        return image
    system, _, architecture = platform.partition("/")
    platform_json = json.dumps({"os": system, "architecture": architecture})
    response = api._get(api._url("/images/{0}/json", reference), params={"platform": platform_json})
    with contextlib.suppress(docker.errors.NotFound):
        # Its id is the digest of the platform's manifest, from which no container can be created.
        return DockerImage(api._result(response, True), client=client)
    return image


def _find_image(client: docker.DockerClient, reference: str, platform: str) -> DockerImage | None:
    try:
        image = get(client, reference, platform)
    except docker.errors.ImageNotFound:
        return None
    return image if get_platform(image) == platform else None


def _has_all_platforms(client: docker.DockerClient) -> bool:
    """Return whether the engine keeps images of all platforms under one digest (containerd)."""
    status = client.info().get("DriverStatus") or []
    return any("io.containerd.snapshotter" in str(value) for _, value in status)
