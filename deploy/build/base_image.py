"""The base image: an official one from a registry, or one made here from Debian packages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import docker
from docker.models.images import Image as DockerImage

from deploy import console
from deploy.build import base_local, base_lock, base_pull, debian_base, system_packages
from deploy.build.base_lock import LOCK
from deploy.build.base_pull import BasePullError
from deploy.build.debian_base import MADE
from deploy.docker import engine
from deploy.docker.pull import Reason
from deploy.model import ImageSettings

__all__ = ["LOCK", "MADE"]

OFFICIAL = "python:{python}-slim-bookworm"


@dataclass(frozen=True)
class Base:
    """A base image that the engine has."""

    # For people and labels: by digest where it was pulled, by tag where it was made here.
    reference: str
    id: str
    # Its tag on this engine, where the digest names the image of another platform there.
    alias: str = ""

    @property
    def content(self) -> str:
        """What stands for the content: the same on every machine, if the reference can tell it.

        A digest is the same in a mirror of the registry.
        """
        if "@" in self.reference:
            return self.reference.partition("@")[2]
        return self.reference if self.reference.startswith(f"{MADE}:") else self.id

    @property
    def source(self) -> str:
        """What `FROM` names, so that the engine finds this very image without a network."""
        return self.alias or self.reference


def pinned(settings: ImageSettings, root: Path) -> Base | None:
    """Return the base for `settings` if files alone tell its content: pinned by digest.

    It has no `id`, as no engine is asked. With system packages an engine must tell their versions.
    """
    if settings.system_packages:
        return None
    reference = settings.base or base_lock.pin(root, settings)
    return Base(reference, "") if reference and "@" in reference else None


def find(client: docker.DockerClient, settings: ImageSettings, root: Path) -> Base | None:
    """Return the base image for `settings` if the engine has it already. Asks no registry."""
    plain = _find_plain(client, settings, root)
    if plain is None or not settings.system_packages:
        return plain
    found = system_packages.find(client, plain.content, settings)
    return Base(*found) if found else None


def ensure(client: docker.DockerClient, settings: ImageSettings, root: Path) -> Base:
    """Return the base image for `settings`; pull it, or make it, where the engine lacks it.

    A base that the configuration or base.lock names is used as it is. Without either, the official
    one is pulled; one made from Debian packages takes its place only where the engine reaches no
    registry. Raises `DeployError`.
    """
    with engine.explained("looking for the base image"):
        plain = _find_plain(client, settings, root)
    if plain is None:
        plain = _get(client, settings, root)
    elif not settings.base and base_lock.pin(root, settings) is None and "@" in plain.reference:
        _pin(root, settings, plain.reference)
    base = plain
    if settings.system_packages:
        with engine.explained("looking for the base image with system packages"):
            found = system_packages.find(client, plain.content, settings)
        found = found or system_packages.make(client, plain.source, plain.content, settings)
        base = Base(*found)
    console.note("base", base.reference)
    return base


def refresh(client: docker.DockerClient, settings: ImageSettings, root: Path) -> Base:
    """Get the base again, with the security updates since; the old one stays until then.

    With system packages, the base below them is that which the engine has.
    """
    if settings.system_packages:
        plain = ensure(client, replace(settings, system_packages=()), root)
        before = system_packages.all_made(client, settings)
        base = Base(*system_packages.make(client, plain.source, plain.content, settings))
    else:
        before = [] if settings.base else debian_base.find(client, settings)
        base = _get(client, settings, root, again=True)
    with engine.explained("removing the base image before"):
        for tag in (tag for image in before for tag in debian_base.tags(image)):
            if tag != base.reference:
                client.images.remove(tag, noprune=True)
    return base


def settings_of(
    flows: Iterable[ImageSettings], own: str | None, native: str
) -> list[ImageSettings]:
    """Return the settings of every base that flows need, once each, plain bases first.

    Those are the flows' own, the default (`own` is FLOW_BASE_IMAGE), and each for the platform
    `native` too, on which flows are packed.
    """
    chosen = [ImageSettings(base=own), *flows]
    chosen += [replace(settings, platform=native) for settings in chosen]
    chosen = [replace(settings, system_packages=()) for settings in chosen] + chosen
    return sorted(dict.fromkeys(chosen), key=lambda settings: len(settings.system_packages) > 0)


def _find_plain(client: docker.DockerClient, settings: ImageSettings, root: Path) -> Base | None:
    """Return the base without system packages, if the engine has it."""
    reference = settings.base or base_lock.pin(root, settings)
    if reference:
        # Nothing else takes the place of a base that is named, or pinned.
        found = base_local.find(client, reference, settings.platform)
        if found is None:
            return None
        return _base(client, reference, *found)
    official = OFFICIAL.format(python=settings.python)
    found = base_local.find(client, official, settings.platform)
    # Without a digest it was built or loaded under that name.
    if found and "@" in (base := _base(client, official, *found)).reference:
        return base
    for image in debian_base.find(client, settings):
        return Base(debian_base.tags(image)[0], str(image.id))
    return None


def _base(client: docker.DockerClient, reference: str, image: DockerImage, alias: str) -> Base:
    """Return the base that the engine has as `reference`."""
    by_digest = base_pull.by_digest(image, reference)
    if not alias and not base_local.resolves(client, image, by_digest):
        alias = reference
    return Base(by_digest, str(image.id), alias)


def _get(
    client: docker.DockerClient, settings: ImageSettings, root: Path, again: bool = False
) -> Base:
    """Pull the base, or make it; pin the official one.

    `again`: pull the tag of the official one, whatever is pinned.
    """
    pin = None if settings.base else base_lock.pin(root, settings)
    official = OFFICIAL.format(python=settings.python)
    reference = settings.base or (official if again else pin) or official
    try:
        image, by_digest = base_pull.get(client, reference, settings, pinned=pin is not None)
    except BasePullError as error:
        if settings.base or pin or error.reason is not Reason.UNREACHABLE:
            raise error.error from None
        reason = f"{reference} cannot be pulled ({error.text})"
        return Base(*debian_base.make(client, settings, reason))
    if not settings.base and by_digest != pin:
        _pin(root, settings, by_digest)
        if pin:
            base_local.forget(client, pin, settings.platform)
    with engine.explained(f"looking for {by_digest}"):
        alias = base_local.keep(client, image, by_digest, settings.platform)
    return Base(by_digest, str(image.id), alias)


def _pin(root: Path, settings: ImageSettings, reference: str) -> None:
    base_lock.write(root, settings, reference)
    console.note("base", f"{reference} is pinned in {LOCK}: commit that file")
