"""Get the base image: an official one from a registry, or one made locally from Debian packages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import docker
from docker.models.images import Image as DockerImage

from deploy.build import base_image_store, base_lock, base_pull, debian_base, system_packages
from deploy.build.base_lock import LOCK_FILE as LOCK_FILE
from deploy.build.base_pull import BasePullError
from deploy.build.debian_base import LOCAL_REPOSITORY as LOCAL_REPOSITORY
from deploy.core import progress
from deploy.core.entities import ImageSettings
from deploy.docker import engine
from deploy.docker.pull import PullFailure

OFFICIAL_IMAGE = "python:{python}-slim-bookworm"


@dataclass(frozen=True)
class BaseImage:
    """A base image that the engine has."""

    # Name for messages and labels: by digest if it was pulled, by tag if it was made locally.
    reference: str
    id: str
    # Tag on this engine, if the digest names the image of another platform there.
    alias: str = ""

    @property
    def content_id(self) -> str:
        """Return an id of the content, the same on every machine if the reference determines it.

        A digest is the same in a mirror of the registry.
        """
        if "@" in self.reference:
            return self.reference.partition("@")[2]
        return self.reference if self.reference.startswith(f"{LOCAL_REPOSITORY}:") else self.id

    @property
    def build_reference(self) -> str:
        """Return the name for `FROM` by which the engine finds this image without a network."""
        return self.alias or self.reference


def find_pinned(settings: ImageSettings, root: Path) -> BaseImage | None:
    """Return the base for `settings` if files alone determine its content: pinned by digest.

    It has no `id`, as this needs no engine. With system packages the result is None: their versions
    are known to an engine only.
    """
    if settings.system_packages:
        return None
    reference = settings.base or base_lock.find_pin(root, settings)
    return BaseImage(reference, "") if reference and "@" in reference else None


def find(client: docker.DockerClient, settings: ImageSettings, root: Path) -> BaseImage | None:
    """Return the base image for `settings` if the engine has it already. Contacts no registry."""
    plain = _find_without_packages(client, settings, root)
    if plain is None or not settings.system_packages:
        return plain
    image = system_packages.find(client, plain.content_id, settings)
    return BaseImage(*image) if image else None


def ensure(client: docker.DockerClient, settings: ImageSettings, root: Path) -> BaseImage:
    """Return the base image for `settings`; pull it or make it if the engine lacks it.

    A base that the configuration or base.lock names is used as it is. Without either, the official
    one is pulled; one made from Debian packages replaces it only if the engine reaches no registry.
    Raises `DeployError`.
    """
    with engine.translate_errors("looking for the base image"):
        plain = _find_without_packages(client, settings, root)
    if plain is None:
        plain = _pull_or_make(client, settings, root)
    elif (
        not settings.base and base_lock.find_pin(root, settings) is None and "@" in plain.reference
    ):
        _write_pin(root, settings, plain.reference)
    base = plain
    if settings.system_packages:
        with engine.translate_errors("looking for the base image with system packages"):
            image = system_packages.find(client, plain.content_id, settings)
        image = image or system_packages.make(
            client, plain.build_reference, plain.content_id, settings
        )
        base = BaseImage(*image)
    progress.note("base", base.reference)
    return base


def refresh(client: docker.DockerClient, settings: ImageSettings, root: Path) -> BaseImage:
    """Pull or make the base again, with the latest security updates; then remove the old one.

    With system packages, the base below them stays the one that the engine has.
    """
    if settings.system_packages:
        plain = ensure(client, replace(settings, system_packages=()), root)
        old_images = system_packages.list_images(client, settings)
        base = BaseImage(
            *system_packages.make(client, plain.build_reference, plain.content_id, settings)
        )
    else:
        old_images = [] if settings.base else debian_base.find(client, settings)
        base = _pull_or_make(client, settings, root, again=True)
    with engine.translate_errors("removing the previous base image"):
        for tag in (tag for image in old_images for tag in debian_base.list_tags(image)):
            if tag != base.reference:
                client.images.remove(tag, noprune=True)
    return base


def list_base_settings(
    flows: Iterable[ImageSettings], default_base: str | None, native: str
) -> list[ImageSettings]:
    """Return the settings of every base that flows need, once each, plain bases first.

    These are the flows' own bases and the default (`default_base` is FLOW_BASE_IMAGE), each also
    for the platform `native`, on which flows are packed.
    """
    bases = [ImageSettings(base=default_base), *flows]
    bases += [replace(settings, platform=native) for settings in bases]
    bases = [replace(settings, system_packages=()) for settings in bases] + bases
    return sorted(dict.fromkeys(bases), key=lambda settings: len(settings.system_packages) > 0)


def _find_without_packages(
    client: docker.DockerClient, settings: ImageSettings, root: Path
) -> BaseImage | None:
    """Return the base without system packages, if the engine has it."""
    reference = settings.base or base_lock.find_pin(root, settings)
    if reference:
        # A base that is configured or pinned is not replaced by another one.
        match = base_image_store.find(client, reference, settings.platform)
        if match is None:
            return None
        return _create_base(client, reference, *match)
    official = OFFICIAL_IMAGE.format(python=settings.python)
    match = base_image_store.find(client, official, settings.platform)
    # An image without a digest was built or loaded under that name, so it is not the official one.
    if match and "@" in (base := _create_base(client, official, *match)).reference:
        return base
    for image in debian_base.find(client, settings):
        return BaseImage(debian_base.list_tags(image)[0], str(image.id))
    return None


def _create_base(
    client: docker.DockerClient, reference: str, image: DockerImage, alias: str
) -> BaseImage:
    """Return the base for the engine's `image` that `reference` names."""
    by_digest = base_pull.add_digest(image, reference)
    if not alias and not base_image_store.can_resolve(client, image, by_digest):
        alias = reference
    return BaseImage(by_digest, str(image.id), alias)


def _pull_or_make(
    client: docker.DockerClient, settings: ImageSettings, root: Path, again: bool = False
) -> BaseImage:
    """Pull the base, or make it; pin the official one.

    With `again`, pull the official image by its tag, even if one is pinned.
    """
    pin = None if settings.base else base_lock.find_pin(root, settings)
    official = OFFICIAL_IMAGE.format(python=settings.python)
    reference = settings.base or (official if again else pin) or official
    try:
        image, by_digest = base_pull.pull_image(client, reference, settings, pinned=pin is not None)
    except BasePullError as error:
        if settings.base or pin or error.reason is not PullFailure.UNREACHABLE:
            raise error.error from None
        reason = f"{reference} cannot be pulled ({error.text})"
        return BaseImage(*debian_base.make(client, settings, reason))
    if not settings.base and by_digest != pin:
        _write_pin(root, settings, by_digest)
        if pin:
            base_image_store.remove_alias(client, pin, settings.platform)
    with engine.translate_errors(f"looking for {by_digest}"):
        alias = base_image_store.ensure_alias(client, image, by_digest, settings.platform)
    return BaseImage(by_digest, str(image.id), alias)


def _write_pin(root: Path, settings: ImageSettings, reference: str) -> None:
    base_lock.write_pin(root, settings, reference)
    progress.note("base", f"{reference} is pinned in {LOCK_FILE}: commit that file")
