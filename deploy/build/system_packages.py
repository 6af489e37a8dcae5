"""Make a base image with the additional Debian packages of a flow: image.system_packages."""

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

from deploy.build import base_lock, debian_base, docker_build
from deploy.build.docker_build import BuildError
from deploy.core import progress
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError, quote_last_lines
from deploy.docker import engine

# Label with the hash of the base below and the set of packages: identifies an image that can be
# reused.
RECIPE_LABEL = "flow-deploy.build.system_packages"
# Label with the hash of the set of packages only: identifies images on older bases.
SET_LABEL = "flow-deploy.build.system_packages_set"
# Change this when the images are made in another way, so that older images are not reused.
RECIPE_VERSION = "1"
HOOK_SCRIPT = debian_base.HOOK_SCRIPT.with_name("debian-system-base.sh")
DPKG_STATUS_PATH = "/var/lib/dpkg/status"

# Exit codes of the step that installs packages.
NO_LISTS, NO_PACKAGES, NO_APT = 71, 72, 73
INSTALL_SCRIPT = f"""
command -v apt-get > /dev/null || exit {NO_APT}
export DEBIAN_FRONTEND=noninteractive
apt-get -o APT::Update::Error-Mode=any -o Acquire::Retries=2 update || exit {NO_LISTS}
apt-get install -y --no-install-recommends {{packages}} || exit {NO_PACKAGES}
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
/var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log \
/var/log/alternatives.log
"""
# Messages of apt, and of mmdebstrap, which repeats them.
NO_SUCH_PACKAGE = re.compile(r"Unable to locate package (\S+)|Package '(\S+)' has no installation")
# Messages of the kernel, and of mmdebstrap.
FOREIGN_PLATFORM = re.compile(
    r"exec format error|can neither be executed natively|install arch-test"
)
NO_SUCH_VERSION = re.compile(r"Version '(\S+)' for '(\S+)' was not found")


def find(client: docker.DockerClient, base: str, settings: ImageSettings) -> tuple[str, str] | None:
    """Return tag and id of the image with these packages on the base with the content id `base`."""
    for image in _list_by_label(client, RECIPE_LABEL, _hash_recipe(base, settings)):
        return debian_base.list_tags(image)[0], str(image.id)
    return None


def list_images(client: docker.DockerClient, settings: ImageSettings) -> list[DockerImage]:
    """Return the images with these packages, for every version of the base below."""
    return _list_by_label(client, SET_LABEL, _hash_package_set(settings))


def make(
    client: docker.DockerClient, reference: str, base: str, settings: ImageSettings
) -> tuple[str, str]:
    """Make the image on the base `reference` with the content id `base`; return its tag and id.

    The tag is a hash of `base` and the installed versions: the same versions give the same tag on
    every machine. Raises `DeployError`.
    """
    labels = {RECIPE_LABEL: _hash_recipe(base, settings), SET_LABEL: _hash_package_set(settings)}
    names = " ".join(settings.system_packages)
    temporary = f"{debian_base.LOCAL_REPOSITORY}:unfinished-{uuid.uuid4().hex[:12]}"
    operation = f"adding {names}"
    try:
        if reference.startswith(f"{debian_base.LOCAL_REPOSITORY}:"):
            with progress.phase("base", operation):
                content = _bootstrap_root(client, settings, reference)
            debian_base.import_image(
                client, settings, content, temporary, labels, f"the base with {names}"
            )
        else:
            with progress.phase("base", operation):
                _install(client, reference, settings, temporary, labels)
        with engine.translate_errors(operation):
            image = client.images.get(temporary)
            tag = _format_tag(base, settings, _read_versions(client, image))
            for existing in _list_by_label(client, RECIPE_LABEL, labels[RECIPE_LABEL]):
                # No version changed: keep the existing image, on which other images are built.
                if tag in engine.list_short_tags(existing):
                    return tag, str(existing.id)
            image.tag(*tag.split(":"))
            return tag, str(image.id)
    finally:
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(temporary)


def _bootstrap_root(client: docker.DockerClient, settings: ImageSettings, reference: str) -> bytes:
    """Return a new root with all packages: a base that was made locally has no package manager."""
    plain = debian_base.PACKAGES.format(python=f"python{settings.python}")
    packages = ",".join([plain, *sorted(settings.system_packages)])
    native = settings.platform == engine.native_platform(client)
    try:
        return debian_base.bootstrap_root(settings, "essential", packages, HOOK_SCRIPT, native)
    except DeployError as error:
        raise _find_known_error(str(error), settings, reference) or error from None


def _install(
    client: docker.DockerClient,
    reference: str,
    settings: ImageSettings,
    tag: str,
    labels: Mapping[str, str],
) -> None:
    """Install the packages with the base's apt, in a build that has network access."""
    with engine.translate_errors(f"looking at {reference}"):
        config = client.images.get(reference).attrs.get("Config") or {}
    dockerfile = _render_dockerfile(reference, str(config.get("User") or ""), settings, labels)
    failure = _build_image(client, dockerfile, tag, "default")
    if failure and _parse_exit_code(failure) == NO_LISTS:
        # The mirror may be reachable from this machine only: by its name server, VPN or local
        # proxy.
        failure = _build_image(client, dockerfile, tag, "host")
    if failure:
        raise _explain_failure(failure, settings, reference)


def _render_dockerfile(
    reference: str, user: str, settings: ImageSettings, labels: Mapping[str, str]
) -> str:
    """Return a Dockerfile that installs as root and then restores the base's own user."""
    script = INSTALL_SCRIPT.format(packages=" ".join(sorted(settings.system_packages)))
    script = "; ".join(line for line in script.strip().splitlines())
    lines = [f"FROM {reference}"]
    as_other = user and user.partition(":")[0] not in ("0", "root")
    lines += ["USER 0:0"] if as_other else []
    # In exec form, so that the base's own SHELL is not used.
    lines += [f'RUN ["/bin/sh", "-c", "{script}"]']
    lines += [f"USER {user}"] if as_other else []
    lines += [f"LABEL {name}={value}" for name, value in labels.items()]
    return "\n".join(lines) + "\n"


def _build_image(client: docker.DockerClient, dockerfile: str, tag: str, network: str) -> list[str]:
    """Build the image; return the output of a build that failed, or nothing after success."""
    tree = {"Dockerfile": dockerfile.encode()}
    try:
        # The proxies are predefined arguments: neither the image nor its history keeps them.
        docker_build.build_with_engine(
            client, tree, tag, network=network, arguments=_read_proxies(client)
        )
    except BuildError as error:
        # Remove the colors that the builder gives to standard error.
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in error.lines]
        output = [line for line in plain if line.strip()]
        _remove_steps(client, output)
        return output
    return []


def _remove_steps(client: docker.DockerClient, output: list[str]) -> None:
    """Remove the untagged image of the step before the one that failed."""
    steps = [match[1] for line in output if (match := re.match(r" ?---> ([0-9a-f]{12})$", line))]
    # The first id is the base's.
    if len(steps) > 1:
        with contextlib.suppress(docker.errors.APIError):
            if not client.images.get(steps[-1]).tags:
                client.images.remove(steps[-1])


def _read_proxies(client: docker.DockerClient) -> dict[str, str]:
    """Return apt's proxies: those of the docker command, or of this process's environment."""
    lower = ("http_proxy", "https_proxy", "no_proxy")
    names = [*lower, *(name.upper() for name in lower)]
    environment = {name: os.environ[name] for name in names if os.environ.get(name)}
    api: Any = client.api
    configured: Mapping[str, str] = api._proxy_configs.get_environment()
    return {**environment, **{name: value for name, value in configured.items() if name in names}}


def _parse_exit_code(output: list[str]) -> int:
    """Return the exit code of the failed step, with which docker and podman end their output."""
    codes = re.findall(r"(?:returned a non-zero code:|exit status) (\d+)", "\n".join(output))
    return int(codes[-1]) if codes else 0


def _explain_failure(output: list[str], settings: ImageSettings, reference: str) -> DeployError:
    """Return the error that explains the output of a failed build."""
    location, text, exit_code = (
        f"base image {reference}",
        "\n".join(output),
        _parse_exit_code(output),
    )
    if known_error := _find_known_error(text, settings, reference):
        return known_error
    if exit_code in (NO_APT, 127) or re.search(r'"?/bin/sh"?: .*no such file', text):
        message = "it has no apt-get, which image.system_packages needs"
        hint = "install the packages in that base itself, or choose one of Debian or Ubuntu"
        return DeployError(location, message, hint)
    last = quote_last_lines((line for line in output if "non-zero code" not in line), 6)
    if exit_code == NO_LISTS:
        message = (
            f"apt-get update fails in it, with the network of containers and of the host:\n{last}"
        )
        hint = "set http_proxy, or install the packages in a base of your own (image.base)"
        return DeployError(location, message, hint)
    return DeployError(location, f"its apt-get cannot install image.system_packages:\n{last}")


def _find_known_error(text: str, settings: ImageSettings, reference: str) -> DeployError | None:
    """Return the error if a configured value cannot be met, or None for other failures."""
    location = f"{settings.origin or 'the configuration'}: image.system_packages"
    missing = [first or second for first, second in NO_SUCH_PACKAGE.findall(text)]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        message = f"there is no package {names} for the base image {reference}"
        return DeployError(
            location, message, "correct the name; `apt-cache search ‹word›` finds names"
        )
    if FOREIGN_PLATFORM.search(text):
        message = (
            f"they are installed by programs for {settings.platform}, which this machine cannot run"
        )
        hint = "build on a machine of that platform, or install emulation of it (binfmt_misc)"
        return DeployError(location, message, hint)
    if match := NO_SUCH_VERSION.search(text):
        message = f"there is no version {match[1]} of {match[2]} for the base image {reference}"
        return DeployError(
            location, message, "remove the version: the newest one of the release is then installed"
        )
    return None


def _read_versions(client: docker.DockerClient, image: DockerImage) -> list[str]:
    """Return the installed packages of `image`, each with its version."""
    container = client.containers.create(
        str(image.id), ["true"], network_mode="none", use_config_proxy=False
    )
    try:
        chunks, _ = container.get_archive(DPKG_STATUS_PATH)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            text = member.read().decode("utf-8", "replace") if member else ""
    finally:
        container.remove(force=True, v=True)
    return sorted(_parse_installed(text))


def _parse_installed(status: str) -> Iterator[str]:
    """Yield `name:architecture=version` of each installed package in dpkg's database."""
    for stanza in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version|Architecture): (.+)$", stanza, re.M))
        if fields.get("Status", "").endswith(" installed"):
            yield f"{fields['Package']}:{fields.get('Architecture')}={fields.get('Version')}"


def _format_tag(base: str, settings: ImageSettings, versions: list[str]) -> str:
    digest = hashlib.sha256("\n".join([base, RECIPE_VERSION, *versions]).encode()).hexdigest()[:12]
    architecture = debian_base.get_architecture(settings)
    return (
        f"{debian_base.LOCAL_REPOSITORY}:python{settings.python}-packages-{architecture}-{digest}"
    )


def _hash_recipe(base: str, settings: ImageSettings) -> str:
    hooks = debian_base.PYTHON_SCRIPT.read_text(encoding="utf-8") + HOOK_SCRIPT.read_text(
        encoding="utf-8"
    )
    recipe = hooks if base.startswith(f"{debian_base.LOCAL_REPOSITORY}:") else INSTALL_SCRIPT
    return _hash(RECIPE_VERSION, recipe, base, *_list_hash_parts(settings))


def _hash_package_set(settings: ImageSettings) -> str:
    return _hash(settings.base or "", *_list_hash_parts(settings))


def _list_hash_parts(settings: ImageSettings) -> list[str]:
    return [base_lock.format_key(settings), *sorted(set(settings.system_packages))]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _list_by_label(client: docker.DockerClient, label: str, value: str) -> list[DockerImage]:
    """Return the images with this label, the newest first.

    Images built on them inherit the label, so the name counts, too.
    """
    images = engine.list_images(client, debian_base.LOCAL_REPOSITORY, f"{label}={value}")
    return [image for image in images if debian_base.list_tags(image)]
