"""A base image with Debian packages that a flow needs besides Python's: image.system_packages."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import docker.errors
from docker.models.images import Image as DockerImage

from deploy import console
from deploy.build import base_lock, debian_base, docker_build
from deploy.build.docker_build import BuildError
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.model import ImageSettings

# Of the base below and the set of packages: by it the image is found again.
RECIPE_LABEL = "flow-deploy.build.system_packages"
# Of the set alone: by it images on an older base are found.
SET_LABEL = "flow-deploy.build.system_packages_set"
# To be changed when the images are made in another way, so that those made before are not used.
RECIPE = "1"
HOOK = debian_base.HOOK.with_name("debian-system-base.sh")
STATUS = "/var/lib/dpkg/status"

# Exit codes of the step that installs.
NO_LISTS, NO_PACKAGES, NO_APT = 71, 72, 73
INSTALL = f"""
command -v apt-get > /dev/null || exit {NO_APT}
export DEBIAN_FRONTEND=noninteractive
apt-get -o APT::Update::Error-Mode=any -o Acquire::Retries=2 update || exit {NO_LISTS}
apt-get install -y --no-install-recommends {{packages}} || exit {NO_PACKAGES}
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
/var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log \
/var/log/alternatives.log
"""
# Of apt, and of mmdebstrap, which passes apt's words on.
NO_SUCH_PACKAGE = re.compile(r"Unable to locate package (\S+)|Package '(\S+)' has no installation")
# Of the kernel, and of mmdebstrap.
FOREIGN = re.compile(r"exec format error|can neither be executed natively|install arch-test")
NO_SUCH_VERSION = re.compile(r"Version '(\S+)' for '(\S+)' was not found")


def find(client: docker.DockerClient, base: str, settings: ImageSettings) -> tuple[str, str] | None:
    """Return tag and id of the image with these packages on the base with the content `base`."""
    for image in _labelled(client, RECIPE_LABEL, _recipe(base, settings)):
        return debian_base.tags(image)[0], str(image.id)
    return None


def all_made(client: docker.DockerClient, settings: ImageSettings) -> list[DockerImage]:
    """Return the images with these packages, whatever the version of the base below."""
    return _labelled(client, SET_LABEL, _set(settings))


def make(
    client: docker.DockerClient, reference: str, base: str, settings: ImageSettings
) -> tuple[str, str]:
    """Make the image on the base `reference` with the content `base`; return its tag and id.

    The tag is a hash of `base` and the versions that were installed: the same versions give the
    same tag on every machine. Raises `DeployError`.
    """
    labels = {RECIPE_LABEL: _recipe(base, settings), SET_LABEL: _set(settings)}
    names = " ".join(settings.system_packages)
    temporary = f"{debian_base.MADE}:unfinished-{uuid.uuid4().hex[:12]}"
    doing = f"adding {names}"
    try:
        if reference.startswith(f"{debian_base.MADE}:"):
            with console.phase("base", doing):
                content = _bootstrap(client, settings, reference)
            debian_base.load(client, settings, content, temporary, labels, f"the base with {names}")
        else:
            with console.phase("base", doing):
                _install(client, reference, settings, temporary, labels)
        with engine.explained(doing):
            image = client.images.get(temporary)
            tag = _tag(base, settings, _versions(client, image))
            for known in _labelled(client, RECIPE_LABEL, labels[RECIPE_LABEL]):
                # Nothing is newer: images that are built on it stay on it.
                if tag in engine.tags_of(known):
                    return tag, str(known.id)
            image.tag(*tag.split(":"))
            return tag, str(image.id)
    finally:
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(temporary)


def _bootstrap(client: docker.DockerClient, settings: ImageSettings, reference: str) -> bytes:
    """Make a whole root anew: a base that was made here has no package manager."""
    plain = debian_base.PACKAGES.format(python=f"python{settings.python}")
    packages = ",".join([plain, *sorted(settings.system_packages)])
    native = settings.platform == engine.native_platform(client)
    try:
        return debian_base.bootstrap(settings, "essential", packages, HOOK, native)
    except DeployError as error:
        raise _explained(str(error), settings, reference) or error from None


def _install(
    client: docker.DockerClient,
    reference: str,
    settings: ImageSettings,
    tag: str,
    labels: Mapping[str, str],
) -> None:
    """Install with the base's apt, in a build that has the network."""
    with engine.explained(f"looking at {reference}"):
        config = client.images.get(reference).attrs.get("Config") or {}
    dockerfile = _dockerfile(reference, str(config.get("User") or ""), settings, labels)
    output = _build(client, dockerfile, tag, "default")
    if output and _exit_code(output) == NO_LISTS:
        # Where only this machine itself reaches a mirror: by its name server, VPN or local proxy.
        output = _build(client, dockerfile, tag, "host")
    if output:
        raise _failure(output, settings, reference)


def _dockerfile(
    reference: str, user: str, settings: ImageSettings, labels: Mapping[str, str]
) -> str:
    """Return the steps: as root, whichever user the base has, which it has again at the end."""
    script = INSTALL.format(packages=" ".join(sorted(settings.system_packages)))
    script = "; ".join(line for line in script.strip().splitlines())
    lines = [f"FROM {reference}"]
    as_other = user and user.partition(":")[0] not in ("0", "root")
    lines += ["USER 0:0"] if as_other else []
    # Not by the base's own SHELL.
    lines += [f'RUN ["/bin/sh", "-c", "{script}"]']
    lines += [f"USER {user}"] if as_other else []
    lines += [f"LABEL {name}={value}" for name, value in labels.items()]
    return "\n".join(lines) + "\n"


def _build(client: docker.DockerClient, dockerfile: str, tag: str, network: str) -> list[str]:
    """Build; return the output of a build that failed, nothing of one that succeeded."""
    tree = {"Dockerfile": dockerfile.encode()}
    try:
        # Predefined arguments, which neither the image nor its history keeps.
        docker_build.by_engine(client, tree, tag, network=network, arguments=_proxies(client))
    except BuildError as error:
        # Without the colours that the builder gives to standard error.
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in error.lines]
        output = [line for line in plain if line.strip()]
        _remove_steps(client, output)
        return output
    return []


def _remove_steps(client: docker.DockerClient, output: list[str]) -> None:
    """Remove the image of the step before the one that failed, which has no name."""
    steps = [match[1] for line in output if (match := re.match(r" ?---> ([0-9a-f]{12})$", line))]
    # The first is the base.
    if len(steps) > 1:
        with contextlib.suppress(docker.errors.APIError):
            if not client.images.get(steps[-1]).tags:
                client.images.remove(steps[-1])


def _proxies(client: docker.DockerClient) -> dict[str, str]:
    """Return the proxies by which apt reaches a mirror: the docker command's, or this process's."""
    lower = ("http_proxy", "https_proxy", "no_proxy")
    names = [*lower, *(name.upper() for name in lower)]
    given = {name: os.environ[name] for name in names if os.environ.get(name)}
    api: Any = client.api
    configured: Mapping[str, str] = api._proxy_configs.get_environment()
    return {**given, **{name: value for name, value in configured.items() if name in names}}


def _exit_code(output: list[str]) -> int:
    """Return the exit code of the step that failed: docker and podman end with it."""
    found = re.findall(r"(?:returned a non-zero code:|exit status) (\d+)", "\n".join(output))
    return int(found[-1]) if found else 0


def _failure(output: list[str], settings: ImageSettings, reference: str) -> DeployError:
    """Return the error behind a build that failed."""
    where, text, code = f"base image {reference}", "\n".join(output), _exit_code(output)
    if known := _explained(text, settings, reference):
        return known
    if code in (NO_APT, 127) or re.search(r'"?/bin/sh"?: .*no such file', text):
        what = "it has no apt-get, which image.system_packages needs"
        hint = "install the packages in that base itself, or choose one of Debian or Ubuntu"
        return DeployError(where, what, hint)
    lines = [line for line in output if line.strip() and "non-zero code" not in line][-6:]
    last = "\n".join(f"    {line.rstrip()}" for line in lines)
    if code == NO_LISTS:
        what = (
            f"apt-get update fails in it, with the network of containers and of the host:\n{last}"
        )
        hint = "set http_proxy, or install the packages in a base of your own (image.base)"
        return DeployError(where, what, hint)
    return DeployError(where, f"its apt-get cannot install image.system_packages:\n{last}")


def _explained(text: str, settings: ImageSettings, reference: str) -> DeployError | None:
    """Return the error for what the configuration asks and cannot be; None for other failures."""
    where = f"{settings.origin or 'the configuration'}: image.system_packages"
    missing = [first or second for first, second in NO_SUCH_PACKAGE.findall(text)]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        what = f"there is no package {names} for the base image {reference}"
        return DeployError(where, what, "correct the name; `apt-cache search ‹word›` finds names")
    if FOREIGN.search(text):
        what = f"they are installed by programs for {settings.platform}, which cannot run here"
        hint = "build on a machine of that platform, or install emulation of it (binfmt_misc)"
        return DeployError(where, what, hint)
    if found := NO_SUCH_VERSION.search(text):
        what = f"there is no version {found[1]} of {found[2]} for the base image {reference}"
        return DeployError(where, what, "leave the version out: the newest of the release is used")
    return None


def _versions(client: docker.DockerClient, image: DockerImage) -> list[str]:
    """Return the packages that `image` has, each with its version."""
    container = client.containers.create(
        str(image.id), ["true"], network_mode="none", use_config_proxy=False
    )
    try:
        chunks, _ = container.get_archive(STATUS)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            text = member.read().decode("utf-8", "replace") if member else ""
    finally:
        container.remove(force=True, v=True)
    return sorted(_installed(text))


def _installed(status: str) -> Iterator[str]:
    """Yield `name:architecture=version` of each stanza of dpkg's database that is installed."""
    for stanza in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version|Architecture): (.+)$", stanza, re.M))
        if fields.get("Status", "").endswith(" installed"):
            yield f"{fields['Package']}:{fields.get('Architecture')}={fields.get('Version')}"


def _tag(base: str, settings: ImageSettings, versions: list[str]) -> str:
    digest = hashlib.sha256("\n".join([base, RECIPE, *versions]).encode()).hexdigest()[:12]
    architecture = debian_base.architecture(settings)
    return f"{debian_base.MADE}:python{settings.python}-packages-{architecture}-{digest}"


def _recipe(base: str, settings: ImageSettings) -> str:
    hooks = debian_base.PYTHON.read_text(encoding="utf-8") + HOOK.read_text(encoding="utf-8")
    made = hooks if base.startswith(f"{debian_base.MADE}:") else INSTALL
    return _hash(RECIPE, made, base, *_parts(settings))


def _set(settings: ImageSettings) -> str:
    return _hash(settings.base or "", *_parts(settings))


def _parts(settings: ImageSettings) -> list[str]:
    return [base_lock.key(settings), *sorted(set(settings.system_packages))]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _labelled(client: docker.DockerClient, label: str, value: str) -> list[DockerImage]:
    """Return the images with this label, the newest first.

    Images built on them inherit the label, so the name counts too.
    """
    images = engine.list_images(client, debian_base.MADE, f"{label}={value}")
    return [image for image in images if debian_base.tags(image)]
